"""Put a gate together and let it run: on a clip until its end, on a camera until stopped.

A gate on a camera is left alone for months. Whatever keeps it from working (no server, no
gallery, a broken file, a dead camera) stands on its screen and in its log, and is tried
again until it works. A clip is run by somebody who waits for the result: there the first
thing that is wrong ends the run with a sentence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TextIO, TypeVar

from gate import sync
from gate.camera import Camera, Mount, PlayedClip, recorded
from gate.client import Client
from gate.clock import GateClock
from gate.equipment import Equipment, equipped
from gate.errors import NotReady, ServerRefused, ServerUnreachable
from gate.faults import Fault
from gate.identity import GateIdentity
from gate.liveness.check import LivenessCheck
from gate.liveness.choices import chosen_check
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Phase, Policy
from gate.picture import SENTENCES
from gate.recognition import Measured, make_matcher
from gate.second_factor import Claims
from gate.sight import Knowledge
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Engine
from models.faces.tracking import Tracker
from models.wire.gallery import GallerySnapshot
from models.wire.times import parse_utc

DETECT_SIDE_MAX_PX = 640
FUSED_FRAMES = 3

GALLERY_AGE_MAX = timedelta(days=7)
"""A gate that cannot reach its server recognises nobody by an older gallery."""

RETRY_S = 5.0

log = logging.getLogger(__name__)

Made = TypeVar("Made")


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


@dataclass(frozen=True, slots=True)
class Eyes:
    """The parts that look: loaded once, from files that may be broken."""

    engine: Engine
    check: LivenessCheck


def load_engine() -> Engine:
    """The gate's engine: it searches a smaller picture than the desk does, to keep up."""
    return DlibEngine.load(detect_side_max=DETECT_SIDE_MAX_PX)


def load_eyes(identity: GateIdentity, liveness: str | None, models: Path) -> Eyes:
    """Engine and liveness check; ``liveness`` overrules what ``gate.toml`` says.

    Raises ``FacefareError`` where a file is missing or broken, with how to get it.
    """
    choice = liveness or identity.file.policy.liveness
    return Eyes(load_engine(), chosen_check(choice, models, identity.liveness_path))


def replay(
    identity: GateIdentity,
    clip: Path,
    out: TextIO,
    drain_s: float,
    from_s: float = 0.0,
    to_s: float = float("inf"),
    eyes: Eyes | None = None,
    realtime: bool = False,
) -> Summary:
    """Run the gate on every frame of ``clip`` from ``from_s`` to before ``to_s``.

    ``realtime`` plays it as a camera would, and loses the frames for which there is no time.
    At the end it waits up to ``drain_s`` until the ledger has answered for every tap.
    """
    mount = mount_of(identity)
    frames = () if realtime else recorded(clip, mount)
    camera = Camera.playing(PlayedClip(clip, from_s, to_s), mount) if realtime else None
    with running(identity, out, eyes or load_eyes(identity, None, Path())) as gate:
        gate.open_for_business()
        if camera is not None:
            gate.watch(camera)
        for timed in frames:
            if from_s <= timed.at_s < to_s:
                gate.loop.on_frame(timed.frame, timed.at_s)
        gate.drain(drain_s)
        return gate.summary()


def watch(
    identity: GateIdentity, source: str, out: TextIO, load: Callable[[], Eyes]
) -> Summary | None:
    """Run the gate on a camera until the process is interrupted; None if it never could."""
    camera = Camera(source, mount_of(identity))
    try:
        eyes = patiently(load, out)
        with running(identity, out, eyes) as gate:
            print("gate: running; stop with Ctrl-C", file=out, flush=True)
            gate.start()
            gate.watch(camera)
            return gate.summary()
    except KeyboardInterrupt:
        return None


def patiently(make: Callable[[], Made], out: TextIO) -> Made:
    """What ``make`` makes, as soon as it can; until then it says what is missing."""
    said = ""
    while True:
        try:
            return make()
        except FacefareError as error:
            if str(error) != said:
                said = str(error)
                log.error("%s", said)
                print(f"screen: {Phase.OUT_OF_SERVICE}: {said}", file=out, flush=True)
            time.sleep(RETRY_S)


