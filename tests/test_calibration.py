"""The open-set protocol on made-up people, where the truth is known."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.accuracy import RAW
from bench.embeddings import cached_people, left_out
from bench.make_cohort import COSINE_MAX, draw_cohort, is_fitted, nearest
from models.faces import rates
from models.faces.calibration import measure
from models.faces.cohort import shipped_cohort
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Box, Embeddings, Face, Frame
from models.faces.errors import FaceError
from models.faces.open_set import CalibrationRefused, Case, Plan, draw, run_case, run_claims
from models.faces.operating_points import choose, choose_claim, read_table
from models.faces.people import PicturesRefused, list_pictures, read_people
from models.faces.rates import Searches
from models.faces.report import ReportError, calibrate, write_report
from models.faces.scoring import ScoreRule, gallery_background
from tests.conftest import DATA, missing
from tests.galleries import ENGINE, cohort, many, people, pictures_of

ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"
QUICK = Plan(
    sizes=(20, 40),
    beyond=(80,),
    enrolled=(1, 3),
    fused=(1, 2),
    target_fpirs=(0.01, 0.1),
    target_fmrs=(0.01,),
    rotations_min=4,
    nonmated_min=1000,
)


def test_a_rotation_keeps_riders_and_strangers_apart() -> None:
    faces = many(120, 6)
    names = list(faces)
    for seed in range(10):
        drawn = draw(faces, Case(50, 2, 2), np.random.default_rng(seed))
        assert drawn.templates.shape[0] == 50
        assert not set(drawn.mated_people) & set(drawn.nonmated_people)
        assert all(len(faces[names[person]]) >= 4 for person in drawn.mated_people)
        assert all(len(faces[names[person]]) >= 2 for person in drawn.nonmated_people)


def test_no_picture_is_both_enrolled_and_searched() -> None:
    faces = many(60, 5)
    drawn = draw(faces, Case(20, 1, 1), np.random.default_rng(1))
    assert float((drawn.mated @ drawn.templates.T).max()) < 0.999
    assert float((drawn.nonmated @ drawn.templates.T).max()) < 0.999


def test_too_few_people_are_refused_with_what_to_do() -> None:
    for case in (Case(500, 1, 1), Case(20, 9, 1), Case(60, 1, 1)):
        with pytest.raises(CalibrationRefused, match="add people with more pictures"):
            draw(many(60, 5), case, np.random.default_rng(1))


def test_the_same_seed_gives_the_same_table() -> None:
    faces = many(150, 6)
    first, _ = measure(faces, ENGINE, cohort(), QUICK, {"data": "made up"})
    again, _ = measure(faces, ENGINE, cohort(), QUICK, {"data": "made up"})
    other, _ = measure(faces, ENGINE, cohort(), replace(QUICK, seed=2), {"data": "made up"})
    assert first == again
    assert first.points != other.points


def test_a_threshold_lets_through_what_it_says() -> None:
    """Measured on one half of the people, applied to the other."""
    faces = many(500, 4)
    names = sorted(faces)
    halves = [{name: faces[name] for name in names[part::2]} for part in (0, 1)]
    background = partial(gallery_background, nobody=cohort().vectors)
    plan = replace(QUICK, rotations_min=16, nonmated_min=8000)
    here, there = (run_case(half, Case(60, 1, 1), ScoreRule(), background, plan) for half in halves)
    for rate in (0.01, 0.05):
        threshold = rates.threshold_at(here.nonmated, rate)
        assert rates.share_reaching(here.nonmated, threshold) <= rate
        assert rate / 2 < rates.share_reaching(there.nonmated, threshold) < rate * 2


def test_a_search_that_finds_the_wrong_rider_is_a_miss_at_any_threshold() -> None:
    faces = many(80, 4)
    # Everybody's last picture is somebody else's: half of the probes cannot be right.
    wrong = people(80, seed=7)
    swapped = {
        name: np.concatenate([rows[:-1], wrong[i : i + 1]]) if len(rows) > 1 else rows
        for i, (name, rows) in enumerate(faces.items())
    }
    background = partial(gallery_background, nobody=cohort().vectors)
    trial = run_case(swapped, Case(30, 1, 1), ScoreRule(), background, QUICK)
    assert rates.share_below(trial.mated, -100.0) > 0.3
    assert trial.first < 0.7


def test_a_search_too_close_to_call_is_a_miss() -> None:
    faces = many(80, 4)
    background = partial(gallery_background, nobody=cohort().vectors)
    trial = run_case(faces, Case(30, 1, 1), ScoreRule(), background, replace(QUICK, margin=5.0))
    assert rates.share_below(trial.mated, -100.0) == 1.0


def test_thresholds_are_counted_exactly() -> None:
    strangers = Searches(np.arange(1000, dtype=np.float32), np.arange(1000))
    for rate, reached in ((0.001, 1), (0.01, 10), (0.0, 0), (0.0105, 10)):
        threshold = rates.threshold_at(strangers, rate)
        assert round(rates.share_reaching(strangers, threshold) * 1000) == reached


def test_equal_scores_are_never_let_through_together() -> None:
    strangers = Searches(np.ones(1000, dtype=np.float32), np.arange(1000))
    assert rates.share_reaching(strangers, rates.threshold_at(strangers, 0.01)) == 0.0


def test_a_threshold_never_falls_below_all_scores() -> None:
    """Where the margin stops nearly everybody, minus infinity must not become the threshold."""
    values = np.full(1000, -np.inf, dtype=np.float32)
    values[:3] = 0.5
    strangers = Searches(values, np.arange(1000))
    assert rates.threshold_at(strangers, 0.01) > 0.5


def test_intervals_come_from_people_not_from_searches() -> None:
    """A hundred searches of each of ten people say no more than ten people do."""
    per_person = np.repeat(np.linspace(0, 1, 10, dtype=np.float32), 100)
    few = Searches(per_person, np.repeat(np.arange(10), 100))
    many_people = Searches(per_person, np.arange(1000))
    fixed = np.full(rates.BOOTSTRAPS, 0.5)
    low, high = rates.interval_below(few, fixed, np.random.default_rng(1))
    narrow_low, narrow_high = rates.interval_below(many_people, fixed, np.random.default_rng(1))
    assert low < rates.share_below(few, 0.5) < high
    assert high - low > 4 * (narrow_high - narrow_low)


def test_resampled_thresholds_lie_around_the_threshold() -> None:
    rng = np.random.default_rng(1)
    strangers = Searches(rng.standard_normal(5000).astype(np.float32), np.arange(5000))
    drawn = rates.resampled_thresholds(strangers, 0.01, rng)
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert low < rates.threshold_at(strangers, 0.01) < high
    assert high - low < 0.5


def test_a_table_holds_strict_rows_and_marks_what_it_computed() -> None:
    table, _ = measure(many(150, 6), ENGINE, cohort(), QUICK, {"data": "made up"})
    rows = {
        (r.gallery_size, r.enrolled_images, r.fused_frames, r.target_fpir): r for r in table.points
    }
    assert {key[0] for key in rows if not rows[key].extrapolated} == {20, 40}
    assert {key[0] for key in rows if rows[key].extrapolated} == {80}
    for (size, enrolled, _, target), row in rows.items():
        assert row.threshold >= rows[size, enrolled, 1, target].threshold
        assert row.fnir_low <= row.fnir <= row.fnir_high
    assert rows[80, 1, 1, 0.1].threshold >= rows[40, 1, 1, 0.1].threshold
    assert choose(table, ENGINE, 33, 0.01, 3, 2).gallery_size == 40
    assert {row.gallery_size for row in table.claims} == {0, 20, 40}
    assert choose_claim(table, ENGINE, 33, 0.01).gallery_size == 20


def test_a_rate_is_never_read_off_a_handful_of_strangers() -> None:
    plan = replace(QUICK, target_fpirs=(0.1, 0.0001), nonmated_min=500)
    table, _ = measure(many(150, 6), ENGINE, cohort(), plan, {})
    assert {row.target_fpir for row in table.points} == {0.1}
    with pytest.raises(CalibrationRefused, match="too few to measure anything"):
        measure(many(150, 6), ENGINE, cohort(), replace(plan, target_fpirs=(0.0001,)), {})


def test_a_claim_accepts_as_many_strangers_as_it_says() -> None:
    faces = many(200, 5)
    background = partial(gallery_background, nobody=cohort().vectors)
    trial = run_claims(faces, Case(60, 2, 1), ScoreRule(), background, QUICK)
    counts = trial.others
    threshold = trial.threshold_at(0.01)
    reached = counts[np.arange(-1.5, 1.5, 1e-4)[: len(counts)] >= threshold - 1e-9].sum()
    assert 0.008 < reached / trial.comparisons() <= 0.01
    assert rates.share_below(trial.mated, threshold) < 0.5


def test_the_report_explains_and_draws_what_was_measured(tmp_path: Path) -> None:
    table, trials = measure(many(150, 6), ENGINE, cohort(), QUICK, {"data": "<made up>"})
    made = write_report(table, trials, tmp_path / "out", ENGINE)
    assert read_table(made.table_file) == table
    page = made.page.read_text()
    assert "&lt;made up&gt;" in page
    assert page.count("<tr>") == len(table.points) + 1
    for name in ("misses", "thresholds", "scores"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"{name}.svg" in page
        assert "<svg" in (tmp_path / "out" / f"{name}.svg").read_text()


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    table, trials = measure(many(150, 6), ENGINE, cohort(), QUICK, {})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportError, match="cannot be written"):
        write_report(table, trials, tmp_path / "file", ENGINE)


class _PaintedFaces:
    """An engine of our own port: a picture's mean colour is its face."""

    engine_id = ENGINE
    dimensions = 3

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        if not frame.any():
            return []
        return [Face(Box(0, 0, 8, 8), np.zeros((68, 2), dtype=np.float32), 1.0)]

    def find_near(self, frame: Frame, face: Face) -> list[Face]:
        return self.find(frame)

    def follow(self, frame: Frame, face: Face) -> Face:
        return face

    def embed(self, frame: Frame, faces: list[Face]) -> Embeddings:
        mean = frame.reshape(-1, 3).mean(axis=0)
        return np.asarray([mean / np.linalg.norm(mean)], dtype=np.float32)


