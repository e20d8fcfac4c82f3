"""Operating points: the row that is known to be strict enough, or a sentence why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.faces.cohort import shipped_cohort
from models.faces.operating_points import (
    FORMAT,
    NoOperatingPoint,
    Table,
    TableError,
    choose,
    choose_claim,
    parse_table,
    read_table,
    shipped_table,
    write_table,
)
from models.faces.scoring import ScoreRule
from tests.galleries import ENGINE, claim_point, point


def table() -> Table:
    points = [
        point(gallery_size=size, fused_frames=frames, threshold=0.3 + size / 10_000 + frames / 100)
        for size in (50, 100, 1000)
        for frames in (1, 3)
    ]
    points.append(point(gallery_size=5000, extrapolated=True))
    points.append(point(gallery_size=100, enrolled_images=1, threshold=0.9))
    claims = [claim_point(gallery_size=size) for size in (0, 100, 1000)]
    return Table(format=FORMAT, measured={"data": "x"}, points=tuple(points), claims=tuple(claims))


@pytest.mark.parametrize(
    ("riders", "frames", "row"),
    [
        (1, 1, (50, 1)),
        (50, 1, (50, 1)),
        (51, 1, (100, 1)),
        (101, 2, (1000, 3)),
        (1000, 3, (1000, 3)),
    ],
)
def test_the_next_larger_row_is_chosen(riders: int, frames: int, row: tuple[int, int]) -> None:
    chosen = choose(table(), ENGINE, riders, 0.001, fused_frames=frames)
    assert (chosen.gallery_size, chosen.fused_frames) == row
    assert not chosen.extrapolated


def test_riders_with_fewer_pictures_get_their_own_row() -> None:
    assert choose(table(), ENGINE, 60, 0.001, enrolled_images=2).enrolled_images == 1
    assert choose(table(), ENGINE, 60, 0.001, enrolled_images=5).enrolled_images == 3


def test_an_extrapolated_row_is_used_only_knowingly() -> None:
    with pytest.raises(NoOperatingPoint, match=r"only extrapolated .* allow them knowingly"):
        choose(table(), ENGINE, 1001, 0.001)
    assert choose(table(), ENGINE, 1001, 0.001, allow_extrapolated=True).extrapolated


@pytest.mark.parametrize(
    ("engine", "riders", "target", "pictures", "frames", "words"),
    [
        ("other-1", 10, 0.001, 3, 1, "no operating point was measured for the engine other-1"),
        (ENGINE, 10, 0.002, 3, 1, "false-positive rate of 0.200%"),
        (ENGINE, 5001, 0.001, 3, 1, "reach 5000 riders and 3 fused frames, not 5001 riders"),
        (ENGINE, 10, 0.001, 3, 4, "not 10 riders and 4 frames"),
        (ENGINE, 101, 0.001, 2, 1, "reach 100 riders"),
    ],
)
def test_there_is_never_a_silent_default(
    engine: str, riders: int, target: float, pictures: int, frames: int, words: str
) -> None:
    with pytest.raises(NoOperatingPoint, match=words) as refused:
        choose(table(), engine, riders, target, pictures, frames, allow_extrapolated=True)
    assert "facefare faces calibrate DIR" in str(refused.value)


def test_a_claim_takes_the_next_smaller_background() -> None:
    for riders, size in ((0, 0), (99, 0), (100, 100), (999, 100), (5000, 1000)):
        assert choose_claim(table(), ENGINE, riders, 0.0001).gallery_size == size
    with pytest.raises(NoOperatingPoint, match="facefare faces calibrate DIR"):
        choose_claim(table(), ENGINE, 100, 0.00001)
    with pytest.raises(NoOperatingPoint, match="4 fused frames"):
        choose_claim(table(), ENGINE, 100, 0.0001, fused_frames=4)


def test_a_table_is_written_one_row_a_line_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    write_table(table(), file)
    assert read_table(file) == table()
    assert sum('"threshold"' in line for line in file.read_text().splitlines()) == 11


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Invalid JSON"),
        ("[]", "not a table of operating points"),
        ('{"format": "other", "measured": {}, "points": [], "claims": []}', "format"),
        (
            '{"format": "facefare-operating-points-1", "measured": {}, "claims": [],'
            ' "points": [{"engine_id": "x"}]}',
            "points.0.cohort_id",
        ),
    ],
)
def test_what_is_no_table_is_refused(text: str, words: str) -> None:
    with pytest.raises(TableError, match=words):
        parse_table(text)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path / "none.json")


@pytest.mark.parametrize(
    "change", [{"margin": 0.0}, {"threshold": float("nan")}, {"gallery_size": 0}, {"fnir": 1.1}]
)
def test_a_row_that_could_not_be_measured_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        point(**change)


def test_no_table_is_made_up_for_an_engine_without_one() -> None:
    with pytest.raises(NoOperatingPoint, match="come with the engine onnx:other"):
        shipped_table("onnx:other")


def test_the_shipped_table_serves_every_gallery_up_to_two_thousand() -> None:
    shipped = shipped_table("dlib-resnet-1")
    for riders in (1, 50, 51, 300, 999, 2000):
        for frames in (1, 2, 3):
            for pictures in (1, 3):
                chosen = choose(shipped, "dlib-resnet-1", riders, 0.001, pictures, frames)
                assert chosen.gallery_size >= riders
                assert chosen.nonmated_searches >= 10_000
                assert chosen.fnir_low <= chosen.fnir <= chosen.fnir_high
        assert choose_claim(shipped, "dlib-resnet-1", riders, 0.0001).gallery_size <= riders
    with pytest.raises(NoOperatingPoint):
        choose(shipped, "dlib-resnet-1", 2001, 0.001)


def test_the_shipped_table_was_measured_with_the_rule_and_cohort_in_use() -> None:
    """A change of either without measuring again would leave thresholds that mean nothing."""
    shipped, cohort = shipped_table("dlib-resnet-1"), shipped_cohort("dlib-resnet-1")
    assert cohort is not None
    for row in (*shipped.points, *shipped.claims):
        assert (row.rule, row.cohort_id) == (ScoreRule(), cohort.cohort_id)


def test_more_frames_are_never_judged_by_a_lower_threshold() -> None:
    rows = {
        (r.gallery_size, r.enrolled_images, r.target_fpir, r.fused_frames): r.threshold
        for r in shipped_table("dlib-resnet-1").points
    }
    for (size, pictures, target, frames), threshold in rows.items():
        assert threshold <= rows.get((size, pictures, target, frames + 1), threshold)


def test_a_row_beyond_the_measured_sizes_says_so() -> None:
    for row in shipped_table("dlib-resnet-1").points:
        assert row.extrapolated == (row.gallery_size > 2000)
