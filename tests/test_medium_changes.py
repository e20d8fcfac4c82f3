"""Pass, medium, template and consent of a rider change together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from enrollment.consent_texts import NoConsentText
from enrollment.media import carry_face, pass_only
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
    issued = carry_face(desk.enrollment, rider.rider_id, "en", "mei", desk.now)
    medium, templates, consents, passes = as_kept(desk, rider.rider_id)
    assert (issued.medium, medium, templates, passes) == ("face+pass", "face+pass", 0, 1)
    assert [stands for _, stands in consents] == [False, True]


@pytest.mark.parametrize("table", ["pass", "consent"])
def test_a_face_is_not_carried_by_halves(desk: Desk, table: str) -> None:
    rider = put_rider(desk, unit(1))
    before = as_kept(desk, rider.rider_id)
    no_row(desk, table)
    with pytest.raises(IntegrityError, match="no room"):
        carry_face(desk.enrollment, rider.rider_id, "en", "mei", desk.now)
    assert as_kept(desk, rider.rider_id) == before == ("face", 1, [("en-1", True)], 0)


def test_without_a_text_to_agree_to_nothing_is_carried(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    before = as_kept(desk, rider.rider_id)
    with pytest.raises(NoConsentText):
        carry_face(desk.enrollment, rider.rider_id, "xx", "mei", desk.now)
    assert as_kept(desk, rider.rider_id) == before


def test_a_face_is_not_given_up_without_the_pass_that_replaces_it(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    before = as_kept(desk, rider.rider_id)
    no_row(desk, "pass")
    with pytest.raises(IntegrityError, match="no room"):
        pass_only(desk.enrollment, rider.rider_id, desk.now)
    assert as_kept(desk, rider.rider_id) == before
