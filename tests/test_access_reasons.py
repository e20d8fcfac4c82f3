"""No look at a rider without a reason, and no route that forgets the entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from enrollment.access_log import AccessLog, who_looked
from enrollment.cases import (
    REASONS,
    REMEMBERED_FOR,
    NoReason,
    read_case,
)
from enrollment.store import Enrollment
from facefare.server import create_app
from facefare.setup import make_data
from models.access.sessions import begin_session
from models.access.staff import ROLES, new_account
from models.database import reading, writing
from models.settings import DataDirectory
from models.tables.riders import Rider
from tests.desk import Desk, post
from tests.looking import RIDERS, add_rider
from tests.test_routes import address


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    for number, rider_id in enumerate(RIDERS):
        add_rider(desk.enrollment, rider_id, f"Zyxwv Rider {number}", desk.now)
    yield desk
    desk.close()


@pytest.fixture
def log(desk: Desk) -> AccessLog:
    return desk.enrollment.access_log


@pytest.mark.parametrize(
    ("reason", "note"), [("", ""), ("nosiness", ""), ("other", "  "), ("question", "x" * 201)]
)
def test_a_look_needs_a_reason(reason: str, note: str) -> None:
    with pytest.raises(NoReason):
        read_case(reason, note)


def test_every_reason_on_the_list_can_be_given() -> None:
    assert [read_case(reason, "a note").reason for reason in REASONS] == list(REASONS)


def test_the_reason_is_asked_first_and_remembered_for_ten_minutes(desk: Desk) -> None:
    client, path = desk.signed_in("enroller"), f"/enrollment/riders/{RIDERS[0]}"
    asked = client.get(path).text
    assert "Why do you look?" in asked
    assert "Zyxwv" not in asked
    opened = post(client, f"{path}/open", {"reason": "complaint", "note": "fare"}, page=path)
    assert opened.location == path
    assert "Zyxwv" in client.get(path).text
    desk.now += REMEMBERED_FOR
    assert "Zyxwv" in client.get(path).text
    desk.now += timedelta(seconds=1)
    assert "Zyxwv" not in client.get(path).text
    looks = who_looked(desk.enrollment.access_log, RIDERS[0])
    assert [(found.staff, found.reason, found.note) for found in looks] == [
        ("staff-enroller", "complaint", "fare")
    ] * 2


def test_a_reason_is_for_one_rider_and_one_member_of_staff(desk: Desk) -> None:
    client, path = desk.signed_in("enroller"), f"/enrollment/riders/{RIDERS[0]}"
    post(client, f"{path}/open", {"reason": "question"}, page=path)
    assert "Zyxwv" in client.get(path).text
    assert "Zyxwv" not in client.get(f"/enrollment/riders/{RIDERS[1]}").text
    assert "Zyxwv" not in desk.signed_in("admin").get(path).text


def test_a_search_without_a_reason_or_with_one_letter_finds_nobody(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    for given in ({"words": "Zyxwv"}, {"words": "Z", "reason": "question"}):
        answer = post(client, "/enrollment/", dict(given))
        assert (answer.status_code, "Zyxwv Rider" in answer.text) == (400, False)
    assert who_looked(desk.enrollment.access_log, RIDERS[0]) == []


def test_a_search_is_a_look_at_each_rider_it_shows(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    page = post(client, "/enrollment/", {"words": "zyxwv", "reason": "check"}).text
    assert "Zyxwv Rider 0" in page and "Zyxwv Rider 1" in page
    for rider_id in RIDERS:
        [found] = who_looked(desk.enrollment.access_log, rider_id)
        assert (found.page, found.reason) == ("search", "check")
    assert "Zyxwv" not in post(client, "/enrollment/", {"words": "%%", "reason": "check"}).text
    assert (
        "Zyxwv Rider 0"
        in post(client, "/enrollment/", {"words": RIDERS[0].upper(), "reason": "check"}).text
    )


def test_nothing_is_shown_when_the_look_cannot_be_written(desk: Desk) -> None:
    client, path = desk.signed_in("enroller"), f"/enrollment/riders/{RIDERS[0]}"
    post(client, f"{path}/open", {"reason": "question"}, page=path)
    desk.data.access_checkpoint_file.unlink()
    answer = client.get(path)
    assert answer.status_code == 503
    assert "Zyxwv" not in answer.text


# Every route that shows a rider, present and future.


@dataclass
class Watched:
    """The whole server with one rider, and a browser that may see everything."""

    app: Flask
    client: FlaskClient

    @property
    def enrollment(self) -> Enrollment:
        found: Enrollment = self.app.extensions["enrollment"]
        return found

    def forgetful(self) -> list[str]:
        """Routes whose answer holds the rider's details without a new access entry."""
        found = []
        for rule in list(self.app.url_map.iter_rules()):
            for method in sorted((rule.methods or set()) & {"GET", "POST"}):
                if rule.endpoint in ENDING:
                    continue
                before = len(who_looked(self.enrollment.access_log, RIDERS[0]))
                with self.client.open(
                    address(rule, rider_id=RIDERS[0]), method=method, data=GIVEN
                ) as answer:
                    shows = any(detail in answer.get_data() for detail in DETAILS)
                after = len(who_looked(self.enrollment.access_log, RIDERS[0]))
                if shows and after == before:
                    found.append(f"{method} {rule.rule}")
                self.seen += [f"{method} {rule.rule}"] if shows else []
        return found

    def __post_init__(self) -> None:
        self.seen: list[str] = []


DETAILS = (b"Zyxwv", b"Qponml", RIDERS[0][0].encode() * 32)
"""The rider's name, the guardian's, and the account."""
GIVEN = {"words": "zyxwv", "reason": "question", "note": ""}
"""What the forms on the way to a rider ask for."""
ENDING = {"staff.sign_out", "staff.sign_out_everywhere", "enrollment.erase"}
"""Routes after which there is nothing left to look at."""


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    data = DataDirectory(tmp_path / "data")
    make_data(data, "Test Transit", "fares.example/test")
    app = create_app(data)
    app.config["WTF_CSRF_ENABLED"] = False
    enrollment: Enrollment = app.extensions["enrollment"]
    now = datetime.now(UTC)
    add_rider(enrollment, RIDERS[0], "Zyxwv Rider", now)
    with writing(enrollment.access) as session:
        session.add(new_account("all", ROLES, now))
    client = app.test_client()
    with client.session_transaction() as held:
        held["staff"] = begin_session(enrollment.access, "all", now)
    opened = client.post(f"/enrollment/riders/{RIDERS[0]}/open", data=GIVEN)
    assert opened.status_code == 303
    return Watched(app, client)


def test_no_route_shows_a_rider_without_an_access_entry(watched: Watched) -> None:
    assert watched.forgetful() == []
    assert {"POST /enrollment/", "GET /enrollment/riders/<rider_id>"} <= set(watched.seen)


def test_a_route_that_forgets_is_found(watched: Watched) -> None:
    def forget(rider_id: str) -> str:
        with reading(watched.enrollment.riders) as session:
            rider = session.get(Rider, rider_id)
            assert rider is not None
            return rider.name

    watched.app.url_map.add(Rule("/forgets/<rider_id>", endpoint="forgets", methods=["GET"]))
    watched.app.view_functions["forgets"] = forget
    assert watched.forgetful() == ["GET /forgets/<rider_id>"]
