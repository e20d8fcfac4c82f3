"""The benchmark's own tools: attacks that are what they say, shares and areas that are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.liveness_attacks import HEIGHT, WIDTH, Manner, draw_manner, still_clip
from bench.liveness_cues import area_under_curve
from bench.liveness_figures import area_figure, rate, wilson
from models.faces.engine import Frame

CALM = Manner(
    near_px=120,
    far_px=60,
    drift_px=0,
    turn_deg=0,
    tilt_deg=0,
    flicker=0,
    blur_px=0,
    noise=0,
    jpeg=95,
    full_frame=False,
)
FACE = (50.0, 50.0, 60.0)


def card() -> Frame:
    """A white square of 60 px on black."""
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:80, 20:80] = 255
    return picture


def width_of_square(frame: Frame) -> int:
    return int((frame[HEIGHT // 2, :, 0] > 200).sum())


def test_the_picture_comes_as_near_as_its_manner_says() -> None:
    frames = list(still_clip(card(), FACE, CALM, 12, seed=1))
    assert len(frames) == 12
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert abs(width_of_square(frames[0]) - 60) <= 2
    assert abs(width_of_square(frames[-1]) - 120) <= 2


def test_a_full_frame_picture_leaves_no_wall_around_it() -> None:
    sheet = next(still_clip(card(), FACE, CALM, 1, seed=1))
    full = next(still_clip(card(), FACE, replace(CALM, full_frame=True), 1, seed=1))
    assert abs(int(sheet[5, 5, 0]) - 96) <= 2
    assert full[5, 5, 0] < 5


def test_the_same_seed_makes_the_same_attack_and_another_another() -> None:
    manner = replace(draw_manner(np.random.default_rng(3)), jpeg=80)
    first, again, other = (
        np.stack(list(still_clip(card(), FACE, manner, 4, seed))) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_bent_paper_is_no_plane() -> None:
    """The square's two sides move by different amounts; its height stays."""
    flat = list(still_clip(card(), FACE, CALM, 20, seed=5))
    bent = list(still_clip(card(), FACE, replace(CALM, bend=0.3), 20, seed=5))
    moved = [abs(width_of_square(a) - width_of_square(b)) for a, b in zip(flat, bent, strict=True)]
    assert max(moved) >= 2


def test_a_video_is_compressed_and_has_all_its_frames() -> None:
    frames = list(still_clip(card(), FACE, replace(CALM, jpeg=None), 9, seed=1))
    assert len(frames) == 9
    assert abs(width_of_square(frames[-1]) - 120) <= 4


@pytest.mark.parametrize(
    ("errors", "of", "low", "high"),
    [(0, 53, 0.0, 0.0676), (1, 100, 0.0018, 0.0545), (50, 100, 0.4038, 0.5962)],
)
def test_intervals_are_wilsons(errors: int, of: int, low: float, high: float) -> None:
    assert wilson(errors, of) == (low, high)


def test_a_share_of_nothing_is_no_figure_but_a_reason() -> None:
    figure = rate("nothing", 0, 0)
    assert figure["value"] is None
    assert figure["reason"] == "nothing to measure"


def test_the_area_counts_how_often_the_living_score_higher() -> None:
    live = [("a", 2.0), ("a", 3.0), ("b", 1.0)]
    assert area_under_curve(live, [("x", 0.5)], 1)[0] == 1.0
    assert area_under_curve(live, [("x", 2.0)], 1)[0] == pytest.approx(0.5)
    figure = area_figure("area", live, [("x", 2.5)], 1)
    assert (figure["value"], figure["live"], figure["attacks"]) == (0.333, 3, 1)


def test_the_interval_draws_people_not_windows() -> None:
    """A hundred windows of one person know no more than one."""
    one = [("a", 1.0)] * 100 + [("b", 3.0)]
    _, low, high = area_under_curve(one, [("x", 2.0)], 1)
    assert (low, high) == (0.0, 1.0)
