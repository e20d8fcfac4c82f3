"""Somebody who enrolls again under another name is found: on a hundred real people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.duplicates import Twice, stopped, twice
from bench.embeddings import left_out
from bench.make_cohort import split
from enrollment.likeness import Likeness, fuse, is_one_face, limits_for, nobody, typicality
from models.faces.dlib_engine import DlibEngine
from models.faces.open_set import Faces
from models.faces.people import list_pictures, read_people

PEOPLE = 100
PICTURES_MAX = 4


@pytest.fixture(scope="module")
def faces(engine: DlibEngine, data: Path) -> Faces:
    """A hundred people with two to four pictures each, none of whom the limits' cohort knows."""
    lfw = data / "faces" / "lfw"
    pictures: dict[str, list[Path]] = {}
    for path in list_pictures(lfw, left_out(lfw.parent / "lfw-drop.tsv")):
        pictures.setdefault(path.parent.name, []).append(path)
    several = sorted(name for name, paths in pictures.items() if len(paths) >= 2)
    unknown = sorted(split({name: np.zeros((1, 1), np.float32) for name in several})[1])
    chosen = np.random.default_rng(1).choice(unknown, PEOPLE + 10, replace=False)
    wanted = [path for name in chosen for path in pictures[name][:PICTURES_MAX]]
    read = read_people(wanted, engine, lambda done, of: None).faces
    found = {name: rows for name, rows in read.items() if len(rows) >= 2}
    return dict(list(found.items())[:PEOPLE])


@pytest.fixture(scope="module")
def again(faces: Faces, engine: DlibEngine) -> Twice:
    return twice(faces, list(faces), nobody(engine.engine_id), np.random.default_rng(2))


def test_ninety_nine_of_a_hundred_are_found_when_they_come_again(
    faces: Faces, again: Twice, engine: DlibEngine
) -> None:
    caught = stopped(again.own(), engine.engine_id, PEOPLE, Likeness.ASK)
    nearest = again.strangers(again.scores).max(axis=1)
    asked = stopped(nearest, engine.engine_id, PEOPLE, Likeness.ASK)
    flagged = stopped(nearest, engine.engine_id, PEOPLE, Likeness.LOOK_ALIKE)
    print(  # noqa: T201
        f"\n{caught.sum()} of {len(faces)} found; of newcomers {asked.mean():.0%} are compared "
        f"with somebody else, {flagged.mean():.1%} count as look-alikes"
    )
    assert len(faces) == PEOPLE
    assert caught.sum() >= 99
    assert asked.mean() <= 0.35
    assert flagged.mean() <= 0.03


def test_hardly_anybody_is_taken_for_the_same_as_somebody_else(
    again: Twice, engine: DlibEngine
) -> None:
    nearest = again.strangers(again.scores).max(axis=1)
    assert stopped(nearest, engine.engine_id, PEOPLE, Likeness.SAME).sum() <= 1


def test_real_templates_are_accepted_and_means_of_many_are_not(
    faces: Faces, engine: DlibEngine
) -> None:
    cohort, limits = nobody(engine.engine_id), limits_for(engine.engine_id)
    real = [fuse(rows) for rows in faces.values()]
    assert all(is_one_face(template, cohort, limits) for template in real)
    rng, pool = np.random.default_rng(3), np.stack(real)
    means = [fuse(pool[rng.choice(PEOPLE, 5, replace=False)]) for _ in range(100)]
    refused = [not is_one_face(mean, cohort, limits) for mean in means]
    assert sum(refused) >= 95
    everybody = fuse(pool)
    assert not is_one_face(everybody, cohort, limits)
    assert typicality(everybody, cohort) > max(typicality(one, cohort) for one in real)


def test_what_is_no_face_at_all_is_no_template(engine: DlibEngine) -> None:
    cohort, limits = nobody(engine.engine_id), limits_for(engine.engine_id)
    noise = np.random.default_rng(4).standard_normal(128)
    made_up = np.asarray(noise / np.linalg.norm(noise), dtype=np.float32)
    assert not is_one_face(made_up, cohort, limits)
    assert not is_one_face(np.full(128, np.nan, np.float32), cohort, limits)
