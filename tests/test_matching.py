"""One probe against a gallery: found, too close to call, unknown, or refused."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import pytest

from models.faces import ranking, scoring
from models.faces.cohort import CohortError, read_cohort, shipped_cohort
from models.faces.exact_index import ExactIndex
from models.faces.matching import (
    Ambiguous,
    Gallery,
    Match,
    Matcher,
    MatchingError,
    Unknown,
    Verifier,
)
from models.faces.quantise import quantise, restore
from models.faces.scoring import (
    Background,
    EmbeddingRefused,
    ScoreRule,
    fuse,
    gallery_background,
    gallery_terms,
    score_all,
)
from tests.galleries import (
    DIMENSIONS,
    ENGINE,
    claim_point,
    cohort,
    gallery,
    people,
    pictures_of,
    point,
    unit,
)


def brute_force_scores(probe: Any, templates: Any, nobody: Any, b: float, k: int) -> list[float]:
    """The formula of models.faces.scoring, written out in float64 for one probe."""
    probe, templates, nobody = (np.asarray(x, dtype=np.float64) for x in (probe, templates, nobody))

    def near(face: Any, left_out: int) -> float:
        riders = np.delete(templates, left_out, axis=0)
        cosines = np.concatenate([riders, nobody]) @ face
        return float(np.sort(cosines)[-k:].mean())

    return [
        float(probe @ g) - b / 2 * near(probe, row) - b / 2 * near(g, row)
        for row, g in enumerate(templates)
    ]


def test_a_rider_is_found_with_the_evidence() -> None:
    riders = people(40, seed=1)
    matcher = Matcher(gallery(riders), cohort(), point())
    found = matcher.search(fuse(pictures_of(riders[7], 3, seed=5)), 3, ENGINE)
    assert isinstance(found, Match)
    assert found.account == f"{7:032x}"
    assert (found.frames, found.engine_id, found.gallery_version) == (3, ENGINE, 3)
    assert found.score >= 0.4
    assert found.margin >= 0.01


def test_a_stranger_is_unknown() -> None:
    matcher = Matcher(gallery(people(40, seed=1)), cohort(), point())
    for stranger in people(50, seed=2):
        assert isinstance(matcher.search(stranger, 1, ENGINE), Unknown)


def test_the_score_is_the_documented_formula() -> None:
    riders, nobody = people(30, seed=1), people(20, seed=99)
    background = gallery_background(riders, nobody)
    rule = ScoreRule(0.6, 4)
    probes = np.concatenate([people(10, seed=3), riders[:10]])
    scores = score_all(probes, riders, gallery_terms(riders, background, rule), background, rule)
    for probe, row in zip(probes, scores, strict=True):
        expected = brute_force_scores(probe, riders, nobody, 0.6, 4)
        assert row == pytest.approx(expected, abs=1e-5)


def test_one_search_gives_the_score_that_calibration_measures() -> None:
    riders = people(30, seed=1)
    probe = pictures_of(riders[3], 1, seed=8)[0]
    found = Matcher(gallery(riders), cohort(), point()).search(probe, 1, ENGINE)
    best, second = sorted(
        brute_force_scores(probe, riders, cohort().vectors, 0.7, 5), reverse=True
    )[:2]
    assert isinstance(found, Match)
    assert found.score == pytest.approx(best, abs=1e-5)
    assert found.margin == pytest.approx(best - second, abs=1e-5)


def test_an_index_finds_what_a_full_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    riders = people(3000, seed=1)
    full = Matcher(gallery(riders), cohort(), point())
    monkeypatch.setattr(ranking, "INDEX_FROM", 100)
    indexed = Matcher(gallery(riders), cohort(), point())
    assert indexed._ranking is not None
    assert indexed._ranking.index is not None
    probes = [pictures_of(riders[row], 1, seed=row)[0] for row in range(0, 3000, 60)]
    for probe in [*probes, *people(50, seed=4)]:
        ours, theirs = indexed.search(probe, 1, ENGINE), full.search(probe, 1, ENGINE)
        assert type(ours) is type(theirs)
        assert ours.score == pytest.approx(theirs.score, abs=1e-6)
        assert ours.margin == pytest.approx(theirs.margin, abs=1e-6)


def test_an_index_that_cannot_prove_its_answer_searches_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More equal templates than candidates: the second best lies outside the candidates too."""
    riders = np.concatenate([people(300, seed=1), np.repeat(people(1, seed=2), 400, axis=0)])
    monkeypatch.setattr(ranking, "INDEX_FROM", 100)
    # The 400 would be each other's whole background, and score nothing, were all in it.
    monkeypatch.setattr(scoring, "BACKGROUND_RIDERS_MAX", 3)
    matcher = Matcher(gallery(riders), cohort(), point())
    found = matcher.search(riders[500], 1, ENGINE)
    assert isinstance(found, Ambiguous)
    assert found.margin == pytest.approx(0.0, abs=1e-6)


