"""Pass, medium, template and consent of a rider change together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from enrollment.form import EnrollmentRefused, FaceForm, read_face_form
from enrollment.media import carry_face, last_guardian, pass_only
from enrollment.passes import list_passes
from models.database import reading, writing
from models.tables.riders import Consent, Rider, Template
from tests.desk import Desk
from tests.pass_riders import put_rider, unit


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def agreed(**changes: Any) -> FaceForm:
    """What the page sends once the text was agreed to."""
    fields = {"medium": "face+pass", "language": "en", "stations": (), "consent_given": True}
    return read_face_form({**fields, "consent_text": "carried-en-1", **changes})


def as_kept(desk: Desk, rider_id: str) -> tuple[str, int, list[tuple[str, bool]], int]:
    """Medium, templates, consents with whether they stand, and passes."""
    with reading(desk.enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        assert rider is not None
        consents = session.exec(select(Consent).where(Consent.rider_id == rider_id)).all()
        stand = [(consent.text_id, consent.withdrawn_at is None) for consent in consents]
        templates = len(session.exec(select(Template)).all())
    return rider.medium, templates, stand, len(list_passes(desk.enrollment, rider_id))


def no_row(desk: Desk, table: str) -> None:
    """From now on the database takes no row of ``table``."""
    with writing(desk.enrollment.riders) as session:
        session.connection().execute(
            text(
                f"CREATE TRIGGER full BEFORE INSERT ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        )


def test_a_face_that_is_carried_has_its_pass_medium_and_consent(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    issued = carry_face(desk.enrollment, rider.rider_id, agreed(), "mei", desk.now)
    medium, templates, consents, passes = as_kept(desk, rider.rider_id)
    assert (issued.medium, medium, templates, passes) == ("face+pass", "face+pass", 0, 1)
    assert [stands for _, stands in consents] == [False, True]


@pytest.mark.parametrize("table", ["pass", "consent"])
def test_a_face_is_not_carried_by_halves(desk: Desk, table: str) -> None:
    rider = put_rider(desk, unit(1))
    before = as_kept(desk, rider.rider_id)
    no_row(desk, table)
    with pytest.raises(IntegrityError, match="no room"):
        carry_face(desk.enrollment, rider.rider_id, agreed(), "mei", desk.now)
    assert as_kept(desk, rider.rider_id) == before == ("face", 1, [("en-1", True)], 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"language": "xx"}, "Choose the rider's language"),
        ({"language": "zh"}, "shown in another language"),
        ({"consent_text": "carried-en-0"}, "consent text has changed"),
        ({"consent_text": "en-2"}, "consent text has changed"),
    ],
)
def test_nothing_is_carried_for_words_that_were_not_shown(
    desk: Desk, changes: dict[str, str], sentence: str
) -> None:
    rider = put_rider(desk, unit(1))
    before = as_kept(desk, rider.rider_id)
    with pytest.raises(EnrollmentRefused, match=sentence):
        carry_face(desk.enrollment, rider.rider_id, agreed(**changes), "mei", desk.now)
    assert as_kept(desk, rider.rider_id) == before


def put_child(desk: Desk) -> Rider:
    """A rider for whom Wei agreed."""
    rider = put_rider(desk, unit(1))
    with writing(desk.enrollment.riders) as session:
        session.exec(update(Consent).values(guardian="Wei"))
    return rider


def test_a_guardian_who_agreed_once_did_not_agree_to_other_words(desk: Desk) -> None:
    rider = put_child(desk)
    before = as_kept(desk, rider.rider_id)
    for form in (agreed(), agreed(age_group="under-14")):
        with pytest.raises(EnrollmentRefused, match="a parent or guardian agrees"):
            carry_face(desk.enrollment, rider.rider_id, form, "mei", desk.now)
    assert as_kept(desk, rider.rider_id) == before


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({"guardian": "Mei"}, "Mei"),
        ({"age_group": "under-14", "guardian": "Mei"}, "Mei"),
        ({"age_group": "14-or-over", "guardian": "Mei"}, None),  # grown up meanwhile
    ],
)
def test_who_agrees_for_a_child_is_whoever_was_named_now(
    desk: Desk, typed: dict[str, str], kept: str | None
) -> None:
    rider = put_child(desk)
    carry_face(desk.enrollment, rider.rider_id, agreed(**typed), "mei", desk.now)
    assert last_guardian(desk.enrollment, rider.rider_id) == kept


def test_a_face_is_not_given_up_without_the_pass_that_replaces_it(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    before = as_kept(desk, rider.rider_id)
    no_row(desk, "pass")
    with pytest.raises(IntegrityError, match="no room"):
        pass_only(desk.enrollment, rider.rider_id, desk.now)
    assert as_kept(desk, rider.rider_id) == before
