"""A gate for benchmarks: real but for its door, before a gallery as large as asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.display import FaceBox
from gate.doors.events import DoorEvent
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.liveness.check import LivenessCheck
from gate.liveness.risk import Limits
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Phase, Policy
from gate.second_factor import PassAndDigits
from gate.sight import Knowledge
from models.faces.cohort import shipped_cohort
from models.faces.engine import Engine
from models.faces.matching import Gallery, Matcher
from models.faces.operating_points import choose, shipped_table
from models.faces.scoring import Vectors
from models.faces.tracking import Tracker
from models.wire.keys import base64url, raw_public

FUSED_FRAMES = 3
TARGET_FPIR, TARGET_FPIR_LARGE = 0.001, 0.01
MEASURED_RIDERS_MAX = 2000
"""For more riders there are only extrapolated operating points, at the larger rate."""

BOUNDLESS = Limits(openings_a_day=10**9, openings_since_pass=10**9, offline_openings_max=10**9)
"""The same few riders walk up again and again: how often a face may ride is not measured."""


class Stopwatch:
    """A door that notes when it was told to open, and for whom."""

    fault = ""

    def __init__(self) -> None:
        self.opened: list[tuple[float, str]] = []

    def open(self, account: str) -> None:
        self.opened.append((time.monotonic(), account))

    def events(self) -> list[DoorEvent]:
        return []


class Blank:
    """A screen that counts what it is told to show."""

    def __init__(self) -> None:
        self.shown: dict[Phase, int] = {}

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        self.shown[phase] = self.shown.get(phase, 0) + 1

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        return

    def face(self, box: FaceBox | None) -> None:
        return


def make_gate(folder: Path, **settings: Any) -> GateIdentity:
    """A provisioned gate without a server."""
    make_keys(folder)
    enrollment = base64url(raw_public(Ed25519PrivateKey.generate().public_key()))
    save_identity(
        folder,
        GateFile(
            gate="bench-1",
            station="bench",
            direction="in",
            server="http://127.0.0.1:9",
            enrollment_key=enrollment,
            **settings,
        ),
    )
    return load_identity(folder)


def gallery_of(templates: list[Vectors], accounts: list[str], size: int, seed: int) -> Gallery:
    """The riders among ``size`` others: mixtures of the cohort's faces of nobody."""
    cohort = shipped_cohort("dlib-resnet-1")
    if cohort is None:
        raise FileNotFoundError("the engine's cohort is not here; reinstall facefare")
    rng = np.random.default_rng(seed)
    others = max(0, size - len(templates))
    first, second = rng.integers(0, len(cohort.vectors), (2, others))
    share = rng.uniform(0.3, 0.7, (others, 1))
    mixed = share * cohort.vectors[first] + (1 - share) * cohort.vectors[second]
    mixed += rng.normal(0.0, 0.02, mixed.shape)
    rows: npt.NDArray[np.float64] = np.concatenate([np.array(templates), mixed])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = [*accounts, *(f"{number:032x}" for number in range(10**6, 10**6 + others))]
    return Gallery("dlib-resnet-1", 1, tuple(names), np.asarray(rows, dtype=np.float32))


def make_loop(
    identity: GateIdentity,
    engine: Engine,
    gallery: Gallery,
    check: LivenessCheck,
    door: Stopwatch,
    enrolled_images: int = 3,
) -> GateLoop:
    """The gate's own loop; nobody waits for anti-passback."""
    large = len(gallery.accounts) > MEASURED_RIDERS_MAX
    point = choose(
        shipped_table(engine.engine_id),
        engine.engine_id,
        len(gallery.accounts),
        TARGET_FPIR_LARGE if large else TARGET_FPIR,
        enrolled_images,
        FUSED_FRAMES,
        allow_extrapolated=large,
    )
    return GateLoop(
        identity,
        Knowledge(Matcher(gallery, shipped_cohort(engine.engine_id), point), {}),
        Tracker(engine, fused_frames=FUSED_FRAMES),
        Outbox(identity.outbox_path),
        door,
        Blank(),
        wall_clock=lambda: datetime.now(UTC),
        policy=Policy(anti_passback_s=0.0),
        check=check,
        second_factor=PassAndDigits(lambda: None, lambda: datetime.now(UTC)),
        limits=BOUNDLESS,
    )
