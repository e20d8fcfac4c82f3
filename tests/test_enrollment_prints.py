"""A print held before the desk's camera is refused; people at a webcam are not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from enrollment.capture import judge
from enrollment.form import EnrollmentRefused
from enrollment.photos import read_photo
from enrollment.prints import PRESENTATION
from enrollment.templating import make_template
from facefare.prints import pair_in
from models.faces.liveness_pair import LivenessPair
from tests.conftest import missing
from tests.desk import FIRST, FIRST_AGAIN, Desk, load_engine, load_pair, photo

PHOTOS = 3


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def pair() -> LivenessPair:
    found = load_pair()
    if found is None:
        missing("the weights of the liveness pair")
    assert found is not None
    return found


def sittings(data: Path, kind: str) -> list[list[bytes]]:
    """Three frames from each recording of people (``live``) or of prints."""
    folders = sorted(path for path in (data / "spoof" / "nuaa" / kind).iterdir() if path.is_dir())
    frames = [sorted(folder.glob("*.jpg")) for folder in folders]
    return [[path.read_bytes() for path in found[:: len(found) // PHOTOS][:PHOTOS]]
            for found in frames]  # fmt: skip


def refused_as_print(desk: Desk, photos: list[bytes]) -> bool:
    """Whether the photos are refused because of this; another fault is no answer."""
    try:
        make_template(desk.enrollment, photos)
    except EnrollmentRefused as error:
        return "printed photograph or a screen" in str(error)
    return False


def test_prints_are_refused(desk: Desk, data: Path, pair: LivenessPair) -> None:
    verdicts = []
    for frames in sittings(data, "print"):
        usable = [one for one in frames if is_usable(one)]
        if usable:
            verdicts.append(refused_as_print(desk, usable))
    assert len(verdicts) >= 4, "too few of the prints are sharp enough to be refused for this"
    assert all(verdicts)


def test_people_at_a_webcam_are_not(desk: Desk, data: Path, pair: LivenessPair) -> None:
    verdicts = [refused_as_print(desk, frames) for frames in sittings(data, "live")]
    assert len(verdicts) >= 7
    assert not any(verdicts)


def test_good_photographs_from_elsewhere_are_taken(desk: Desk, pair: LivenessPair) -> None:
    assert make_template(desk.enrollment, [photo(FIRST), photo(FIRST_AGAIN)]).images == 2


def is_usable(data: bytes) -> bool:
    return not judge(load_engine(), read_photo(data)).reasons


def test_the_rider_is_told_while_looking(data: Path, pair: LivenessPair) -> None:
    frames = [frame for sitting in sittings(data, "print") for frame in sitting if is_usable(frame)]
    verdict = judge(load_engine(), read_photo(frames[0]), pair)
    assert [name for name, _words in verdict.reasons] == [PRESENTATION]
    assert "rider's own face" in verdict.reasons[0][1]


def test_without_weights_the_server_says_that_nothing_looks_for_prints(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert pair_in(tmp_path)() is None
    assert "not checked for prints" in caplog.text
    assert "facefare faces pull liveness" in caplog.text
