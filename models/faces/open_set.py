"""The open-set protocol: searches of enrolled people and of strangers, drawn by seed.

    rotation   draw half of the people who have k + m pictures or more: they are enrolled
    gallery    their templates (normalised mean of k pictures), filled to N with others
    mated      probes (normalised mean of m pictures) of the enrolled: missed unless the
               right rider is first, above the threshold, and clear of the second
    non-mated  probes of everybody who is not in the gallery
    repeat     16 rotations or more, until 10,000 non-mated searches

A search also fails, for everybody, where the first two riders are closer than the margin:
the gate would ask for a second factor. All of it is numpy, and the same seed draws the same
people. ``models.faces.calibration`` turns the searches into operating points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.faces import rates
from models.faces.errors import FaceError
from models.faces.rates import Searches
from models.faces.scoring import (
    Background,
    ScoreRule,
    Vectors,
    fuse,
    gallery_terms,
    score_all,
)

PROBES_PER_PERSON = 5
"""At most so many probes of one person a rotation, so that nobody outweighs the others."""

ROTATIONS_MAX = 400

CLAIM_STEP = 1e-4
CLAIM_EDGES = np.arange(-1.5, 1.5, CLAIM_STEP)
"""Lower edges of the histogram of comparisons: a million scores are not worth keeping."""

Faces = Mapping[str, Vectors]
"""The embeddings of each person: (pictures, dimensions), unit rows."""


class CalibrationRefused(FaceError):
    """Too few people or pictures to measure anything with."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure: ``riders`` in the gallery, ``enrolled`` and ``fused`` pictures."""

    riders: int
    enrolled: int
    fused: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long."""

    sizes: tuple[int, ...] = (50, 100, 300, 1000, 2000)
    beyond: tuple[int, ...] = (5000, 10_000)
    enrolled: tuple[int, ...] = (1, 3)
    fused: tuple[int, ...] = (1, 2, 3)
    target_fpirs: tuple[float, ...] = (0.001, 0.003, 0.01)
    target_fmrs: tuple[float, ...] = (0.001, 0.0001)
    margin: float = 0.01
    rotations_min: int = 16
    nonmated_min: int = 10_000
    seed: int = 1

    def cases(self) -> list[Case]:
        """Every case, small galleries and few pictures first."""
        return [
            Case(riders, enrolled, fused)
            for riders in self.sizes
            for enrolled in self.enrolled
            for fused in self.fused
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The searches of one case: of riders, and of strangers; ``first`` is the rank-1 rate."""

    mated: Searches
    nonmated: Searches
    first: float


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """One draw of people: templates, and the probes with the gallery row they belong to."""

    templates: Vectors
    mated: Vectors
    mated_rows: npt.NDArray[np.intp]
    mated_people: npt.NDArray[np.intp]
    nonmated: Vectors
    nonmated_people: npt.NDArray[np.intp]


