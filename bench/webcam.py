"""What becomes of a threshold before another camera and other people: NUAA's webcam frames.

One person after another is the stranger; the others and LFW people are the gallery. The
LFW threshold is applied as it is, and then set anew on webcam strangers: of the people not
in turn, half are enrolled and half are the passers-by that set the threshold. Riders'
frames are of the sitting they were enrolled in, so their misses here are flattering; the
strangers' rates are not.
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

RIDERS = 300
ENROLLED = 3
ROTATIONS = 24
FPIRS = (0.001, 0.01)
MakeBackground = Callable[[Vectors], Background]


@dataclass
class _Drawn:
    """The searches of all rotations: of strangers, passers-by and riders."""

    strangers: list[Searches] = field(default_factory=list)
    passers_by: list[Searches] = field(default_factory=list)
    riders: list[Searches] = field(default_factory=list)


def webcam_figures(
    faces: Faces, webcam: Faces, background: MakeBackground, plan: Plan
) -> list[Figure]:
    """FPIR at the LFW threshold, and both error rates at a threshold of the station's own."""
    figures: list[Figure] = []
    ways = {
        "ours": (ScoreRule(), background),
        "raw": (ScoreRule(0.0, 1), lambda templates: strangers(templates[:3])),
    }
    found: dict[str, list[float]] = {}
    for way, (rule, make) in ways.items():
        trial = run_case(faces, Case(RIDERS, ENROLLED, 1), rule, make, plan)
        drawn = _search_all(faces, webcam, rule, make, plan)
        outside, passing = rates.join(drawn.strangers), rates.join(drawn.passers_by)
        riders = rates.join(drawn.riders)
        for rate in FPIRS:
            lfw = rates.threshold_at(trial.nonmated, rate)
            own = rates.threshold_at(passing, rate)
            found[f"{way} {rate}"] = [
                rates.share_reaching(outside, lfw),
                rates.share_below(riders, lfw),
                rates.share_reaching(outside, own),
                rates.share_below(riders, own),
            ]
    names = ("fpir_lfw_threshold", "fnir_lfw_threshold", "fpir_own_threshold", "fnir_own_threshold")
    for rate in FPIRS:
        pairs = zip(names, found[f"ours {rate}"], found[f"raw {rate}"], strict=True)
        for name, ours, raw in pairs:
            figures.append(
                figure(
                    f"webcam_{name}_{rate * 100:g}pct",
                    round(ours, 4),
                    f"share of searches, {len(webcam)} people, {RIDERS} riders",
                    None,
                    "raw cosine of the same embeddings",
                    round(raw, 4),
                )
            )
    return figures


def _search_all(
    faces: Faces, webcam: Faces, rule: ScoreRule, make: MakeBackground, plan: Plan
) -> _Drawn:
    rng = np.random.default_rng(plan.seed)
    drawn = _Drawn()
    people = list(webcam)
    for turn in range(ROTATIONS):
        order = rng.permutation(len(people))
        stranger = turn % len(people)
        rest = [int(person) for person in order if person != stranger]
        enrolled, passing = rest[::2], rest[1::2]
        names = rng.choice(list(faces), RIDERS - len(enrolled), replace=False)
        templates = np.stack(
            [fuse(webcam[people[p]][:: len(webcam[people[p]]) // ENROLLED]) for p in enrolled]
            + [fuse(faces[name][:ENROLLED]) for name in names]
        )
        against = make(templates)
        terms = gallery_terms(templates, against, rule)

        best = [_best(webcam[name], templates, terms, against, rule) for name in people]
        drawn.strangers.append(Searches(best[stranger][0], _repeat(stranger, best)))
        drawn.passers_by += [Searches(best[p][0], _repeat(p, best)) for p in passing]
        for row, person in enumerate(enrolled):
            scores, rows = best[person]
            scores[rows != row] = -np.inf
            drawn.riders.append(Searches(scores, _repeat(person, best)))
    return drawn


def _best(
    probes: Vectors, templates: Vectors, terms: Vectors, against: Background, rule: ScoreRule
) -> tuple[Vectors, rates.People]:
    """The best score of every probe, and whose it is."""
    scores = score_all(probes, templates, terms, against, rule)
    return scores.max(axis=1), scores.argmax(axis=1)


def _repeat(person: int, best: list[tuple[Vectors, rates.People]]) -> rates.People:
    return np.full(len(best[person][0]), person, dtype=np.intp)
