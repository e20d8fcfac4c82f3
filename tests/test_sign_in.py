"""Waiting after failures: longer each time, and never locked out of one's own desk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from models.access.attempts import (
    ADDRESS_FAILURES_MAX,
    FAILURES_MAX,
    FORGOTTEN_AFTER,
    KNOWN_FOR,
    LOCKED_FOR,
    begin_attempt,
    network_of,
)
from models.access.staff import (
    NewStaff,
    StaffRegister,
    add_staff,
)
from models.database import open_sqlite, reading, writing
from models.tables.access import (
    AccessTable,
    SignInFailures,
)
from tests.desk import PASSWORD, Desk
from tests.signing_in import ELSEWHERE, HERE, KEY, NEW_PLACE, NOW, STEP, fail, may_sign_in


@pytest.fixture
def register(tmp_path: Path) -> Iterator[StaffRegister]:
    engine = open_sqlite(tmp_path / "access.sqlite", AccessTable.metadata, create=True)
    yield StaffRegister(engine, KEY)
    engine.dispose()


@pytest.fixture
def mei(register: StaffRegister) -> NewStaff:
    return add_staff(register, "mei", PASSWORD, ["enroller"], NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_each_further_failure_doubles_the_wait_up_to_an_hour(register: StaffRegister) -> None:
    def attempt(at: datetime) -> bool:
        with writing(register.database) as session:
            return begin_attempt(session, "mei", HERE, at)

    def locked_until() -> datetime:
        with reading(register.database) as session:
            row = session.get(SignInFailures, "account mei")
            assert row is not None and row.locked_until is not None
            return row.locked_until

    at, minutes = NOW, []
    assert all(attempt(at) for _ in range(FAILURES_MAX))
    for _ in range(8):
        minutes.append((locked_until() - at) // timedelta(minutes=1))
        assert not attempt(locked_until() - timedelta(seconds=1))
        at = locked_until()
        assert attempt(at)
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60]


def test_guesses_from_elsewhere_do_not_lock_somebody_out_where_they_have_signed_in(
    register: StaffRegister, mei: NewStaff
) -> None:
    assert may_sign_in(register, mei, HERE, NOW)
    later = NOW + timedelta(hours=1)
    fail(register, ELSEWHERE, later, FAILURES_MAX + 3)
    assert not may_sign_in(register, mei, NEW_PLACE, later)
    assert may_sign_in(register, mei, HERE, later)


def test_an_address_is_known_for_thirty_days(register: StaffRegister, mei: NewStaff) -> None:
    assert may_sign_in(register, mei, HERE, NOW)
    later = NOW + KNOWN_FOR + timedelta(minutes=1)
    fail(register, ELSEWHERE, later, FAILURES_MAX)
    assert not may_sign_in(register, mei, HERE, later)


def test_guesses_at_a_known_address_wait_too(register: StaffRegister, mei: NewStaff) -> None:
    assert may_sign_in(register, mei, HERE, NOW)
    later = NOW + timedelta(hours=1)
    fail(register, HERE, later, FAILURES_MAX)
    assert not may_sign_in(register, mei, HERE, later)
    assert may_sign_in(register, mei, HERE, later + LOCKED_FOR)


def test_one_address_that_tries_many_names_has_to_wait(
    register: StaffRegister, mei: NewStaff
) -> None:
    for number in range(ADDRESS_FAILURES_MAX):
        fail(register, ELSEWHERE, NOW, name=f"nobody-{number}")
    assert not may_sign_in(register, mei, ELSEWHERE, NOW)
    assert may_sign_in(register, mei, HERE, NOW)


def test_an_own_account_buys_no_new_guesses_at_others(
    register: StaffRegister, mei: NewStaff
) -> None:
    at = NOW
    for _ in range(ADDRESS_FAILURES_MAX - 1):
        fail(register, HERE, at, name="nobody")
    assert may_sign_in(register, mei, HERE, at)
    fail(register, HERE, at, name="nobody")
    assert not may_sign_in(register, mei, HERE, at + STEP)


def test_a_day_without_a_failure_forgets(register: StaffRegister, mei: NewStaff) -> None:
    fail(register, HERE, NOW, FAILURES_MAX - 1)
    later = NOW + FORGOTTEN_AFTER + timedelta(seconds=1)
    fail(register, HERE, later, FAILURES_MAX - 1)
    assert may_sign_in(register, mei, HERE, later)


def test_people_who_share_an_address_and_mistype_now_and_then_never_wait(
    register: StaffRegister,
) -> None:
    for number in range(48 * 8):  # eight mistakes an hour, for two days
        with writing(register.database) as session:
            assert begin_attempt(session, None, ELSEWHERE, NOW + number * timedelta(minutes=7.5))


def test_no_hour_forgives_what_was_guessed_at_one_account(
    register: StaffRegister, mei: NewStaff
) -> None:
    for number in range(FAILURES_MAX):
        fail(register, ELSEWHERE, NOW + number * timedelta(hours=3))
    assert not may_sign_in(register, mei, ELSEWHERE, NOW + (FAILURES_MAX - 1) * timedelta(hours=3))


def test_names_that_do_not_exist_leave_no_rows_behind(register: StaffRegister) -> None:
    for number in range(5):
        fail(register, HERE, NOW, name=f"nobody-{number}")
    with reading(register.database) as session:
        assert [row.subject for row in session.exec(select(SignInFailures))] == [f"address {HERE}"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("not an address", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str | None, network: str) -> None:
    assert network_of(address) == network
