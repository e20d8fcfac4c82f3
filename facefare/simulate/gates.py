"""A gate of the city: the real passage logic, outbox, client and sync, on its own clock.

Only the eyes are missing: who stands there is told by the story. A gate that died forgets
what was in memory and starts again from its disk, as ``facefare gate run`` does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from facefare.simulate.chance import uuid7_at
from facefare.simulate.crashes import Died, Disk
from facefare.simulate.truth import Passage, Rider, Truth
from gate import sync
from gate.client import Client
from gate.decision import Decision, Open, Refuse
from gate.errors import OutboxError
from gate.identity import GateIdentity
from gate.outbox import Outbox
from gate.passage import Candidate, OpenDoor, Policy, State, step
from models.errors import FacefareError
from models.wire.gallery import GallerySnapshot
from models.wire.tap import Evidence, Tap
from models.wire.times import format_utc, parse_utc

NOT_IN_GALLERY = "Not recognised."
_FILES = {
    "gallery.sealed": "gallery",
    "gallery-change.sealed": "gallery change",
    "standings.json": "deny list",
}
_STAND_S = 2.0


class _OutboxOnDisk(Outbox):
    """The real outbox on a disk that may be full or lose power."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._disk = disk
        super().__init__(path)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._disk.connect(self._path)) as opened:
                opened.execute("PRAGMA journal_mode=WAL")
                opened.execute("PRAGMA synchronous=FULL")
                yield opened
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {self._path} cannot be used: {error}") from error


