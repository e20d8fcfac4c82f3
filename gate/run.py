"""Put a gate together and let it run: on a clip until its end, on a camera until stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from gate import sync
from gate.camera import Camera, recorded
from gate.client import Client
from gate.display import ConsoleDisplay
from gate.door import ConsoleDoor
from gate.errors import NotReady, ServerRefused, ServerUnreachable
from gate.identity import GateIdentity
from gate.loop import GateLoop, Knowledge
from gate.outbox import Outbox
from gate.recognition import Measured, make_matcher
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Engine
from models.faces.tracking import Tracker
from models.wire.gallery import GallerySnapshot
from models.wire.times import parse_utc

DETECT_SIDE_MAX_PX = 640

GALLERY_AGE_MAX = timedelta(days=7)
"""A gate that cannot reach its server recognises nobody by an older gallery."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did, for the one line of JSON that a script reads."""

    frames: int
    sightings: int
    opened: int
    refused: int
    asked: int
    pending: int
    accepted: int
    not_charged: int


def load_engine() -> Engine:
    """The gate's engine: it searches a smaller picture than the desk does, to keep up."""
    return DlibEngine.load(detect_side_max=DETECT_SIDE_MAX_PX)


def replay(
    identity: GateIdentity,
    clip: Path,
    out: TextIO,
    drain_s: float,
    from_s: float = 0.0,
    to_s: float = float("inf"),
    engine: Engine | None = None,
) -> Summary:
    """Run the gate on every frame of ``clip`` from ``from_s`` to before ``to_s``.

    At the end it waits up to ``drain_s`` until the ledger has answered for every tap.
    """
    frames = recorded(clip)
    with running(identity, out, engine or load_engine()) as gate:
        for timed in frames:
            if from_s <= timed.at_s < to_s:
                gate.loop.on_frame(timed.frame, timed.at_s)
        gate.drain(drain_s)
        return gate.summary()


def watch(identity: GateIdentity, source: str, out: TextIO) -> Summary:
    """Run the gate on a camera until the process is interrupted."""
    camera = Camera(source)
    with running(identity, out, load_engine()) as gate:
        camera.start()
        print("gate: running; stop with Ctrl-C", file=out, flush=True)
        try:
            for timed in camera.frames():
                gate.loop.on_frame(timed.frame, timed.at_s)
        except KeyboardInterrupt:
            print("gate: stopping", file=out, flush=True)
        finally:
            camera.stop()
        gate.drain(5.0)
        return gate.summary()


class RunningGate:
    """A gate with its threads: one delivers taps, one fetches gallery and deny list."""

    def __init__(self, identity: GateIdentity, client: Client, out: TextIO, engine: Engine) -> None:
        self._identity = identity
        self._client = client
        self._outbox = Outbox(identity.outbox_path)
        self._measured = Measured.of(engine.engine_id, identity.table_path)
        snapshot = _newest_gallery(identity, client)
        self._version = snapshot.version
        matcher = make_matcher(snapshot, self._measured)
        self._knowledge = Knowledge(matcher, _blocked(identity, client))
        point = matcher.point
        self._tracker = Tracker(engine, fused_frames=point.fused_frames)
        self.loop = GateLoop(
            identity,
            self._knowledge,
            self._tracker,
            self._outbox,
            ConsoleDoor(out),
            ConsoleDisplay(out),
            wall_clock=lambda: datetime.now(UTC),
        )
        self._deliver = sync.Repeating("deliver", self._deliver_once, pause_s=0.2)
        self._refresh = sync.Repeating("refresh", self._refresh_once, pause_s=sync.REFRESH_S)
        print(
            f"gate: {identity.file.gate} at {identity.file.station}, "
            f"{len(snapshot.riders)} riders, operating point {point.threshold:.3f} "
            f"(margin {point.margin:.3f}) for {point.target_fpir:.1%} of strangers",
            file=out,
            flush=True,
        )

    def start(self) -> None:
        """Start the threads."""
        self._deliver.start()
        self._refresh.start()

    def stop(self) -> None:
        """Stop the threads; what is in the outbox stays there for the next run."""
        self._deliver.stop(10.0)
        self._refresh.stop(10.0)

    def drain(self, seconds: float) -> None:
        """Wait until the outbox is empty, at most ``seconds``."""
        until = time.monotonic() + seconds
        self._deliver.wake()
        while self._outbox.counts().pending and time.monotonic() < until:
            time.sleep(0.05)

    def summary(self) -> Summary:
        """What happened so far."""
        counts, tally = self._outbox.counts(), self.loop.tally
        return Summary(
            frames=tally.frames,
            sightings=self._tracker.sightings,
            opened=tally.opened,
            refused=tally.refused,
            asked=tally.asked,
            pending=counts.pending,
            accepted=counts.accepted,
            not_charged=counts.refused + counts.quarantined,
        )

    def _deliver_once(self) -> bool:
        return sync.deliver(self._outbox, self._client) > 0

    def _refresh_once(self) -> bool:
        """The gallery first: an erasure must not wait for the ledger."""
        self._refresh_gallery()
        self._knowledge.blocked = sync.fetch_blocked(self._identity, self._client)
        return False

    def _refresh_gallery(self) -> None:
        try:
            snapshot = sync.fetch_gallery(self._identity, self._client, self._version)
        except ServerRefused:
            # Revoked: what this gate knows of riders is not its own to keep.
            self._knowledge.matcher = None
            sync.forget_gallery(self._identity)
            raise
        if snapshot is None:
            return
        # Fail closed: should the new gallery not be usable, the old one may hold riders who
        # have left since, and must not be searched either.
        self._knowledge.matcher = None
        self._knowledge.matcher = make_matcher(snapshot, self._measured)
        self._version = snapshot.version


@contextmanager
def running(identity: GateIdentity, out: TextIO, engine: Engine) -> Iterator[RunningGate]:
    """A gate with its threads started; they are stopped on the way out."""
    file = identity.file
    client = Client(file.server, file.gate, identity.signing_key)
    try:
        gate = RunningGate(identity, client, out, engine)
        gate.start()
        try:
            yield gate
        finally:
            gate.stop()
    finally:
        client.close()


def _newest_gallery(identity: GateIdentity, client: Client) -> GallerySnapshot:
    """The server's gallery, or the kept one when the server does not answer."""
    kept = sync.kept_gallery(identity)
    try:
        fresh = sync.fetch_gallery(identity, client, kept.version if kept else -1)
    except ServerUnreachable as error:
        if kept is None:
            raise NotReady(f"this gate has no gallery it can use, and {error}") from error
        return _young_enough(kept)
    except ServerRefused:
        sync.forget_gallery(identity)
        raise
    newest = fresh or kept
    if newest is None:
        raise NotReady("the server sent no gallery and none is kept here; try again")
    return newest


def _young_enough(kept: GallerySnapshot) -> GallerySnapshot:
    age = datetime.now(UTC) - parse_utc(kept.issued_at)
    if age > GALLERY_AGE_MAX:
        raise NotReady(
            f"the kept gallery is {age.days} days old; riders may have left since: connect this "
            "gate to its server"
        )
    return kept


def _blocked(identity: GateIdentity, client: Client) -> dict[str, str]:
    try:
        return sync.fetch_blocked(identity, client)
    except ServerUnreachable as error:
        kept = sync.kept_blocked(identity)
        if kept is None:
            raise NotReady(f"this gate has no deny list it can use, and {error}") from error
        return kept