def test_the_candidates_limit_is_above_every_row_left_out() -> None:
    riders = people(5000, seed=1)
    terms = np.random.default_rng(2).uniform(0.1, 0.3, len(riders)).astype(np.float32)
    index = ExactIndex(riders, terms)
    for probe in people(30, seed=3):
        found = index.candidates(probe, 50)
        exact = riders @ probe - terms
        assert np.delete(exact, found.rows).max() <= found.limit


def test_an_empty_gallery_knows_nobody() -> None:
    empty = gallery(np.empty((0, DIMENSIONS), dtype=np.float32))
    found = Matcher(empty, cohort(), point()).search(people(1, seed=1)[0], 1, ENGINE)
    assert found == Unknown(None, None, 1, ENGINE, 3)


def test_a_gallery_of_one_finds_its_rider_and_nobody_else() -> None:
    rider = people(1, seed=1)
    matcher = Matcher(gallery(rider), cohort(), point())
    found = matcher.search(pictures_of(rider[0], 1, seed=2)[0], 1, ENGINE)
    assert isinstance(found, Match)
    assert found.margin == found.score
    assert isinstance(matcher.search(people(1, seed=3)[0], 1, ENGINE), Unknown)


def test_two_riders_with_the_same_template_are_ambiguous() -> None:
    riders = people(30, seed=1)
    riders[20] = riders[4]
    found = Matcher(gallery(riders), cohort(), point(threshold=0.2)).search(riders[4], 1, ENGINE)
    assert isinstance(found, Ambiguous)
    assert set(found.accounts) == {f"{4:032x}", f"{20:032x}"}


def test_a_face_like_everybodys_must_be_closer_than_one_like_nobodys() -> None:
    """The point of the background: the same cosine counts for less in a crowd."""
    crowd = pictures_of(people(1, seed=1)[0], 20, seed=2, spread=0.05)
    loner = people(1, seed=3)
    templates = np.concatenate([crowd, loner])
    background = Background(templates, np.arange(len(templates)))
    terms = gallery_terms(templates, background, ScoreRule())
    probes = np.concatenate([pictures_of(t, 1, seed=7) for t in (crowd[0], loner[0])])
    cosines = probes @ templates.T
    scores = score_all(probes, templates, terms, background, ScoreRule())
    assert abs(cosines[0, 0] - cosines[1, 20]) < 0.1
    assert scores[1, 20] - scores[0, 0] > 0.4


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.full(DIMENSIONS, np.nan, dtype=np.float32), "length nan, not 1"),
        (np.full(DIMENSIONS, np.inf, dtype=np.float32), "length inf, not 1"),
        (np.zeros(DIMENSIONS, dtype=np.float32), "length 0, not 1"),
        (people(1, 1)[0] * np.float32(1.01), "not 1"),
        (people(1, 1)[0].astype(np.float64), "must be float32 numbers, not float64"),
        (people(1, 1), "numbers, not of shape"),
        (people(1, 1, dimensions=16)[0], "a probe is 32 numbers"),
        ([0.1] * DIMENSIONS, "a probe is 32 numbers"),
    ],
)
def test_a_probe_that_is_no_embedding_is_refused(bad: Any, words: str) -> None:
    for riders in (people(10, seed=1), np.empty((0, DIMENSIONS), dtype=np.float32)):
        matcher = Matcher(gallery(riders), cohort(), point())
        with pytest.raises(EmbeddingRefused, match=words):
            matcher.search(bad, 1, ENGINE)


def test_a_template_that_is_no_embedding_is_refused() -> None:
    riders = people(10, seed=1)
    riders[6, 2] = np.nan
    with pytest.raises(EmbeddingRefused, match="row 6 of the gallery's templates"):
        gallery(riders)
    with pytest.raises(EmbeddingRefused, match="float32"):
        gallery(people(10, seed=1).astype(np.float16))


def test_views_are_copied_and_answer_the_same() -> None:
    wide = np.repeat(people(40, seed=1), 2, axis=1)[:, ::2]
    assert not wide.flags.c_contiguous
    probe = np.repeat(pictures_of(wide[5], 1, seed=2)[0], 2)[::2]
    found = Matcher(gallery(wide), cohort(), point()).search(probe, 1, ENGINE)
    assert isinstance(found, Match)
    assert found.account == f"{5:032x}"


def test_a_gallery_cannot_be_changed_behind_the_matchers_back() -> None:
    with pytest.raises(ValueError, match="read-only"):
        gallery(people(3, seed=1)).templates[0, 0] = 1.0


def test_a_gallery_holds_every_account_once() -> None:
    with pytest.raises(MatchingError, match="an account twice"):
        Gallery(ENGINE, 1, ("a", "a"), people(2, seed=1))
    with pytest.raises(MatchingError, match="1 accounts for 2 templates"):
        Gallery(ENGINE, 1, ("a",), people(2, seed=1))


def test_engines_are_never_mixed() -> None:
    riders = people(10, seed=1)
    with pytest.raises(MatchingError, match="point belongs to the engine other-1"):
        Matcher(gallery(riders), cohort(), point(engine_id="other-1"))
    with pytest.raises(MatchingError, match="the cohort belongs to the engine other-1"):
        Matcher(gallery(riders), cohort(engine_id="other-1"), point())
    with pytest.raises(MatchingError, match="a probe of the engine other-1 cannot be compared"):
        Matcher(gallery(riders), cohort(), point()).search(riders[0], 1, "other-1")


