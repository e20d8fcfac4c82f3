"""Measure operating points from the embeddings of people, by person.

``models.faces.open_set`` makes the searches. Here the threshold for a false-positive rate is
read off the strangers' searches, and how many riders are missed at it off the riders' own.

Fused strangers score higher than single ones, so the row for m pictures holds the strictest
threshold of 1 to m. The pictures fused here are independent of each other; the frames of
one passage are not, and all together are worth one or two such pictures
(docs/calibration.md). A row for three pictures therefore covers a passage of any number of
frames, and the misses to expect lie between its ``fnir`` and its ``fnir_one_frame``.

Beyond the sizes that the people suffice for, FPIR grows as the number of comparisons does:
the threshold for ten times the riders is the one a tenth as many strangers reach. Such rows
are marked ``extrapolated``. A rate is never read off fewer than ten false positives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from models.faces import rates
from models.faces.cohort import Cohort
from models.faces.open_set import (
    CalibrationRefused,
    Case,
    ClaimTrial,
    Faces,
    Plan,
    Trial,
    run_case,
    run_claims,
)
from models.faces.operating_points import FORMAT, ClaimPoint, OperatingPoint, Table
from models.faces.scoring import (
    Background,
    ScoreRule,
    Vectors,
    gallery_background,
    strangers,
)

Progress = Callable[[str], None]
About = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class _Owner:
    """What every threshold of this run belongs to."""

    engine_id: str
    cohort_id: str
    weight: float
    neighbours: int


def measure(
    faces: Faces,
    engine_id: str,
    cohort: Cohort | None,
    plan: Plan,
    about: About,
    progress: Progress = lambda step: None,
) -> tuple[Table, dict[Case, Trial]]:
    """Measure every row of ``plan`` that ``faces`` suffice for: the table, and its searches.

    ``about`` goes into the table: which data, in which state. Raises ``CalibrationRefused``
    where not a single row can be measured.
    """
    rule = ScoreRule()
    owner = _Owner(engine_id, cohort.cohort_id if cohort else "", rule.weight, rule.neighbours)
    trials = _run_all(faces, cohort, rule, plan, progress)
    points = [
        point
        for riders in (*plan.sizes, *plan.beyond)
        for enrolled in plan.enrolled
        for point in _points(trials, plan, riders, enrolled, owner)
    ]
    if not points:
        raise CalibrationRefused(
            f"{len(faces)} people are too few to measure anything: a false-positive rate of "
            f"{max(plan.target_fpirs):.1%} needs {int(10 / max(plan.target_fpirs))} searches of "
            "strangers, and a gallery needs people with several pictures; add people"
        )
    claims = _claims(faces, cohort, plan, owner, progress)
    facts = {**about, "seed": plan.seed, "rotations_min": plan.rotations_min, "people": len(faces)}
    table = Table(format=FORMAT, measured=facts, points=tuple(points), claims=tuple(claims))
    return table, trials


def _run_all(
    faces: Faces, cohort: Cohort | None, rule: ScoreRule, plan: Plan, progress: Progress
) -> dict[Case, Trial]:
    """The trials of every case there are enough people for."""
    nobody = cohort.vectors if cohort else None
    trials: dict[Case, Trial] = {}
    for case in plan.cases():
        progress(f"{case.riders} riders, {case.enrolled} enrolled, {case.fused} fused")
        try:
            trials[case] = run_case(
                faces, case, rule, lambda templates: gallery_background(templates, nobody), plan
            )
        except CalibrationRefused as error:
            progress(f"left out: {error}")
    return trials


def _points(
    trials: Mapping[Case, Trial], plan: Plan, riders: int, enrolled: int, owner: _Owner
) -> list[OperatingPoint]:
    """The rows of one gallery size, from its own trials or from the largest measured size."""
    measured = max(
        (c.riders for c in trials if c.enrolled == enrolled and c.riders <= riders), default=0
    )
    if measured < riders and riders not in plan.beyond:
        return []
    ladder: list[Trial] = []
    points: list[OperatingPoint] = []
    for fused in plan.fused:
        trial = trials.get(Case(measured, enrolled, fused))
        if trial is None:
            break  # a row needs the rows of fewer pictures
        ladder.append(trial)
        for target in plan.target_fpirs:
            rate = target * measured / riders
            if all(rates.countable(step.nonmated, rate) for step in ladder):
                point = _point(ladder, Case(riders, enrolled, fused), target, rate, plan, owner)
                points.append(point)
    return points


def _point(
    ladder: list[Trial], case: Case, target: float, rate: float, plan: Plan, owner: _Owner
) -> OperatingPoint:
    """The row for the last trial of ``ladder``, which holds those of 1 to m pictures."""
    rng = np.random.default_rng(plan.seed)
    trial = ladder[-1]
    threshold = max(rates.threshold_at(step.nonmated, rate) for step in ladder)
    drawn = np.max(
        [rates.resampled_thresholds(step.nonmated, rate, rng) for step in ladder], axis=0
    )
    low, high = rates.interval_below(trial.mated, drawn, rng)
    return OperatingPoint(
        engine_id=owner.engine_id,
        cohort_id=owner.cohort_id,
        weight=owner.weight,
        neighbours=owner.neighbours,
        gallery_size=case.riders,
        enrolled_images=case.enrolled,
        fused_frames=case.fused,
        target_fpir=target,
        threshold=round(threshold + 5e-6, 5),  # rounded up, never down
        margin=plan.margin,
        fnir=round(rates.share_below(trial.mated, threshold), 5),
        fnir_low=round(low, 5),
        fnir_high=round(high, 5),
        fnir_one_frame=round(rates.share_below(ladder[0].mated, threshold), 5),
        mated_searches=len(trial.mated),
        nonmated_searches=len(trial.nonmated),
        nonmated_people=trial.nonmated.distinct(),
        extrapolated=rate < target,
    )


def _claims(
    faces: Faces, cohort: Cohort | None, plan: Plan, owner: _Owner, progress: Progress
) -> list[ClaimPoint]:
    """The rows for claimed identities: by background, with the cohort alone as size 0."""
    nobody = cohort.vectors if cohort else None
    points: list[ClaimPoint] = []
    for size in (0, *plan.sizes) if cohort else plan.sizes:
        for enrolled in plan.enrolled:
            progress(f"claimed identity, {size} riders, {enrolled} enrolled")
            case = Case(size or max(plan.sizes), enrolled, 1)
            ladder = []
            for fused in plan.fused:
                try:
                    ladder.append(
                        run_claims(
                            faces,
                            replace(case, fused=fused),
                            ScoreRule(),
                            partial(_claim_background, nobody=nobody, riders=size > 0),
                            plan,
                        )
                    )
                except CalibrationRefused as error:
                    progress(f"left out: {error}")
                    break
                points += [
                    _claim(ladder, Case(size, enrolled, fused), target, plan, owner)
                    for target in plan.target_fmrs
                    if all(step.comparisons() * target >= rates.EVENTS_MIN for step in ladder)
                ]
    return points


def _claim_background(templates: Vectors, nobody: Vectors | None, riders: bool) -> Background:
    if nobody is not None and not riders:
        return strangers(nobody)
    return gallery_background(templates, nobody)


def _claim(
    ladder: list[ClaimTrial], case: Case, target: float, plan: Plan, owner: _Owner
) -> ClaimPoint:
    """The row for the last trial of ``ladder``; its interval is of the riders drawn alone."""
    trial = ladder[-1]
    threshold = max(step.threshold_at(target) for step in ladder)
    fixed = np.full(rates.BOOTSTRAPS, threshold)
    low, high = rates.interval_below(trial.mated, fixed, np.random.default_rng(plan.seed))
    return ClaimPoint(
        engine_id=owner.engine_id,
        cohort_id=owner.cohort_id,
        weight=owner.weight,
        neighbours=owner.neighbours,
        gallery_size=case.riders,
        enrolled_images=case.enrolled,
        fused_frames=case.fused,
        target_fmr=target,
        threshold=round(threshold, 5),
        margin=plan.margin,
        fnmr=round(rates.share_below(trial.mated, threshold), 5),
        fnmr_low=round(low, 5),
        fnmr_high=round(high, 5),
        mated_comparisons=len(trial.mated),
        nonmated_comparisons=trial.comparisons(),
    )
