"""Enrolling a rider: all of it or nothing."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlmodel import select

from enrollment.consent_texts import NoConsentText, current_consent, languages
from enrollment.enroll import Enrolled, enroll_rider
from enrollment.erase import erase_rider
from enrollment.form import EnrollmentRefused
from enrollment.gallery import data_key_name, gallery_version, open_templates, templates_of
from enrollment.likeness import (
    LIMITS,
    Likeness,
    NoLimits,
    fuse,
    likeness,
    limits_for,
    nobody,
    odd_one_out,
)
from enrollment.photos import read_photo
from enrollment.riders import find_rider, search_riders
from enrollment.templating import PHOTOS_MAX
from models.database import reading
from models.errors import FacefareError
from models.tables.riders import Consent, Rider, RiderStation, Template
from models.vault import KeyErased, VaultError, unseal
from tests.conftest import ROOT
from tests.desk import (
    BLURRED,
    FIRST,
    FIRST_AGAIN,
    NOBODY,
    OTHER,
    TWO_PEOPLE,
    Desk,
    encoded,
    form,
    load_engine,
    photo,
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def enroll(desk: Desk, *photos: bytes, **changes: Any) -> Enrolled:
    return enroll_rider(desk.enrollment, form(**changes), photos, "mei", desk.now)


def refused(desk: Desk, *photos: bytes, **changes: Any) -> tuple[str, ...]:
    """The problems of an enrollment that must fail, after which nothing may remain."""
    before = desk.rows(), desk.files(), sorted(desk.data_keys()), list(desk.opened)
    with pytest.raises(EnrollmentRefused) as caught:
        enroll(desk, *photos, **changes)
    assert (desk.rows(), desk.files(), sorted(desk.data_keys()), desk.opened) == before
    return caught.value.problems


def test_a_rider_is_enrolled_with_consent_template_stations_and_account(desk: Desk) -> None:
    enrolled = enroll(desk, photo(FIRST), photo(FIRST_AGAIN), stations=("south", "drum-tower"))
    assert desk.opened == [enrolled.account_id]
    assert desk.data_keys() == [data_key_name(enrolled.rider_id)]
    with reading(desk.enrollment.riders) as session:
        rider = session.exec(select(Rider)).one()
        consent = session.exec(select(Consent)).one()
        template = session.exec(select(Template)).one()
        stations = {row.station for row in session.exec(select(RiderStation))}
        assert gallery_version(session) == 1
    assert (rider.name, rider.medium, rider.status) == ("Lin Rider", "face", "active")
    assert (rider.account_id, rider.created_at) == (enrolled.account_id, desk.now)
    assert len(bytes.fromhex(rider.account_id)) == 16
    text = (ROOT / "enrollment/consent/en-2.txt").read_bytes()
    assert (consent.text_id, consent.text_sha256) == ("en-2", hashlib.sha256(text).hexdigest())
    assert (consent.staff, consent.given_at, consent.guardian) == ("mei", desk.now, None)
    assert (template.engine_id, template.images) == ("dlib-resnet-1", 2)
    assert stations == {"south", "drum-tower"}


def test_the_template_is_the_unit_mean_of_the_embeddings(desk: Desk) -> None:
    enroll(desk, photo(FIRST), photo(FIRST_AGAIN))
    engine = load_engine()
    frames = [read_photo(photo(name)) for name in (FIRST, FIRST_AGAIN)]
    rows = np.concatenate([engine.embed(frame, engine.find(frame)) for frame in frames])
    mean = rows.mean(axis=0)
    with reading(desk.enrollment.riders) as session:
        found = templates_of(session, engine.engine_id)
        [(_, stored)] = open_templates(desk.enrollment.vault, found)
    vector = np.frombuffer(stored, "<f4")
    assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


def test_the_template_opens_for_its_own_rider_and_engine_only(desk: Desk) -> None:
    enrolled = enroll(desk, photo(FIRST))
    key = desk.enrollment.vault.key(data_key_name(enrolled.rider_id))
    with reading(desk.enrollment.riders) as session:
        sealed = session.exec(select(Template)).one().sealed
    good = f"template {enrolled.account_id} dlib-resnet-1"
    assert len(unseal(key, sealed, good)) == 128 * 4
    for context in (f"template {'0' * 32} dlib-resnet-1", good + "x", "template", ""):
        with pytest.raises(VaultError):
            unseal(key, sealed, context)


def test_no_photo_and_no_template_in_the_clear_is_left_on_disk(desk: Desk) -> None:
    before = desk.files()
    original = photo(FIRST)
    enroll(desk, original)
    engine = load_engine()
    frame = read_photo(original)
    vector = fuse(engine.embed(frame, engine.find(frame))).astype("<f4").tobytes()
    assert desk.files() == before
    for file in desk.data.path.rglob("*"):
        if file.is_file():
            contents = file.read_bytes()
            assert vector[:64] not in contents
            assert original[1000:1064] not in contents
            assert b"\xff\xd8\xff" not in contents


def test_two_riders_have_two_accounts_and_the_gallery_moved_twice(desk: Desk) -> None:
    first = enroll(desk, photo(FIRST))
    second = enroll(desk, photo(OTHER), name="Ann Rider")
    assert first.account_id != second.account_id
    assert len(desk.data_keys()) == 2
    with reading(desk.enrollment.riders) as session:
        assert gallery_version(session) == 2


def test_a_face_that_is_enrolled_already_is_stopped_by_reference(desk: Desk) -> None:
    first = enroll(desk, photo(FIRST))
    [problem] = refused(desk, photo(FIRST_AGAIN), name="Somebody Else")
    assert f"enrolled already, as rider {first.rider_id}." in problem
    assert "Lin Rider" not in problem


def test_an_erased_rider_is_no_duplicate(desk: Desk) -> None:
    first = enroll(desk, photo(FIRST))
    desk.enrollment.vault.erase(data_key_name(first.rider_id))
    assert enroll(desk, photo(FIRST_AGAIN)).rider_id != first.rider_id


def test_somebody_enrolled_between_check_and_writing_is_seen(desk: Desk) -> None:
    def other_desk_is_quicker(account_id: str, category: str) -> None:
        enroll(desk, photo(FIRST))

    slow = replace(desk.enrollment, open_account=other_desk_is_quicker)
    with pytest.raises(EnrollmentRefused, match="enrolled already"):
        enroll_rider(slow, form(), [photo(FIRST_AGAIN)], "mei", desk.now)
    assert len(search_riders(desk.enrollment, "")) == 1
    assert len(desk.data_keys()) == 1


def test_a_photo_without_a_face_is_named_by_its_position(desk: Desk) -> None:
    problems = refused(desk, photo(FIRST), photo(NOBODY))
    assert problems == (
        "Photo 2 cannot be used: no face was found in it; the whole face must be seen, from the "
        "front.",
    )


def test_a_photo_of_two_people_is_named_by_its_position(desk: Desk) -> None:
    problems = refused(desk, photo(TWO_PEOPLE), photo(FIRST))
    assert problems == (
        "Photo 1 cannot be used: 2 faces are in it; only the rider may be in the photo.",
    )


def test_a_photo_of_poor_quality_says_what_to_do(desk: Desk) -> None:
    [problem] = refused(desk, photo(BLURRED))
    assert problem.startswith("Photo 1 cannot be used: It is too dark here")


def test_every_faulty_photo_is_named_at_once(desk: Desk) -> None:
    wide = encoded(Image.new("1", (10_000, 10_000)))
    cut = photo(FIRST)[:50_000]
    problems = refused(desk, photo(FIRST), b"no picture", wide, cut, photo(TWO_PEOPLE))
    assert [problem.split(":")[0] for problem in problems] == [
        f"Photo {position} cannot be used" for position in (2, 3, 4, 5)
    ]
    assert "not a JPEG, PNG or WebP" in problems[0]
    assert "10000 × 10000 pixels" in problems[1]
    assert "cut short or damaged" in problems[2]
    assert "2 faces" in problems[3]


def test_a_photo_taken_on_its_side_is_enrolled(desk: Desk) -> None:
    with Image.open(io.BytesIO(photo(FIRST))) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = encoded(image.rotate(90, expand=True), "JPEG", exif=exif)
        untagged = encoded(image.rotate(90, expand=True), "JPEG")
    assert "no face was found" in refused(desk, untagged)[0]
    assert enroll(desk, turned).images == 1


def test_photos_of_two_different_people_are_refused(desk: Desk) -> None:
    assert refused(desk, photo(FIRST), photo(OTHER)) == (
        "The two photos do not look like the same person: replace one of them.",
    )
    assert refused(desk, photo(FIRST), photo(OTHER), photo(FIRST_AGAIN)) == (
        "Photo 2 does not look like the same person as the others: replace it.",
    )


@pytest.mark.parametrize("count", [0, PHOTOS_MAX + 1])
def test_the_number_of_photos_is_limited(desk: Desk, count: int) -> None:
    problems = refused(desk, *[photo(FIRST)] * count)
    assert problems == ("Choose one to 8 photos; 3 are recommended.",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " \t "}, "Write the rider's name, up to 120 characters."),
        ({"name": "x" * 121}, "Write the rider's name, up to 120 characters."),
        ({"name": "<script>"}, "Write the rider's name, up to 120 characters."),
        ({"category": "king"}, "Choose the rider's category from the list."),
        ({"language": "English"}, "Choose the rider's language from the list."),
        ({"language": "xx"}, "Choose the rider's language from the list."),
        ({"age_group": "old"}, "Say whether the rider is under 14."),
        ({"stations": ()}, "Choose one to 6 stations."),
        ({"stations": tuple("abcdefg")}, "Choose one to 6 stations."),
        ({"stations": ("south", "moon")}, "There is no station 'moon'; choose stations from"),
        ({"consent_given": False}, "Nothing can be taken without consent"),
        ({"consent_text": "en-0"}, "The consent text has changed, or was shown in another"),
        ({"age_group": "under-14"}, "For a rider under 14 a parent or guardian agrees"),
        ({"age_group": "under-14", "guardian": "  "}, "Write the name of the parent or guardian."),
        ({"surprise": 1}, "The form has no field 'surprise'"),
    ],
)
def test_a_form_with_a_fault_is_refused(desk: Desk, changes: dict[str, Any], sentence: str) -> None:
    [problem] = refused(desk, photo(FIRST), **changes)
    assert problem.startswith(sentence)


def test_all_faults_of_a_form_are_named_at_once(desk: Desk) -> None:
    problems = refused(desk, name="", category="", stations=())
    assert len(problems) == 3
    problems = refused(desk, stations=("moon",), age_group="under-14", consent_text="en-0")
    assert len(problems) == 3


def test_a_child_is_enrolled_with_its_guardian(desk: Desk) -> None:
    enroll(desk, photo(FIRST), age_group="under-14", guardian="  Wei   Guardian ")
    with reading(desk.enrollment.riders) as session:
        assert session.exec(select(Consent)).one().guardian == "Wei Guardian"


def test_an_adult_is_enrolled_without_a_guardian_even_if_one_was_written(desk: Desk) -> None:
    enroll(desk, photo(FIRST), guardian="Wei Guardian")
    with reading(desk.enrollment.riders) as session:
        assert session.exec(select(Consent)).one().guardian is None


class LedgerDown(FacefareError):
    """The fare account could not be opened."""


def test_without_a_fare_account_nothing_is_enrolled(desk: Desk) -> None:
    def down(account_id: str, category: str) -> None:
        raise LedgerDown("the ledger does not answer; try again")

    with pytest.raises(LedgerDown):
        enroll_rider(
            replace(desk.enrollment, open_account=down), form(), [photo(FIRST)], "mei", desk.now
        )
    assert (desk.rows(), desk.data_keys()) == (0, [])


def test_a_failed_transaction_leaves_no_row_and_no_key(desk: Desk) -> None:
    with desk.enrollment.riders.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON riderstation BEGIN "
            "SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        connection.commit()
    with pytest.raises(Exception, match="the disk is full"):
        enroll(desk, photo(FIRST))
    assert (desk.rows(), desk.data_keys()) == (0, [])


def test_the_list_shows_the_newest_first_with_station_names(desk: Desk) -> None:
    first = enroll(desk, photo(FIRST), stations=("south", "drum-tower"))
    desk.now += timedelta(days=1)
    second = enroll(desk, photo(OTHER))
    summaries = search_riders(desk.enrollment, "")
    assert [entry.rider.rider_id for entry in summaries] == [second.rider_id, first.rider_id]
    assert summaries[1].stations == ("Drum Tower", "South Gate")
    found = find_rider(desk.enrollment, first.rider_id)
    assert found is not None
    assert (len(found.consents), len(found.templates)) == (1, 1)
    assert find_rider(desk.enrollment, "nobody") is None


def test_an_engine_without_measured_limits_enrolls_nobody() -> None:
    with pytest.raises(NoLimits, match="onnx:other"):
        limits_for("onnx:other")


def test_a_stranger_among_photos_does_not_vouch_for_itself() -> None:
    same = np.array([1.0, 0.0], np.float32)
    stranger = np.array([0.6, 0.8], np.float32)
    rows = np.stack([same, same, stranger])
    assert float(stranger @ fuse(rows)) > 0.8
    assert odd_one_out(rows, 0.8) == 2
    assert odd_one_out(rows[:2], 0.8) is None
    assert odd_one_out(rows[:1], 0.8) is None


def test_likeness_asks_for_more_the_more_alike_two_are() -> None:
    limits = LIMITS["dlib-resnet-1"]
    levels = [limits.level(score, 100) for score in (0.28, 0.2825, 0.304, 0.305, 0.315)]
    assert levels == [
        None, Likeness.ASK, Likeness.ASK, Likeness.LOOK_ALIKE, Likeness.SAME,
    ]  # fmt: skip
    assert limits.level(0.29, 101) is None
    assert limits.level(0.30, 1000) is Likeness.ASK
    assert limits.level(0.30, 1001) is None


def test_the_limits_hold_on_real_faces() -> None:
    """The limits separate these photographs: same person above, other people below."""
    engine = load_engine()
    limits, cohort = LIMITS[engine.engine_id], nobody(engine.engine_id)
    frames = [read_photo(photo(name)) for name in (FIRST, FIRST_AGAIN, OTHER)]
    first, again, other = (engine.embed(frame, engine.find(frame))[0] for frame in frames)
    same, stranger = likeness(first, np.stack([again, other]), cohort)
    assert same > limits.duplicate_min
    assert stranger < limits.ask_min[0][1]
    assert float(first @ other) < limits.same_photos_min


def test_the_consent_text_says_what_the_law_asks_for() -> None:
    text = current_consent("en")
    headings = [heading for heading, _ in text.sections()]
    assert headings == [
        "What we take",
        "Why",
        "Where it is kept",
        "For how long",
        "Your face is never the only way through",
        "You can take it back at any time",
        "Children",
    ]
    assert all(paragraph for _, paragraph in text.sections())
    assert "en" in languages()
    with pytest.raises(NoConsentText, match="no consent text in the language 'xx'"):
        current_consent("xx")


def test_an_erased_key_is_gone_for_good(desk: Desk) -> None:
    enrolled = enroll(desk, photo(FIRST))
    desk.enrollment.vault.erase(data_key_name(enrolled.rider_id))
    with pytest.raises(KeyErased):
        desk.enrollment.vault.key(data_key_name(enrolled.rider_id))
    with reading(desk.enrollment.riders) as session:
        found = templates_of(session, "dlib-resnet-1")
        assert list(open_templates(desk.enrollment.vault, found)) == []


def test_an_erased_rider_is_nowhere_and_no_gate_gets_them(desk: Desk) -> None:
    enrolled = enroll(desk, photo(FIRST))
    with reading(desk.enrollment.riders) as session:
        before = gallery_version(session)
    erase_rider(desk.enrollment, enrolled.rider_id)
    assert find_rider(desk.enrollment, enrolled.rider_id) is None
    assert desk.data_keys() == []
    assert desk.closed == [enrolled.account_id]
    with reading(desk.enrollment.riders) as session:
        assert gallery_version(session) > before
        assert list(templates_of(session, desk.enrollment.engine_id)) == []
    stored = b"".join(path.read_bytes() for path in desk.data.path.rglob("*") if path.is_file())
    for trace in (enrolled.rider_id.encode(), enrolled.account_id.encode(), b"Lin Rider"):
        assert trace not in stored


def test_erasing_somebody_who_is_not_there_says_so(desk: Desk) -> None:
    with pytest.raises(EnrollmentRefused, match="There is no rider nobody"):
        erase_rider(desk.enrollment, "nobody")
