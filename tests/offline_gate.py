"""A gate's program without a network, for a test that kills it: riders show passes all day.

python offline_gate.py FOLDER FIRST LAST

It is the gate's own loop with its outbox; a passage is one rider with a pass. The door
writes each opening to FOLDER/opened.txt before it goes on, as a lock's own counter would,
and FOLDER/reached.txt says which passage is being worked on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gate.decision import Decision, Open, Refuse
from gate.doors.events import DoorEvent
from gate.identity import load_identity
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Phase, Policy
from gate.presented import Presented, PresentedPass, SeenFace
from gate.sight import Knowledge
from models.faces.engine import Embeddings, Face, Frame
from models.faces.tracking import Tracker
from models.wire.tap import PassEvidence, pass_hash
from models.wire.times import parse_utc

FRAME: Frame = np.zeros((48, 64, 3), np.uint8)
BETWEEN_S = 86400 / 5000
"""5,000 passages make a day."""


class Blind:
    """An engine that sees nobody: these riders show a pass."""

    engine_id = "blind-1"
    dimensions = 128

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        return []

    def find_near(self, frame: Frame, face: Face) -> list[Face]:
        return []

    def follow(self, frame: Frame, face: Face) -> Face:
        return face

    def embed(self, frame: Frame, faces: list[Face]) -> Embeddings:
        return np.empty((0, 128), np.float32)


class Passes:
    """Whoever is next in the day's list holds up a pass; some passes have run out."""

    def __init__(self) -> None:
        self.next: tuple[str, bool] | None = None

    def look(self, frame: Frame, now_s: float) -> Presented | None:
        return PresentedPass(self.next[0]) if self.next else None

    def decide(self, presented: Presented, seen: SeenFace | None) -> Decision:
        assert self.next is not None
        account, good = self.next
        if not good:
            return Refuse("This pass has run out.")
        return Open(account, PassEvidence(pass_hash=pass_hash(account)), "pass")

    def clear(self) -> None:
        self.next = None


class CountingDoor:
    """Writes down for whom it opened, durably."""

    fault = ""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="ascii")

    def open(self, account: str) -> None:
        self._file.write(account + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def events(self) -> list[DoorEvent]:
        return []


class Dark:
    """No screen."""

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        return

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        return

    def face(self, box: object) -> None:
        return


def main(folder: Path, first: int, last: int) -> None:
    day = json.loads((folder / "day.json").read_text("utf-8"))
    began: datetime = parse_utc(day["began"])
    identity = load_identity(folder / "gate")
    passes, passage = Passes(), first
    loop = GateLoop(
        identity,
        Knowledge(None, dict.fromkeys(day["blocked"], "Your account is blocked.")),
        Tracker(Blind(), fused_frames=3),
        Outbox(identity.outbox_path),
        CountingDoor(folder / "opened.txt"),
        Dark(),
        wall_clock=lambda: began + timedelta(seconds=passage * BETWEEN_S),
        policy=Policy(anti_passback_s=10.0),
        second_factor=passes,
    )
    for passage in range(first, last):
        (folder / "reached.txt").write_text(str(passage), "ascii")
        passes.next = tuple(day["riders"][passage])
        for tick in range(6):  # some frames with the pass, then nobody
            loop.on_frame(FRAME, passage * BETWEEN_S + tick * 0.5)
    sys.stdout.write("over\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
