"""Riders who do not ride any more are forgotten, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlmodel import select

from enrollment.retention import expire_riders, months_before, riders_to_forget
from enrollment.rider_sign_in import subject_of
from enrollment.riders import search_riders
from facefare.retention import enrollment as command
from facefare.retention import last_ride
from facefare.setup import make_data
from models.access.attempts import begin_attempt
from models.database import reading, writing
from models.settings import DataDirectory
from models.tables.access import SignInFailures
from models.tables.ledger import EntryRow
from models.tables.riders import Consent, Rider
from tests.desk import Desk
from tests.pass_riders import put_rider, unit
from tests.town import make_town


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def enrolled_ago(desk: Desk, days: int, seed: int) -> Rider:
    """A rider who was enrolled so many days before now."""
    now = desk.now
    desk.now = now - timedelta(days=days)
    rider = put_rider(desk, unit(seed))
    desk.now = now
    return rider


def test_only_who_has_not_ridden_for_the_time_is_erased(desk: Desk) -> None:
    gone, rides, new = (enrolled_ago(desk, days, days) for days in (500, 501, 30))
    rode = {rides.account_id: desk.now - timedelta(days=100)}
    assert riders_to_forget(desk.enrollment, rode.get, desk.now) == [gone.rider_id]
    assert expire_riders(desk.enrollment, rode.get, desk.now) == 1
    left = {entry.rider.rider_id for entry in search_riders(desk.enrollment, "")}
    assert left == {rides.rider_id, new.rider_id}
    assert desk.closed == [gone.account_id]
    assert expire_riders(desk.enrollment, rode.get, desk.now) == 0


def test_not_even_the_guesses_at_the_pin_outlive_the_rider(desk: Desk) -> None:
    gone = enrolled_ago(desk, 500, 1)
    with writing(desk.enrollment.access) as session:
        assert begin_attempt(session, subject_of(gone.rider_id), "192.0.2.7", desk.now)
    assert expire_riders(desk.enrollment, lambda account: None, desk.now) == 1
    with reading(desk.enrollment.access) as session:
        left = [row.subject for row in session.exec(select(SignInFailures))]
    assert left == ["address 192.0.2.7"]


def test_a_last_ride_before_the_time_does_not_save_and_a_new_consent_does(desk: Desk) -> None:
    old, renewed = (enrolled_ago(desk, days, days) for days in (800, 801))
    long_ago = desk.now - timedelta(days=400)
    with writing(desk.enrollment.riders) as session:
        consent = session.exec(select(Consent).where(Consent.rider_id == renewed.rider_id)).one()
        consent.given_at = desk.now - timedelta(days=10)
        session.add(consent)
    due = riders_to_forget(desk.enrollment, lambda account: long_ago, desk.now)
    assert due == [old.rider_id]


@pytest.mark.parametrize(
    ("now", "months", "before"),
    [
        (datetime(2026, 11, 22, 5, tzinfo=UTC), 12, datetime(2025, 11, 22, 5, tzinfo=UTC)),
        (datetime(2028, 2, 29, tzinfo=UTC), 12, datetime(2027, 2, 28, tzinfo=UTC)),
        (datetime(2026, 1, 31, tzinfo=UTC), 2, datetime(2025, 11, 30, tzinfo=UTC)),
        (datetime(2026, 12, 1, tzinfo=UTC), 24, datetime(2024, 12, 1, tzinfo=UTC)),
    ],
)
def test_months_end_on_the_same_day_or_the_last_of_the_month(
    now: datetime, months: int, before: datetime
) -> None:
    assert months_before(now, months) == before


def test_the_last_ride_comes_from_the_ledger(tmp_path: Path) -> None:
    town = make_town(tmp_path)
    rider, other = town.account(), town.account()
    assert last_ride(town.ledger, rider) is None
    town.rides(2, rider)
    with reading(town.ledger.engine) as session:
        rides = session.exec(select(EntryRow).where(EntryRow.kind == "ride")).all()
    assert last_ride(town.ledger, rider) == max(ride.occurred_at for ride in rides)
    assert last_ride(town.ledger, other) is None


def test_the_command_counts_and_erases(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    make_data(data, "Test Transit", "fares.example/test")
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(command, ["expire", "--json", "--data", str(data.path), *more])
        assert done.exit_code == 0, done.output
        told = json.loads(done.output)
        assert told == {"months": 12, "riders": 0, "erased": not more}
