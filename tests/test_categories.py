"""The fare category: changed at the desk after looking at the evidence, kept by the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from enrollment.access_log import who_looked
from enrollment.riders import find_rider
from ledger.categories import CategoryDays, categories_ahead, change_category
from ledger.erasure import erase_account
from models.database import reading, writing
from models.tables.ledger import AccountCategoryRow
from models.tables.riders import Rider
from tests.riding import City, post, staff_browser

SEEN = {"evidence_checked": "yes"}


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


@pytest.fixture
def rider(city: City) -> Rider:
    return city.rider()


@pytest.fixture
def desk(city: City, rider: Rider) -> FlaskClient:
    """An enroller who has said why they look at the rider."""
    browser = staff_browser(city, "enroller")
    where = f"/enrollment/riders/{rider.rider_id}"
    post(browser, f"{where}/open", {"reason": "change", "note": ""}, where)
    return browser


def choose(desk: FlaskClient, rider: Rider, category: str, **more: str) -> TestResponse:
    where = f"/enrollment/riders/{rider.rider_id}/category"
    return post(desk, where, {"category": category, **more}, where)


def ahead(city: City, rider: Rider) -> list[CategoryDays]:
    return categories_ahead(city.ledger, rider.account_id)


def today(city: City) -> date:
    return ahead(city, city.rider())[0].first


def test_a_reduced_fare_begins_tomorrow_and_ends_with_the_fares_own_term(
    city: City, rider: Rider, desk: FlaskClient
) -> None:
    day = today(city)
    assert choose(desk, rider, "student", **SEEN).status_code == 303
    first = day + timedelta(days=1)
    assert ahead(city, rider) == [
        CategoryDays("adult", day, day),
        CategoryDays("student", first, first + timedelta(days=364)),
        CategoryDays("adult", first + timedelta(days=365), None),
    ]
    found = find_rider(city.enrollment, rider.rider_id)
    assert found is not None
    assert (found.rider.category, found.rider.evidence_by) == ("student", "staff-enroller")
    with reading(city.ledger.engine) as session:
        row = session.get(AccountCategoryRow, (rider.account_id, first.isoformat()))
        assert row is not None and row.made_by == "staff-enroller"
    page = desk.get(f"/enrollment/riders/{rider.rider_id}/category").text
    assert f"from {first} to {first + timedelta(days=364)}" in page
    pages = [look.page for look in who_looked(city.enrollment.access_log, rider.rider_id)]
    assert pages.count("category") >= 2


def test_the_evidences_own_last_day_ends_it_sooner(
    city: City, rider: Rider, desk: FlaskClient
) -> None:
    until = today(city) + timedelta(days=30)
    choose(desk, rider, "senior", until=until.isoformat(), **SEEN)
    assert ahead(city, rider)[1].last == until
    later = today(city) + timedelta(days=4000)
    choose(desk, rider, "senior", until=later.isoformat(), **SEEN)
    assert ahead(city, rider)[1].last == today(city) + timedelta(days=365)


def test_back_to_the_full_fare_needs_no_evidence_and_does_not_end(
    city: City, rider: Rider, desk: FlaskClient
) -> None:
    choose(desk, rider, "student", **SEEN)
    assert choose(desk, rider, "adult").status_code == 303  # the same day: the last word counts
    assert ahead(city, rider) == [CategoryDays("adult", today(city), None)]
    found = find_rider(city.enrollment, rider.rider_id)
    assert found is not None and found.rider.evidence_by is None


@pytest.mark.parametrize(
    ("category", "more", "sentence"),
    [
        ("student", {}, "Look at the evidence"),
        ("king", SEEN, "category from the list"),
        ("student", {**SEEN, "until": "tomorrow"}, "year-month-day"),
        ("student", {**SEEN, "until": "2020-01-01"}, "good tomorrow at least"),
    ],
)
def test_what_cannot_be_changed_says_why_in_both_languages(
    city: City, rider: Rider, desk: FlaskClient, category: str, more: dict[str, str], sentence: str
) -> None:
    answer = choose(desk, rider, category, **more)
    assert (answer.status_code, sentence in answer.text) == (400, True), answer.text
    desk.set_cookie("language", "zh")
    chinese = choose(desk, rider, category, **more)
    assert chinese.status_code == 400 and sentence not in chinese.text
    assert [one.category for one in ahead(city, rider)] == ["adult"]


def test_an_account_that_is_gone_changes_nothing(
    city: City, rider: Rider, desk: FlaskClient
) -> None:
    erase_account(city.ledger, rider.account_id)
    answer = choose(desk, rider, "student", **SEEN)
    assert (answer.status_code, "no fare account any more" in answer.text) == (400, True)
    found = find_rider(city.enrollment, rider.rider_id)
    assert found is not None and found.rider.category == "adult"


def test_a_proof_that_ends_lets_the_one_before_hold_again(city: City, rider: Rider) -> None:
    """A row that is newer and shorter than another."""
    change_category(city.ledger, rider.account_id, "student", "mei")
    day = today(city)
    with writing(city.ledger.engine) as session:
        session.add(
            AccountCategoryRow(
                account_id=rider.account_id, category="senior", recorded_at=city.clock(),
                first_day=(day + timedelta(days=10)).isoformat(),
                last_day=(day + timedelta(days=20)).isoformat(),
            )
        )  # fmt: skip
    spans = ahead(city, rider)
    assert [one.category for one in spans] == ["adult", "student", "senior", "student", "adult"]
    assert all(
        before.last is not None and before.last + timedelta(days=1) == after.first
        for before, after in pairwise(spans)
    )