def test_a_point_serves_no_larger_gallery_and_no_other_cohort() -> None:
    riders = people(51, seed=1)
    with pytest.raises(MatchingError, match="measured for 50 riders, the gallery has 51"):
        Matcher(gallery(riders), cohort(), point(gallery_size=50))
    with pytest.raises(
        MatchingError, match="measured with the cohort 'made-up-cohort', not 'none'"
    ):
        Matcher(gallery(riders), None, point())


def test_a_background_that_is_too_small_is_refused() -> None:
    with pytest.raises(MatchingError, match="a background of 4 faces is too small"):
        Matcher(gallery(people(4, seed=1)), None, point(cohort_id=""))


def test_a_probe_needs_a_frame() -> None:
    with pytest.raises(MatchingError, match="from at least one frame, not from 0"):
        Matcher(gallery(people(9, seed=1)), cohort(), point()).search(people(1, 1)[0], 0, ENGINE)


def test_fusing_is_the_normalised_mean() -> None:
    pictures = pictures_of(people(1, seed=1)[0], 3, seed=2)
    assert fuse(pictures) == pytest.approx(unit(pictures.mean(axis=0)), abs=1e-6)
    assert fuse(pictures).dtype == np.float32


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.empty((0, 4), dtype=np.float32), "no embedding to fuse"),
        (unit(np.array([[1, 0], [-1, 0]])), "cancel each other out"),
        (np.array([[np.nan, 1]], dtype=np.float32), "length nan"),
    ],
)
def test_what_cannot_be_fused_is_refused(bad: Any, words: str) -> None:
    with pytest.raises(EmbeddingRefused, match=words):
        fuse(bad)


def test_a_claimed_identity_is_checked_against_the_claimed_riders_only() -> None:
    riders = people(60, seed=1)
    station = gallery(riders)
    verifier = Verifier(station, cohort(), claim_point())
    probe = pictures_of(riders[8], 1, seed=4)[0]
    same_digits = station.only([f"{8:032x}", f"{30:032x}", "nobody"])
    found = verifier.verify(probe, same_digits, 1, ENGINE)
    assert isinstance(found, Match)
    assert found.account == f"{8:032x}"
    others = station.only([f"{9:032x}", f"{30:032x}"])
    assert isinstance(verifier.verify(probe, others, 1, ENGINE), Unknown)
    assert isinstance(verifier.verify(probe, station.only([]), 1, ENGINE), Unknown)


def test_a_claimed_rider_of_this_station_is_no_background_to_themselves() -> None:
    """A pass holds the same template as the gallery: being there must not lower the score."""
    riders = people(60, seed=1)
    probe = pictures_of(riders[8], 1, seed=4)[0]
    a_pass = gallery(riders).only([f"{8:032x}"])
    away = gallery(riders).without([f"{8:032x}"])
    at_home = Verifier(gallery(riders), cohort(), claim_point()).verify(probe, a_pass, 1, ENGINE)
    elsewhere = Verifier(away, cohort(), claim_point()).verify(probe, a_pass, 1, ENGINE)
    assert at_home.score == pytest.approx(elsewhere.score, abs=1e-6)


def test_a_claim_threshold_needs_its_background() -> None:
    with pytest.raises(MatchingError, match="measured before 300 riders, the gallery has 60"):
        Verifier(gallery(people(60, seed=1)), cohort(), claim_point(gallery_size=300))


def test_a_template_survives_the_pass() -> None:
    templates = people(500, seed=1, dimensions=128)
    codes = quantise(templates)
    assert codes.nbytes == 500 * 128
    assert np.einsum("ij,ij->i", templates, restore(codes)).min() > 0.999
    assert np.array_equal(quantise(restore(codes)), codes)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 128), dtype=np.int8),
        np.ones((1, 128), dtype=np.uint8),
        np.ones(128, dtype=np.int8),
    ],
)
def test_a_pass_without_a_template_is_refused(bad: Any) -> None:
    with pytest.raises(EmbeddingRefused, match="quantised template"):
        restore(bad)


def test_the_shipped_cohort_is_nobody() -> None:
    file = resources.files("models.faces") / "tables" / "dlib-resnet-1.npz"
    made, about = read_cohort(file)
    assert made.vectors.shape == (about["samples"], 128)
    assert made.cohort_id == about["cohort_id"]
    assert len(file.read_bytes()) < 400_000
    # No closer to a real face than strangers come to each other, and below own pictures.
    assert about["nearest_fitted_face_max"] <= 0.95
    assert about["nearest_other_face_max"] < about["two_people_nearest_max"]
    assert about["nearest_other_face_max"] < about["own_pictures_cosine_median"]
    assert shipped_cohort("another-engine") is None


def test_a_file_that_is_no_cohort_is_refused(tmp_path: Any) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK not really")
    with pytest.raises(CohortError, match="is not a cohort file"):
        read_cohort(tmp_path / "broken.npz")
