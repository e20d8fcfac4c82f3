"""``facefare bench duplicates``: is somebody found who enrolls a second time?

On LFW without the pictures of ``lfw-drop.tsv``, and without the people that the faces of
nobody were fitted to. Everybody with two pictures or more is enrolled with half of them and
comes again, under another name, with the other half (mostly one picture against one, often
years apart). *Caught* is who is stopped, at whatever level. A *false alarm* is a newcomer
who is stopped because of somebody else. Peer: the raw cosine at the same share caught.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from bench.embeddings import cached_people, left_out
from bench.figures import Figure, answer, figure
from bench.make_cohort import split
from enrollment.likeness import Likeness, fuse, is_one_face, likeness, limits_for, nobody
from models.faces.cohort import Cohort
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Engine
from models.faces.open_set import Faces
from models.faces.scoring import Vectors

ROTATIONS = 8
RIDERS = (100, 1000)
AVERAGED = (2, 3, 5, 10)
PICTURES = ((1, 1), (3, 1), (1, 3), (2, 2), (3, 3))
"""Enrolled with so many, come again with so many."""
CAUGHT = 0.99

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Twice:
    """The scores of one rotation: (people, riders); the person's own rider is in the diagonal."""

    scores: Vectors
    cosines: Vectors

    def own(self) -> Vectors:
        return np.asarray(np.diagonal(self.scores), dtype=np.float32)

    def strangers(self, of: Vectors) -> Vectors:
        others = of.copy()
        np.fill_diagonal(others, -9.0)
        return others


def run(
    seed: int, data_dir: Path, progress: Progress | None = None, engine: Engine | None = None
) -> dict[str, Any]:
    """Measure on ``data_dir/faces/lfw``; embeddings are computed once and cached."""
    engine = engine or DlibEngine.load()
    lfw = data_dir / "faces" / "lfw"
    people = cached_people(lfw, engine, progress, left_out(lfw.parent / "lfw-drop.tsv"))
    unfitted = split(people.faces)[1]
    cohort = nobody(engine.engine_id)
    figures: list[Figure] = []
    for riders in RIDERS:
        rng = np.random.default_rng([seed, riders])
        trials = [_trial(unfitted, riders, cohort, rng) for _ in range(ROTATIONS)]
        figures += _figures(trials, riders, engine.engine_id)
    figures += by_photos(unfitted, engine.engine_id, seed)
    figures += _poisoned(unfitted, engine.engine_id, seed)
    return answer("duplicates", seed, figures)


def twice(
    faces: Faces,
    names: Sequence[str],
    cohort: Cohort,
    rng: Rng,
    first: int = 0,
    again_with: int = 0,
) -> Twice:
    """Enroll ``names`` with half of their pictures (or ``first``), and have them come again
    with the other half (or ``again_with``)."""
    enrolled, again = [], []
    for name in names:
        rows = faces[name][rng.permutation(len(faces[name]))]
        count = first or max(1, len(rows) // 2)
        enrolled.append(fuse(rows[:count]))
        rest = rows[count:][: again_with or None]
        again.append(fuse(rest) if len(rest) else enrolled[-1])
    riders, newcomers = np.stack(enrolled), np.stack(again)
    scores = np.stack([likeness(one, riders, cohort) for one in newcomers])
    return Twice(scores, np.asarray(newcomers @ riders.T, dtype=np.float32))


def stopped(scores: Vectors, engine_id: str, riders: int, least: Likeness) -> Any:
    """Which of ``scores`` ask for at least ``least``."""
    limits = limits_for(engine_id)
    levels = [limits.level(float(score), riders) for score in scores]
    return np.array([level is not None and level >= least for level in levels])


def _trial(faces: Faces, riders: int, cohort: Cohort, rng: Rng) -> tuple[Twice, int]:
    """As many who come again as there are, filled up to ``riders`` with others."""
    order = [list(faces)[row] for row in rng.permutation(len(faces))]
    several = [name for name in order if len(faces[name]) >= 2][:riders]
    others = [name for name in order if len(faces[name]) == 1][: riders - len(several)]
    return twice(faces, several + others, cohort, rng), len(several)


def _figures(trials: list[tuple[Twice, int]], riders: int, engine_id: str) -> list[Figure]:
    own = np.concatenate([trial.own()[:again] for trial, again in trials])
    own_cosines = np.concatenate([np.diagonal(t.cosines)[:again] for t, again in trials])
    nearest = np.concatenate([trial.strangers(trial.scores).max(axis=1) for trial, _ in trials])
    cosines = np.concatenate([trial.strangers(trial.cosines).max(axis=1) for trial, _ in trials])
    figures = []
    for level in Likeness:
        caught = stopped(own, engine_id, riders, level).mean()
        alarms = stopped(nearest, engine_id, riders, level).mean()
        raw = np.quantile(own_cosines, 1 - caught)
        name = level.name.lower()
        target = CAUGHT if level is Likeness.ASK and riders == min(RIDERS) else None
        figures += [
            figure(f"caught_{name}_n{riders}", round(float(caught), 4), "", target, at_least=True),
            figure(
                f"false_alarms_{name}_n{riders}", round(float(alarms), 4), "",
                peer="raw cosine, the same share caught",
                peer_value=round(float((cosines >= raw).mean()), 4),
            ),
        ]  # fmt: skip
    return figures


def by_photos(faces: Faces, engine_id: str, seed: int) -> list[Figure]:
    """The same people with more pictures on either side, before 1,000 riders.

    Pictures of different days each; three frames of one sitting are worth less.
    """
    several = [name for name in faces if len(faces[name]) >= 2 * max(map(max, PICTURES))]
    figures = []
    for first, again in PICTURES:
        rng = np.random.default_rng([seed, first, again])
        trials = [
            twice(faces, several, nobody(engine_id), rng, first, again) for _ in range(ROTATIONS)
        ]
        own = np.concatenate([trial.own() for trial in trials])
        figures += [
            figure(
                f"caught_{level.name.lower()}_{first}x{again}",
                round(float(stopped(own, engine_id, 1000, level).mean()), 4),
                "",
                people=len(several),
            )
            for level in (Likeness.ASK, Likeness.SAME)
        ]
    return figures


def _poisoned(faces: Faces, engine_id: str, seed: int) -> list[Figure]:
    """Means of several people, which must not become templates; and everybody's, which must."""
    rng = np.random.default_rng([seed, 4])
    cohort, limits = nobody(engine_id), limits_for(engine_id)
    names = list(faces)
    real = [fuse(rows) for rows in faces.values()]
    kept = np.mean([is_one_face(template, cohort, limits) for template in real])
    figures = [figure("real_templates_accepted", round(float(kept), 4), "", 0.999, at_least=True)]
    for count in AVERAGED:
        means = [
            fuse(np.stack([faces[names[row]][0] for row in rng.choice(len(names), count, False)]))
            for _ in range(500)
        ]
        refused = np.mean([not is_one_face(mean, cohort, limits) for mean in means])
        figures.append(figure(f"mean_of_{count}_refused", round(float(refused), 4), ""))
    return figures
