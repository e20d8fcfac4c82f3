"""Both checks on NUAA: people who sit before a webcam, and prints of them held up to it.

The set stores pictures, not video, about half a second apart. Thresholds for one person are
calibrated on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from bench.figures import Figure
from bench.liveness_figures import area_figure, rate
from bench.liveness_recordings import Bench, read_picture
from gate.liveness.fused import PAIR_LOOKS
from gate.liveness.rigid import Rigidity, view_of
from gate.liveness.thresholds import SHIPPED, LiveTrack, calibrate

COMPARISONS = 6
"""The set's pictures are half a second apart: so many pairs are three seconds."""


@dataclass
class _Person:
    """One person's tracks of five frames (pair) and of seven (stirring)."""

    pair: list[float] = field(default_factory=list)
    stirring: list[float] = field(default_factory=list)


def webcam_figures(bench: Bench, nuaa: Path, seed: int, step: Callable[[], None]) -> list[Figure]:
    people: dict[str, dict[str, _Person]] = {}
    for kind in ("live", "print"):
        people[kind] = {}
        for folder in sorted((nuaa / kind).iterdir()):
            people[kind][folder.name] = _webcam_person(bench, folder)
            step()
    live, prints = people["live"], people["print"]
    refused = taken = 0
    for name, person in live.items():
        others = [LiveTrack(s, None) for other in live if other != name for s in live[other].pair]
        threshold = calibrate(others).pair_min
        refused += sum(score < threshold for score in person.pair)
        taken += sum(score >= threshold for score in prints.get(name, _Person()).pair)
    alive = sum(len(person.pair) for person in live.values())
    attacks = sum(len(person.pair) for person in prints.values())
    shipped = SHIPPED.pair_min
    passed = sum(score >= shipped for person in prints.values() for score in person.pair)
    asked = sum(score < shipped for person in live.values() for score in person.pair)
    size = {"people": len(live)}
    return [
        rate("pair_nuaa_apcer", taken, attacks, 0.01, people=len(prints)),
        rate("pair_nuaa_bpcer", refused, alive, 0.03, **size),
        rate("pair_nuaa_apcer_shipped", passed, attacks, 0.01, people=len(prints)),
        rate("pair_nuaa_bpcer_shipped", asked, alive, 0.03, **size),
        *_webcam_stirring(live, prints, seed),
    ]


def _webcam_stirring(
    live: dict[str, _Person], prints: dict[str, _Person], seed: int
) -> list[Figure]:
    """The other check on the same people: it does not transfer to them, and is shown to fail."""
    sitting, held = (
        [(name, value) for name, person in side.items() for value in person.stirring]
        for side in (live, prints)
    )
    least = SHIPPED.stirring_min
    return [
        area_figure("stirring_auc_nuaa", sitting, held, seed),
        rate("stirring_nuaa_apcer", sum(value >= least for _, value in held), len(held)),
        rate("stirring_nuaa_bpcer", sum(value < least for _, value in sitting), len(sitting)),
    ]


def _webcam_person(bench: Bench, folder: Path) -> _Person:
    """Tracks within each recording; its stored pictures are about half a second apart."""
    person, rigidity = _Person(), Rigidity()
    paths = sorted(folder.glob("*.jpg"), key=_recording_and_number)
    for _, pictures in groupby(paths, key=lambda path: _recording_and_number(path)[0]):
        shares, views = [], []
        for path in pictures:
            frame = read_picture(path)
            faces = sorted(bench.engine.find(frame), key=lambda face: -face.box.width)
            if faces:
                shares.append(bench.pair.live_share(frame, faces[0].box))
                views.append(view_of(frame, faces[0]))
        person.pair += [float(np.mean(part)) for part in _parts(shares, PAIR_LOOKS)]
        stirred = (rigidity.stirring(before, after) for before, after in pairwise(views))
        found = [value for value in stirred if value is not None]
        person.stirring += [float(np.percentile(p, 25)) for p in _parts(found, COMPARISONS)]
    return person


def _recording_and_number(path: Path) -> tuple[str, int]:
    recording, _, number = path.stem.rpartition("_")
    return recording, int(number)


def _parts(values: list[float], length: int) -> list[list[float]]:
    return [values[at : at + length] for at in range(0, len(values) - length + 1, length)]
