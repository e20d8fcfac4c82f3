"""What becomes of a threshold before another camera and other people: NUAA's webcam frames.

One person after another is the stranger; half of the others are enrolled, among LFW people,
and half pass by. Three ways to deal with it are compared: the LFW threshold as it is; the
same with the passers-by in the background (a cohort of the station's own population); and
a threshold set anew on the passers-by. Each person of this sample sat once, so what the
ways cost riders is measured on LFW riders: webcam riders would be found by their shirt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.figures import Figure, figure
from models.faces import rates
from models.faces.open_set import Case, Faces, Plan, run_case
from models.faces.rates import Searches
from models.faces.scoring import (
    Background,
    ScoreRule,
    Vectors,
    fuse,
    gallery_terms,
    score_all,
    strangers,
)

CASE = Case(riders=300, enrolled=3, fused=1)
ROTATIONS = 24
RATES = (0.001, 0.01)
OWN_RATE = 0.01  # two hundred frames of passers-by cannot show a smaller one

MakeBackground = Callable[[Vectors], Background]


@dataclass
class _Outcome:
    """Of all rotations: strangers' searches, and the thresholds their passers-by would set."""

    strangers: list[Searches] = field(default_factory=list)
    with_own_cohort: list[Searches] = field(default_factory=list)
    own_thresholds: list[float] = field(default_factory=list)


def webcam_figures(
    faces: Faces, webcam: Faces, background: MakeBackground, plan: Plan
) -> list[Figure]:
    """FPIR really obtained in each way, and riders missed where the threshold is the station's."""
    ours = _measure(faces, webcam, ScoreRule(), background, plan)
    raw = _measure(faces, webcam, ScoreRule(0.0, 1), _unused, plan)
    return [
        figure(
            f"webcam_{name}",
            round(value, 4),
            f"share of searches, {len(webcam)} people, {CASE.riders} riders",
            None,
            "raw cosine of the same embeddings",
            round(raw[name], 4),
        )
        for name, value in ours.items()
    ]


def frames_worth(faces: Faces, webcam: Faces) -> Figure:
    """How many independent pictures the frames of one sitting are worth, however many.

    Pictures of one person scatter; those of one sitting share most of it. Where the shared
    part is r, the mean of m frames scatters like 1 / (r + (1 - r) / m) pictures: at most 1 / r.
    """
    apart = float(np.mean([_scatter(rows) for rows in faces.values() if len(rows) > 2]))
    worth = [apart / (apart - _scatter(rows)) for rows in webcam.values()]
    return figure(
        "webcam_frames_worth_pictures",
        round(float(np.median(worth)), 2),
        "independent pictures, median of people",
        most=round(max(worth), 2),
    )


def _scatter(rows: Vectors) -> float:
    """One minus the mean cosine between two of ``rows``."""
    cosines = rows @ rows.T
    count = len(rows)
    return 1.0 - float(cosines.sum() - count) / (count * (count - 1))


def _unused(templates: Vectors) -> Background:
    return strangers(templates[:3])


def _measure(
    faces: Faces, webcam: Faces, rule: ScoreRule, make: MakeBackground, plan: Plan
) -> dict[str, float]:
    lfw = run_case(faces, CASE, rule, make, plan)
    outcome = _rotate(faces, webcam, rule, make, plan)
    every, helped = rates.join(outcome.strangers), rates.join(outcome.with_own_cohort)
    found: dict[str, float] = {}
    for rate in RATES:
        threshold = rates.threshold_at(lfw.nonmated, rate)
        found[f"fpir_lfw_threshold_{rate * 100:g}pct"] = rates.share_reaching(every, threshold)
        found[f"fpir_own_cohort_{rate * 100:g}pct"] = rates.share_reaching(helped, threshold)
    pairs = list(zip(outcome.strangers, outcome.own_thresholds, strict=True))
    reached = [rates.share_reaching(searches, threshold) for searches, threshold in pairs]
    missed = [rates.share_below(lfw.mated, threshold) for _, threshold in pairs]
    found["fpir_own_threshold_1pct"] = float(np.mean(reached))
    found["fnir_own_threshold_1pct"] = float(np.mean(missed))
    found["fnir_lfw_threshold_1pct"] = rates.share_below(
        lfw.mated, rates.threshold_at(lfw.nonmated, OWN_RATE)
    )
    return found


def _rotate(
    faces: Faces, webcam: Faces, rule: ScoreRule, make: MakeBackground, plan: Plan
) -> _Outcome:
    rng = np.random.default_rng(plan.seed)
    outcome = _Outcome()
    people = list(webcam)
    for turn in range(ROTATIONS):
        stranger = people[turn % len(people)]
        rest = rng.permutation([name for name in people if name != stranger])
        enrolled, passing = rest[::2], rest[1::2]
        others = rng.choice(list(faces), CASE.riders - len(enrolled), replace=False)
        spread = [webcam[name][:: len(webcam[name]) // CASE.enrolled] for name in enrolled]
        few = [faces[name][: CASE.enrolled] for name in others]
        templates = np.stack([fuse(rows) for rows in (*spread, *few)])
        against = make(templates)
        own = _and_strangers(against, np.stack([fuse(webcam[name]) for name in passing]))
        passed = np.concatenate([_best(webcam[name], templates, against, rule) for name in passing])
        outcome.strangers.append(_searches(_best(webcam[stranger], templates, against, rule), turn))
        outcome.with_own_cohort.append(
            _searches(_best(webcam[stranger], templates, own, rule), turn)
        )
        outcome.own_thresholds.append(rates.threshold_at(_searches(passed, turn), OWN_RATE))
    return outcome


def _and_strangers(background: Background, more: Vectors) -> Background:
    extra = strangers(more)
    return Background(
        np.concatenate([background.vectors, extra.vectors]),
        np.concatenate([background.riders, extra.riders]),
    )


def _best(probes: Vectors, templates: Vectors, against: Background, rule: ScoreRule) -> Vectors:
    terms = gallery_terms(templates, against, rule)
    return np.asarray(score_all(probes, templates, terms, against, rule).max(axis=1))


def _searches(values: Vectors, person: int) -> Searches:
    return Searches(values, np.full(len(values), person, dtype=np.intp))