class RunningGate:
    """A gate with its threads: one delivers taps, one fetches gallery and deny list."""

    def __init__(
        self,
        identity: GateIdentity,
        client: Client,
        out: TextIO,
        eyes: Eyes,
        equipment: Equipment,
        clock: GateClock,
        knowledge: Knowledge,
    ) -> None:
        self._identity = identity
        self._client = client
        self._out = out
        self._clock = clock
        self._knowledge = knowledge
        self._faults = equipment.faults
        self._monitor = equipment.monitor
        self._display = equipment.display
        self._outbox = Outbox(identity.outbox_path)
        self._measured = Measured.of(eyes.engine.engine_id, identity.table_path)
        self._version = -1
        self._heard_at = clock()
        self._tracker = Tracker(eyes.engine, fused_frames=FUSED_FRAMES)
        self.loop = GateLoop(
            identity,
            knowledge,
            self._tracker,
            self._outbox,
            equipment.door,
            equipment.display,
            wall_clock=clock,
            policy=Policy(anti_passback_s=identity.file.policy.reentry_s),
            check=eyes.check,
            second_factor=equipment.second_factor,
            limits=identity.file.policy.limits(),
            faults=equipment.faults,
        )
        self._deliver = sync.Repeating("deliver", self._deliver_once, pause_s=0.2)
        self._refresh = sync.Repeating("refresh", self._refresh_once, pause_s=sync.REFRESH_S)

    def open_for_business(self) -> None:
        """Fetch what the gate must know and start its threads.

        Raises ``NotReady``, ``ServerRefused`` or what else keeps it from charging by face.
        """
        try:
            self._refresh_once()
        except ServerUnreachable as error:
            if self._knowledge.matcher is None:
                raise NotReady(f"this gate has no gallery it can use, and {error}") from error
            if self._knowledge.blocked is None:
                raise NotReady(f"this gate has no deny list it can use, and {error}") from error
        self.start()

    def start(self) -> None:
        """Start the threads."""
        self._deliver.start()
        self._refresh.start()

    def stop(self) -> None:
        """Stop the threads; what is in the outbox stays there for the next run."""
        self._deliver.stop(10.0)
        self._refresh.stop(0.2)  # it may be waiting for news, and only reads

    def watch(self, camera: Camera) -> None:
        """Look at the camera's pictures until Ctrl-C, or until a played clip is over."""
        camera.start()
        try:
            while not camera.ended:
                timed = camera.next(0.5)
                self._monitor.turned(saw_frame=timed is not None)
                fault = camera.fault
                self._faults.set(
                    Fault.CAMERA, SENTENCES[fault].format(camera.name) if fault else ""
                )
                if timed is None:
                    self.loop.hear()
                else:
                    self.loop.on_frame(timed.frame, timed.at_s)
        except KeyboardInterrupt:
            print("gate: stopping", file=self._out, flush=True)
            self.drain(5.0)
        finally:
            camera.stop()

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
        if Fault.RECORD in self._faults.standing():
            self._outbox.prepare()
            self._faults.set(Fault.RECORD, "")
        return sync.deliver(self._outbox, self._client, self._display.settled) > 0

    def _refresh_once(self) -> bool:
        """The gallery first: an erasure must not wait for the ledger."""
        try:
            self._refresh_gallery()
            self._knowledge.blocked = sync.fetch_blocked(self._identity, self._client)
            self._knowledge.blocked_at = self._clock()
        except ServerUnreachable as error:
            self._faults.set(Fault.OFFLINE, str(error))
            self._use_what_was_kept()
            raise
        except FacefareError as error:
            self._faults.set(Fault.GALLERY, str(error))
            raise
        finally:
            self._faults.set(Fault.CLOCK, self._clock.problem)
        self._faults.set(Fault.OFFLINE, "")
        self._faults.set(Fault.GALLERY, "")
        return False

    def _refresh_gallery(self) -> None:
        kept = sync.kept_gallery(self._identity) if self._version < 0 else None
        have = kept.version if kept else self._version
        try:
            fresh = sync.fetch_gallery(self._identity, self._client, have)
        except ServerRefused:
            # Revoked: what this gate knows of riders is not its own to keep.
            self._knowledge.forget()
            sync.forget_gallery(self._identity)
            self._version = -1  # trusted again, it asks for the whole gallery
            raise
        newest = fresh or kept
        self._heard_at = self._clock()
        if newest is not None:
            self._use(newest)
        elif self._version < 0:
            raise NotReady("the server sent no gallery and none is kept here; it is asked again")

    def _use(self, snapshot: GallerySnapshot) -> None:
        # Fail closed: should the new gallery not be usable, the old one may hold riders who
        # have left since, and must not be searched either.
        self._knowledge.forget()
        matcher = make_matcher(snapshot, self._measured)
        self._knowledge.claims = Claims.of(snapshot, matcher.gallery, self._measured)
        self._knowledge.look_alikes = frozenset(r.account for r in snapshot.riders if r.ask)
        self._knowledge.matcher = matcher
        self._version = snapshot.version
        point = matcher.point
        print(
            f"gate: {self._identity.file.gate} at {self._identity.file.station}, "
            f"{len(snapshot.riders)} riders, operating point {point.threshold:.3f} "
            f"(margin {point.margin:.3f}) for {point.target_fpir:.1%} of strangers",
            file=self._out,
            flush=True,
        )

    def _use_what_was_kept(self) -> None:
        """Without a server: the gallery and the deny list of an earlier time, if young enough."""
        if self._version >= 0 and self._clock() - self._heard_at > GALLERY_AGE_MAX:
            self._knowledge.forget()
            self._version = -1
        kept = sync.kept_gallery(self._identity) if self._version < 0 else None
        if kept is not None:
            age = self._clock() - parse_utc(kept.issued_at)
            if age > GALLERY_AGE_MAX:
                raise NotReady(
                    f"the kept gallery is {age.days} days old; riders may have left since: connect "
                    "this gate to its server"
                )
            self._use(kept)
            self._heard_at = parse_utc(kept.issued_at)
        if self._knowledge.blocked is None:
            self._knowledge.blocked = sync.kept_blocked(self._identity)
            self._knowledge.blocked_at = sync.kept_blocked_at(self._identity)


@contextmanager
def running(identity: GateIdentity, out: TextIO, eyes: Eyes) -> Iterator[RunningGate]:
    """A gate with its equipment; what was started is stopped on the way out."""
    file, clock, knowledge = identity.file, GateClock(), Knowledge()
    client = Client(file.server, file.gate, identity.signing_key, clock=clock, learn=clock.learn)
    try:
        with equipped(identity, out, lambda: knowledge.claims, clock) as equipment:
            gate = RunningGate(identity, client, out, eyes, equipment, clock, knowledge)
            try:
                yield gate
            finally:
                gate.stop()
    finally:
        client.close()


def mount_of(identity: GateIdentity) -> Mount:
    camera = identity.file.camera
    return Mount(camera.rotation, camera.region)
