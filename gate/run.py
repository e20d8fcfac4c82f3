"""Put a gate together and let it run: on a clip until its end, on a camera until stopped.

A gate on a camera is left alone for months. Whatever keeps it from working (no server, no
gallery, a broken file, a dead camera) stands on its screen and in its log, and is tried
again until it works. A clip is run by somebody who waits for the result: there the first
thing that is wrong ends the run with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gate import sync
from gate.camera import Camera
from gate.client import Client
from gate.clips import PlayedClip, recorded
from gate.clock import GateClock
from gate.equipment import Equipment, equipped
from gate.errors import NotReady, ServerUnreachable
from gate.eyes import Eyes, load_eyes, patiently
from gate.faults import Fault, FaultBoard
from gate.frames import Mount
from gate.identity import GateIdentity
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Policy
from gate.picture import SENTENCES
from gate.recognition import Measured
from gate.refresh import Refresh
from gate.sight import Knowledge
from models.faces.tracking import Tracker

FUSED_FRAMES = 3


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
        with waiting(identity, out, load) as gate:
            print("gate: running; stop with Ctrl-C", file=out, flush=True)
            gate.start()
            gate.watch(camera)
            return gate.summary()
    except KeyboardInterrupt:
        return None


class RunningGate:
    """A gate with its threads: one delivers taps, two fetch the gallery and the deny list."""

    def __init__(
        self,
        identity: GateIdentity,
        client: Client,
        out: TextIO,
        eyes: Eyes,
        outbox: Outbox,
        equipment: Equipment,
        clock: GateClock,
        knowledge: Knowledge,
    ) -> None:
        self._client = client
        self._out = out
        self._knowledge = knowledge
        self._faults = equipment.faults
        self._monitor = equipment.monitor
        self._display = equipment.display
        self._outbox = outbox
        self.refresh = Refresh(
            identity,
            client,
            knowledge,
            Measured.of(eyes.engine.engine_id, identity.table_path),
            clock,
            equipment.faults,
            out,
        )
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

    def open_for_business(self) -> None:
        """Fetch what the gate must know and start its threads.

        Raises ``NotReady``, ``ServerRefused`` or what else keeps it from charging by face.
        """
        try:
            self.refresh.everything()
        except ServerUnreachable as error:
            if self._knowledge.matcher is None:
                raise NotReady(f"this gate has no gallery it can use, and {error}") from error
            if self._knowledge.blocked is None:
                raise NotReady(f"this gate has no deny list it can use, and {error}") from error
        self.start()

    def start(self) -> None:
        """Start the threads."""
        self._deliver.start()
        self.refresh.start()

    def stop(self) -> None:
        """Stop the threads; what is in the outbox stays there for the next run."""
        self._deliver.stop(10.0)
        self.refresh.stop()

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


def running(identity: GateIdentity, out: TextIO, eyes: Eyes) -> AbstractContextManager[RunningGate]:
    """A gate with its equipment; what was started is stopped on the way out."""
    return _around(identity, out, lambda _faults: (eyes, Outbox(identity.outbox_path)))


def waiting(
    identity: GateIdentity, out: TextIO, load: Callable[[], Eyes]
) -> AbstractContextManager[RunningGate]:
    """The same; what is missing or broken at the start stands on the screen until it is mended."""

    def parts(faults: FaultBoard) -> tuple[Eyes, Outbox]:
        outbox = patiently(lambda: Outbox(identity.outbox_path), out, faults, Fault.RECORD)
        return patiently(load, out, faults, Fault.EYES), outbox

    return _around(identity, out, parts)


@contextmanager
def _around(
    identity: GateIdentity, out: TextIO, parts: Callable[[FaultBoard], tuple[Eyes, Outbox]]
) -> Iterator[RunningGate]:
    file, clock, knowledge = identity.file, GateClock(), Knowledge()
    client = Client(file.server, file.gate, identity.signing_key, clock=clock, learn=clock.learn)
    try:
        with equipped(identity, out, lambda: knowledge.claims, clock) as equipment:
            eyes, outbox = parts(equipment.faults)
            gate = RunningGate(identity, client, out, eyes, outbox, equipment, clock, knowledge)
            try:
                yield gate
            finally:
                gate.stop()
    finally:
        client.close()


def mount_of(identity: GateIdentity) -> Mount:
    camera = identity.file.camera
    return Mount(camera.rotation, camera.region)