def test_folders_of_pictures_become_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for person in range(40):
        folder = tmp_path / "riders" / f"rider-{person}"
        folder.mkdir(parents=True)
        colour = rng.integers(40, 250, 3)
        for picture in range(3):
            pixels = np.clip(colour + rng.integers(-2, 3, (8, 8, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{picture}.png"), pixels)
    cv2.imwrite(str(tmp_path / "riders" / "rider-0" / "dark.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "riders" / "rider-0" / "broken.jpg").write_bytes(b"not a picture")
    plan = replace(QUICK, sizes=(20,), beyond=(), enrolled=(1,), fused=(1,), target_fpirs=(0.1,))
    seen: list[tuple[int, int]] = []
    made = calibrate(
        tmp_path / "riders",
        _PaintedFaces(),
        tmp_path / "out",
        plan,
        on_picture=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (122, 122)
    assert made.table.measured["pictures_without_face"] == 2
    assert made.table.measured["people"] == 40
    assert choose(made.table, ENGINE, 20, 0.1, 1, 1).cohort_id == ""
    assert json.loads(made.table_file.read_text())["format"] == "facefare-operating-points-1"


def test_the_benchmarks_embed_a_set_once_and_keep_it_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(1)
    for person in ("anna", "bo"):
        (tmp_path / "set" / person).mkdir(parents=True)
        pixels = rng.integers(40, 250, (8, 8, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "set" / person / "1.png"), pixels)
    first = cached_people(tmp_path / "set", _PaintedFaces(), None, frozenset())
    assert list(first.faces) == ["anna", "bo"]
    blind = _PaintedFaces()
    monkeypatch.setattr(blind, "find", lambda frame, thorough=False: [])
    kept = cached_people(tmp_path / "set", blind, None, frozenset())
    assert all(np.array_equal(kept.faces[name], first.faces[name]) for name in first.faces)
    cv2.imwrite(str(tmp_path / "set" / "bo" / "2.png"), np.full((9, 9, 3), 200, np.uint8))
    assert len(cached_people(tmp_path / "set", _PaintedFaces(), None, frozenset()).faces["bo"]) == 2


def test_a_folder_without_pictures_by_person_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loose.jpg").write_bytes(b"")
    with pytest.raises(PicturesRefused, match="one folder a person"):
        list_pictures(tmp_path)


def test_pictures_named_as_wrong_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    for name in ("1.jpg", "2.jpg", "notes.txt"):
        (tmp_path / "anna" / name).write_bytes(b"")
    assert [path.name for path in list_pictures(tmp_path, {"anna/1.jpg"})] == ["2.jpg"]


def test_a_cohort_resembles_its_people_but_is_none_of_them() -> None:
    centres = people(6, seed=1, dimensions=64)
    faces = {str(n): pictures_of(centres[n % 6], 3, seed=n, spread=0.06) for n in range(120)}
    every = np.concatenate(list(faces.values()))
    drawn = draw_cohort(faces, seed=1)
    again = draw_cohort(faces, seed=1)
    assert np.array_equal(drawn, again)
    assert float(nearest(drawn, every).max()) <= COSINE_MAX
    assert float(np.median(nearest(drawn, every))) > 0.6


def test_errors_of_this_part_are_face_errors() -> None:
    for error in (CalibrationRefused, PicturesRefused, ReportError):
        assert issubclass(error, FaceError)


@pytest.mark.skipif(not ALL, reason="half a minute: FACEFARE_TEST_ALL=1 runs it")
def test_on_real_faces_the_background_lets_more_riders_through(engine: DlibEngine) -> None:
    """The reason for all of this, on 420 people whom the cohort was not fitted to."""
    lfw = DATA / "faces" / "lfw"
    if not lfw.is_dir():
        missing(f"the LFW pictures in {DATA}")
    by_person: dict[str, list[Path]] = {}
    for picture in list_pictures(lfw, left_out(lfw.parent / "lfw-drop.tsv")):
        if not is_fitted(picture.parent.name):
            by_person.setdefault(picture.parent.name, []).append(picture)
    often = [pictures[:4] for pictures in by_person.values() if len(pictures) >= 4][:120]
    once = [pictures for pictures in by_person.values() if len(pictures) == 1][:300]
    pictures = [picture for person in (*often, *once) for picture in person]
    faces = read_people(pictures, engine).faces
    nobody = shipped_cohort("dlib-resnet-1")
    assert nobody is not None
    ours = partial(gallery_background, nobody=nobody.vectors)
    case, plan = Case(200, 1, 1), Plan(margin=0.0)
    missed = {}
    for name, rule in (("ours", ScoreRule()), ("raw", RAW)):
        trial = run_case(faces, case, rule, ours, plan)
        missed[name] = rates.share_below(trial.mated, rates.threshold_at(trial.nonmated, 0.003))
    assert missed["ours"] < 0.9 * missed["raw"], missed