def draw(faces: Faces, case: Case, rng: np.random.Generator) -> Rotation:
    """Draw one rotation; raises ``CalibrationRefused`` where there are too few people."""
    names = list(faces)
    counts = np.array([len(faces[name]) for name in names])
    able = rng.permutation(np.flatnonzero(counts >= case.enrolled + case.fused))
    enrolled = able[: min(len(able) // 2, case.riders)]
    rest = rng.permutation(np.setdiff1d(np.arange(len(names)), enrolled))
    # Strangers need as many pictures as are fused: those with fewer fill the gallery first.
    rest = rest[np.argsort(counts[rest] >= case.fused, kind="stable")]
    others = case.riders - len(enrolled)
    outside = [person for person in rest[others:] if counts[person] >= case.fused]
    if not len(enrolled) or len(rest) < others or not outside:
        raise CalibrationRefused(
            f"{len(names)} people with {counts.sum()} pictures are too few for a gallery of "
            f"{case.riders} with {case.enrolled} pictures each and {case.fused} a search; "
            "add people with more pictures, or measure smaller galleries"
        )
    shuffled = [faces[name][rng.permutation(len(faces[name]))] for name in names]
    templates = [fuse(shuffled[person][: case.enrolled]) for person in (*enrolled, *rest[:others])]
    mated = [
        (probe, row, person)
        for row, person in enumerate(enrolled)
        for probe in _probes(shuffled[person][case.enrolled :], case.fused)
    ]
    nonmated = [
        (probe, person) for person in outside for probe in _probes(shuffled[person], case.fused)
    ]
    return Rotation(
        templates=np.stack(templates),
        mated=np.stack([probe for probe, _, _ in mated]),
        mated_rows=np.array([row for _, row, _ in mated]),
        mated_people=np.array([person for _, _, person in mated]),
        nonmated=np.stack([probe for probe, _ in nonmated]),
        nonmated_people=np.array([person for _, person in nonmated]),
    )


def _probes(pictures: Vectors, fused: int) -> list[Vectors]:
    count = min(len(pictures) // fused, PROBES_PER_PERSON)
    return [fuse(pictures[fused * i : fused * (i + 1)]) for i in range(count)]


def run_case(
    faces: Faces,
    case: Case,
    rule: ScoreRule,
    background: Callable[[Vectors], Background],
    plan: Plan,
) -> Trial:
    """Search until both minimums of ``plan`` are reached; the same seed draws the same people.

    ``background`` makes the background of a score from the gallery's templates.
    """
    rng = np.random.default_rng([plan.seed, case.riders, case.enrolled, case.fused])
    mated: list[Searches] = []
    nonmated: list[Searches] = []
    first: list[npt.NDArray[np.bool_]] = []
    while len(mated) < plan.rotations_min or (
        sum(map(len, nonmated)) < plan.nonmated_min and len(mated) < ROTATIONS_MAX
    ):
        drawn = draw(faces, case, rng)
        against = background(drawn.templates)
        terms = gallery_terms(drawn.templates, against, rule)
        best, rows = _search(drawn.mated, drawn.templates, terms, against, rule, plan.margin)
        right = rows == drawn.mated_rows
        best[~right] = -np.inf
        first.append(right)
        mated.append(Searches(best, drawn.mated_people))
        best, _ = _search(drawn.nonmated, drawn.templates, terms, against, rule, plan.margin)
        nonmated.append(Searches(best, drawn.nonmated_people))
    return Trial(rates.join(mated), rates.join(nonmated), float(np.concatenate(first).mean()))


def _search(
    probes: Vectors,
    templates: Vectors,
    terms: Vectors,
    background: Background,
    rule: ScoreRule,
    margin: float,
) -> tuple[Vectors, npt.NDArray[np.intp]]:
    """The value of each search and the row it found."""
    scores = score_all(probes, templates, terms, background, rule)
    every = np.arange(len(probes))
    rows = scores.argmax(axis=1)
    best = scores[every, rows]
    scores[every, rows] = -np.inf
    best[best - scores.max(axis=1) < margin] = -np.inf
    return best, rows


@dataclass(frozen=True, slots=True, eq=False)
class ClaimTrial:
    """Comparisons with a claimed identity: the riders' own, and a histogram of the others'."""

    mated: Searches
    others: npt.NDArray[np.int64]

    def comparisons(self) -> int:
        """How many comparisons of two different people there were."""
        return int(self.others.sum())

    def threshold_at(self, rate: float) -> float:
        """The lowest edge of a bin that at most the share ``rate`` of the others reach."""
        reaching = np.cumsum(self.others[::-1])[::-1]
        allowed = rate * reaching[0]
        return float(CLAIM_EDGES[int(np.argmax(reaching <= allowed))])


def run_claims(
    faces: Faces,
    case: Case,
    rule: ScoreRule,
    background: Callable[[Vectors], Background],
    plan: Plan,
) -> ClaimTrial:
    """Compare every probe with its own template, and every stranger with the enrolled ones.

    Only people with all ``case.enrolled`` pictures are claimed; the rest of the gallery is
    background.
    """
    rng = np.random.default_rng([plan.seed, case.riders, case.enrolled, case.fused])
    mated: list[Searches] = []
    others = np.zeros(len(CLAIM_EDGES), dtype=np.int64)
    for _ in range(plan.rotations_min):
        drawn = draw(faces, case, rng)
        against = background(drawn.templates)
        terms = gallery_terms(drawn.templates, against, rule)
        scores = score_all(drawn.mated, drawn.templates, terms, against, rule)
        own = scores[np.arange(len(scores)), drawn.mated_rows]
        mated.append(Searches(own, drawn.mated_people))
        claimed = slice(int(drawn.mated_rows.max()) + 1)
        scores = score_all(drawn.nonmated, drawn.templates, terms, against, rule)[:, claimed]
        bins = np.clip((scores - CLAIM_EDGES[0]) / CLAIM_STEP, 0, len(CLAIM_EDGES) - 1)
        others += np.bincount(bins.astype(np.intp).ravel(), minlength=len(CLAIM_EDGES))
    return ClaimTrial(rates.join(mated), others)
