"""The parts of a gate that look, loaded once from files that may be missing or broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from gate.faults import Fault, FaultBoard
from gate.identity import GateIdentity
from gate.liveness.check import LivenessCheck
from gate.liveness.choices import chosen_check
from gate.passage import Phase
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Engine
from models.faces.runtime import multiply_on_one_thread

DETECT_SIDE_MAX_PX = 640
RETRY_S = 5.0

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Eyes:
    """What finds and recognises faces, and what says whether they live."""

    engine: Engine
    check: LivenessCheck


def load_engine() -> Engine:
    """The gate's engine: it searches a smaller picture than the desk does, to keep up."""
    multiply_on_one_thread()
    return DlibEngine.load(detect_side_max=DETECT_SIDE_MAX_PX)


def load_eyes(identity: GateIdentity, liveness: str | None, models: Path) -> Eyes:
    """Engine and liveness check; ``liveness`` overrules what ``gate.toml`` says.

    Raises ``FacefareError`` where a file is missing or broken, with how to get it.
    """
    choice = liveness or identity.file.policy.liveness
    return Eyes(load_engine(), chosen_check(choice, models, identity.liveness_path))


def patiently(make: Callable[[], Made], out: TextIO, faults: FaultBoard, fault: Fault) -> Made:
    """What ``make`` makes, as soon as it can; until then ``fault`` stands, with what is missing."""
    said = ""
    while True:
        try:
            made = make()
        except FacefareError as error:
            if str(error) != said:
                said = str(error)
                faults.set(fault, said)
                print(f"screen: {Phase.OUT_OF_SERVICE}: {said}", file=out, flush=True)
            time.sleep(RETRY_S)
        else:
            faults.set(fault, "")
            return made