class CityGate:
    """One gate with its disk, its clock's error and its connection."""

    def __init__(
        self,
        identity: GateIdentity,
        wire: httpx.BaseTransport,
        now: Callable[[], datetime],
        truth: Truth,
    ) -> None:
        self.identity, self.disk = identity, Disk(truth.count)
        self.skew = timedelta()
        self._wire, self._now, self._truth = wire, now, truth
        self.online = True  # as far as its last request says
        self.damaged = False  # its outbox has noise in it
        self.shut = False  # it could not start; staff have to come
        self.touched = True  # whether its outbox may be another than at the last look
        self.heard_at: datetime | None = None  # when it heard the deny list that it knows
        self._kept_at: datetime | None = None  # … and the one on its disk
        self._tracks = 0
        self.start()

    @property
    def name(self) -> str:
        return self.identity.file.gate

    @property
    def box(self) -> str:
        """The machine: a copy of a gate has the gate's name and is another box."""
        return self.identity.path.name

    def clock(self) -> datetime:
        """What this gate believes the time is."""
        return self._now() + self.skew

    def start(self) -> None:
        """Begin from what is on the disk."""
        self.outbox = _OutboxOnDisk(self.identity.outbox_path, self.disk)
        self.client = Client(
            "http://localhost",
            self.name,
            self.identity.signing_key,
            self._wire,
            self.clock,
            news_wait_s=0,  # no time passes while a request is under way
        )
        self.blocked, self.heard_at = sync.kept_blocked(self.identity), self._kept_at
        self.gallery = sync.kept_gallery(self.identity)
        # Frames bring their own time, which runs forward whatever the wall clock does.
        started = self.clock()
        ages = [
            (account, (started - parse_utc(at)).total_seconds())
            for account, at in self.outbox.recent()
        ]
        self._state = State(passed={a: self._frame_s() - age for a, age in ages if age >= 0})

    def restart(self) -> None:
        """Begin again after dying; with noise on its disk it may not be able to."""
        self._truth.say(f"    {self.name} dies and starts again")
        try:
            self.start()
        except OutboxError as error:
            if not self.damaged:
                raise
            self._truth.say(f"    {self.name} cannot start: {error}")
            self.shut = True

    def _frame_s(self) -> float:
        return self._now().timestamp()

    def walk(self, rider: Rider) -> None:
        """``rider`` stands in the zone, the gate decides, and the rider goes."""
        self.touched = True
        self._tracks += 1
        candidate = Candidate(self._tracks, self._decision(rider))
        now_s = self._frame_s()
        state, commands = step(self._state, candidate, now_s, Policy())
        for command in commands:
            if isinstance(command, OpenDoor):
                try:
                    self._open(command)
                except OutboxError as error:
                    self._truth.say(f"    {self.name} stays shut: {error}")
                    return
        self._state, _ = step(state, None, now_s + _STAND_S, Policy())

    def _decision(self, rider: Rider) -> Decision:
        known = self.gallery is not None and any(
            entry.account == rider.account for entry in self.gallery.riders
        )
        if not known or self.blocked is None:
            return Refuse(NOT_IN_GALLERY)
        if rider.account in self.blocked:
            self._truth.count("blocked rider refused at a gate")
            return Refuse(self.blocked[rider.account])
        assert isinstance(self.gallery, GallerySnapshot)
        evidence = Evidence(
            engine=self.gallery.engine_id,
            score=0.6,
            margin=0.3,
            frames=3,
            liveness=None,
            gallery_version=self.gallery.version,
        )
        return Open(rider.account, evidence)

    def _open(self, command: OpenDoor) -> None:
        made: list[Tap] = []

        def build(seq: int, prev: str) -> Tap:
            made.append(self._tap(command, seq, prev))
            return made[-1]

        lit = self.disk.fuse.lit
        if self.skew:
            self._truth.count("passage with a wrong clock")
        try:
            tap = self.outbox.append(build, self.identity.signing_key)
        except Died:
            if lit == "after commit" and made:  # on disk, and the door never moved
                self._passed(made[-1], opened=False)
            raise
        self._passed(tap, opened=True)

    def _tap(self, command: OpenDoor, seq: int, prev: str) -> Tap:
        file = self.identity.file
        return Tap(
            tap_id=str(uuid7_at(self.clock())),
            gate=file.gate,
            station=file.station,
            direction=file.direction,
            at=format_utc(self.clock().astimezone(UTC)),
            account=command.account,
            medium="face",
            evidence=command.evidence,
            seq=seq,
            prev=prev,
        )

    def _passed(self, tap: Tap, *, opened: bool) -> None:
        at_s, skew_s = self._frame_s(), self.skew.total_seconds()
        passage = Passage(tap, self.box, opened, at_s, skew_s)
        self._truth.passages[tap.tap_id] = passage
        self._truth.say(f"    {self.name} {'opens' if opened else 'dies with'} {tap.tap_id}")

    def deliver(self) -> bool:
        """Send one batch; False where that failed, for whatever reason the gate was told."""
        self.touched = True
        try:
            sync.deliver(self.outbox, self.client)
        except (FacefareError, sqlite3.Error) as error:
            self.online = False
            self._truth.say(f"    {self.name} cannot deliver: {error}")
            return False
        return True

    def refresh(self) -> bool:
        """Fetch gallery and deny list; False where that failed."""
        have = -1 if self.gallery is None else self.gallery.version
        try:
            fresh = sync.fetch_gallery(self.identity, self.client, have)
            self.gallery = fresh or self.gallery
            self.blocked = sync.fetch_blocked(self.identity, self.client)
        except FacefareError as error:
            self.online = False
            self._truth.say(f"    {self.name} cannot refresh: {error}")
            return False
        self.online, self.heard_at = True, self._now()
        if sync.kept_blocked(self.identity) == self.blocked:  # its disk may have had no room
            self._kept_at = self.heard_at
        return True

    def waiting(self) -> list[str]:
        """The taps that the ledger has not answered for."""
        return [tap_id for tap_id, status in self.told().items() if status == "pending"]

    def told(self) -> dict[str, str]:
        """What the gate knows of each tap that it keeps; nothing where noise is all it has."""
        with closing(sqlite3.connect(self.identity.outbox_path)) as connection:
            try:
                return dict(connection.execute("SELECT tap_id, status FROM tap").fetchall())
            except sqlite3.Error:
                if not self.damaged:
                    raise
                return {}

    def where_burns(self, target: Path) -> str:
        """What a file that is replaced is called, empty where it is not this gate's."""
        return _FILES.get(target.name, "") if target.parent == self.identity.path else ""
