"""What the gate keeps of people who pass by and of passages that are over: nothing, soon."""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.gate_station import Stopwatch, make_gate
from gate.liveness.fused import FusedCheck
from gate.liveness.rigid import Rigidity
from gate.liveness.risk import SAFE
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.sight import Knowledge, Sight
from models.faces.engine import Frame
from models.faces.tracking import Tracker
from tests.test_gate_liveness import Notes
from tests.test_tracking import Puppets

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOISE = np.random.default_rng(2).integers(60, 200, (200, 400, 3), np.uint8)


def test_the_frames_of_somebody_who_walked_past_are_gone_within_a_second(tmp_path: Path) -> None:
    puppets = Puppets()
    history = Outbox(tmp_path / "outbox.sqlite").history(lambda: NOW)
    sight = Sight(
        Knowledge(), Tracker(puppets, fused_frames=3), FusedCheck(None, Rigidity()), history, SAFE,
        in_zone=lambda box, frame: False, wall_clock=lambda: NOW,
    )  # fmt: skip
    frames: list[weakref.ref[Frame]] = []

    def see(first: int, last: int) -> None:
        for number in range(first, last):
            frame = NOISE.copy()
            frames.append(weakref.ref(frame))
            sight.observe(frame, number / 30, frozenset())

    see(0, 60)
    assert any(kept() is not None for kept in frames), "while they are there"
    puppets.at = []
    see(60, 90)
    assert [number for number, kept in enumerate(frames) if kept() is not None] == []


def test_passages_that_are_over_do_not_pile_up(tmp_path: Path) -> None:
    identity, puppets = make_gate(tmp_path / "gate"), Puppets()
    outbox, screen = Outbox(identity.outbox_path), Notes()
    tracker = Tracker(puppets, fused_frames=3)
    loop = GateLoop(
        identity, Knowledge(), tracker, outbox, Stopwatch(), screen, wall_clock=lambda: NOW
    )
    ended = []
    for number in range(40 * 30):
        puppets.at = [40] if number % 40 < 20 else []
        loop.on_frame(NOISE, number / 30)
        if loop._state is not None:
            ended.append(len(loop._state.ended))
    assert tracker._next_id > 20, "thirty people came and went"
    assert max(ended) == 1
