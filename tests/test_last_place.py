"""The last place at a station: whoever is written first has it, however long the photos took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from enrollment import hands_free
from enrollment.enroll import enroll_rider
from enrollment.form import EnrollmentRefused, read_face_form
from enrollment.media import take_face
from enrollment.riders import find_rider, search_riders
from enrollment.store import Enrollment
from models.faces.dlib_engine import DlibEngine
from tests.desk import FIRST, Desk, form, load_engine, photo
from tests.pass_riders import put_rider, unit

FULL = "South Gate recognises 1 riders already"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(hands_free, "riders_max", lambda engine_id: 1)
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def slow(desk: Desk) -> Enrollment:
    """A desk that is still at the photos when another one takes the last place."""

    def while_the_photos_are_looked_at() -> DlibEngine:
        put_rider(desk, unit(1))
        return load_engine()

    return replace(desk.enrollment, load_engine=while_the_photos_are_looked_at)


def test_of_two_desks_at_the_last_place_one_enrolls(desk: Desk) -> None:
    with pytest.raises(EnrollmentRefused, match=FULL):
        enroll_rider(slow(desk), form(), [photo(FIRST)], "mei", desk.now)
    assert len(search_riders(desk.enrollment, "")) == len(desk.data_keys()) == 1


def test_new_photos_do_not_overfill_a_station_either(desk: Desk) -> None:
    rider = put_rider(desk, None, "drum-tower")
    asked = {
        "medium": "face", "language": "en", "stations": ("south",), "consent_text": "en-2",
        "consent_given": True,
    }  # fmt: skip
    photos = [photo(FIRST)]
    with pytest.raises(EnrollmentRefused, match=FULL):
        take_face(slow(desk), rider.rider_id, read_face_form(asked), photos, "mei", desk.now)
    kept = find_rider(desk.enrollment, rider.rider_id)
    assert kept is not None and (kept.rider.medium, kept.templates) == ("pass", ())
