"""Who looked at a rider: written before the page, told to the rider, and not to be undone."""

from __future__ import annotations

import hmac
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.routing import Rule

from enrollment.access_cli import access
from enrollment.access_log import AccessLog, commitment, log_key, record_looks, who_looked
from enrollment.access_verify import AccessLogBroken, verify_access_log
from enrollment.cases import (
    ENROLLED_NOW,
    LOOKS_ALIKE,
    REASONS,
    REMEMBERED_FOR,
    Case,
    NoReason,
    page_words,
    read_case,
    reason_words,
)
from enrollment.erase import erase_rider
from enrollment.gallery import data_key_name
from enrollment.store import Enrollment
from facefare.server import create_app
from facefare.setup import make_data
from models.access.sessions import begin_session
from models.access.staff import ROLES, new_account
from models.database import reading, writing
from models.kept import CheckpointRefused
from models.log.tree import leaf_hash, root
from models.settings import DataDirectory
from models.tables.access_log import AccessEntry
from models.tables.riders import Consent, Rider, RiderStation
from models.wire.canonical import canonical_bytes
from tests.desk import Desk, post
from tests.test_routes import address

CASE = Case("question", "asks about the fare")
RIDERS = ("aaaaaaaaaa", "bbbbbbbbbb")


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


def add_rider(enrollment: Enrollment, rider_id: str, name: str, now: datetime) -> None:
    enrollment.vault.create(data_key_name(rider_id))
    with writing(enrollment.riders) as session:
        session.add(
            Rider(
                rider_id=rider_id,
                account_id=rider_id[0] * 32,
                name=name,
                category="adult",
                language="en",
                medium="pass",
                status="active",
                created_at=now,
            )
        )
        session.flush()
        session.add(RiderStation(rider_id=rider_id, station="south"))
        session.add(
            Consent(
                rider_id=rider_id,
                text_id="en-1",
                text_sha256="",
                language="en",
                given_at=now,
                staff="mei",
                guardian="Qponml Guardian",
            )
        )


def look(desk: Desk, rider_id: str = RIDERS[0], case: Case = CASE) -> None:
    record_looks(desk.enrollment.access_log, [rider_id], "mei", "rider", case, desk.now)


def change(desk: Desk, statement: str, *values: object) -> None:
    """What somebody with the database in their hands might do."""
    with closing(sqlite3.connect(desk.data.riders_db)) as database:
        database.execute(statement, values)
        database.commit()


# The log.


def test_a_look_is_on_disk_and_signed_for_when_recording_returns(
    desk: Desk, log: AccessLog
) -> None:
    look(desk)
    verified = verify_access_log(log)
    assert (verified.entries, verified.kept_size) == (1, 1)
    with reading(log.riders) as session:
        row = session.exec(select(AccessEntry)).one()
    value = json.loads(row.body)
    assert canonical_bytes(value) == row.body
    assert value["staff"] == "mei"
    assert value["reason"] == "question"
    assert verified.root == root([leaf_hash(row.body)])


def test_an_entry_holds_no_name_no_reference_and_no_note(desk: Desk, log: AccessLog) -> None:
    look(desk)
    with reading(log.riders) as session:
        body = session.exec(select(AccessEntry)).one().body
    for secret in (RIDERS[0], "Zyxwv", RIDERS[0][0] * 32, CASE.note):
        assert secret.encode() not in body


def test_with_the_riders_key_anyone_can_show_whose_entry_it_is(desk: Desk, log: AccessLog) -> None:
    look(desk)
    look(desk)
    key = log_key(desk.enrollment.vault.key(data_key_name(RIDERS[0])))
    with reading(log.riders) as session:
        said = [json.loads(row.body)["rider"] for row in session.exec(select(AccessEntry))]
    assert said == [commitment(key, seq, "rider") for seq in (0, 1)]
    assert said[0] == hmac.digest(key, b"0 rider", "sha256").hex()
    assert said[0] != said[1]


def test_the_rider_sees_who_when_what_and_why_and_only_their_own(
    desk: Desk, log: AccessLog
) -> None:
    look(desk)
    desk.now += timedelta(minutes=1)
    look(desk, RIDERS[1], Case("complaint"))
    look(desk, RIDERS[0], Case("other", "the rider left a bag"))
    [newest, oldest] = who_looked(log, RIDERS[0])
    assert (newest.at, newest.staff, newest.page) == (desk.now, "mei", "rider")
    assert (newest.reason, newest.note) == ("other", "the rider left a bag")
    assert (oldest.reason, oldest.note) == ("question", "asks about the fare")
    assert [found.reason for found in who_looked(log, RIDERS[1])] == ["complaint"]


def test_a_rider_with_a_long_history_sees_it_within_a_second(desk: Desk, log: AccessLog) -> None:
    many = [RIDERS[number % 2] for number in range(2_000)]
    record_looks(log, many, "mei", "search", CASE, desk.now)
    start = time.perf_counter()
    found = who_looked(log, RIDERS[0])
    assert time.perf_counter() - start < 1.0
    assert len(found) == 1_000


def test_a_look_is_there_at_once(desk: Desk, log: AccessLog) -> None:
    start = time.perf_counter()
    look(desk)
    assert len(who_looked(log, RIDERS[0])) == 1
    assert time.perf_counter() - start < 1.0


def test_erasing_a_rider_unlinks_the_looks_and_the_log_still_verifies(
    desk: Desk, log: AccessLog
) -> None:
    look(desk)
    look(desk, RIDERS[1])
    before = verify_access_log(log)
    note = desk.data.access_checkpoint_file.read_text()
    erase_rider(desk.enrollment, RIDERS[0])
    assert who_looked(log, RIDERS[0]) == []
    after = verify_access_log(log, note)
    assert (after.entries, after.root) == (2, before.root)
    with reading(log.riders) as session:
        rows = session.exec(select(AccessEntry).order_by(AccessEntry.seq)).all()  # type: ignore[arg-type]
    assert [(row.rider_id, row.note) for row in rows] == [
        (None, None),
        (RIDERS[1], CASE.note),
    ]


def test_looks_at_once_by_two_workers_are_all_there(desk: Desk, log: AccessLog) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: look(desk, RIDERS[number % 2]), range(24)))
    verified = verify_access_log(log)
    assert (verified.entries, verified.kept_size) == (24, 24)
    assert [len(who_looked(log, rider_id)) for rider_id in RIDERS] == [12, 12]


def test_reasons_and_pages_have_words(desk: Desk) -> None:
    with desk.app.test_request_context():
        for reason in (*REASONS, ENROLLED_NOW, LOOKS_ALIKE):
            assert reason_words(reason) != reason
        assert page_words("search") == "found in a search"


# What cannot be undone.


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE access_entry SET body = replace(body, 'mei', 'ann') WHERE seq = 1", "changed"),
        ("DELETE FROM access_entry WHERE seq = 1", "missing"),
        ("DELETE FROM access_entry WHERE seq = 2", "missing"),
        ("DELETE FROM access_entry", "missing"),
        ("UPDATE access_entry SET rider_id = 'bbbbbbbbbb' WHERE seq = 1", "another rider"),
        ("UPDATE access_entry SET rider_id = NULL WHERE seq = 1", "taken off the page"),
        ("UPDATE access_entry SET note = 'nothing' WHERE seq = 1", "note was changed"),
        ("UPDATE access_entry SET peaks = zeroblob(32) WHERE seq = 0", "tree kept beside it"),
        ("UPDATE access_entry SET peaks = zeroblob(96) WHERE seq = 0", "tree kept beside it"),
        ("UPDATE access_entry SET leaf_hash = zeroblob(32) WHERE seq = 0", "bytes were changed"),
    ],
)
def test_what_somebody_does_to_the_database_is_found(
    desk: Desk, log: AccessLog, statement: str, sentence: str
) -> None:
    for _ in range(3):
        look(desk)
    verify_access_log(log)
    change(desk, statement.replace("replace(body", "replace(CAST(body AS TEXT)"))
    with pytest.raises(AccessLogBroken, match=sentence):
        verify_access_log(log)


def test_a_log_that_was_cut_short_or_rewritten_shows_nobody_any_more(desk: Desk) -> None:
    look(desk)
    look(desk)
    change(desk, "DELETE FROM access_entry WHERE seq = 1")
    with pytest.raises(CheckpointRefused, match="entries are missing"):
        look(desk)
    change(desk, "UPDATE access_entry SET seq = 1 WHERE seq = 0")
    with pytest.raises(CheckpointRefused, match="not those that were signed"):
        look(desk)


def test_a_whole_forged_log_contradicts_a_checkpoint_kept_elsewhere(
    desk: Desk, log: AccessLog, tmp_path: Path
) -> None:
    empty = desk.data.access_checkpoint_file.read_text()
    look(desk)
    kept_elsewhere = desk.data.access_checkpoint_file.read_text()
    change(desk, "DELETE FROM access_entry")
    desk.data.access_checkpoint_file.write_text(empty)
    look(desk, RIDERS[1])
    verify_access_log(log)
    with pytest.raises(AccessLogBroken, match="not those signed"):
        verify_access_log(log, kept_elsewhere)
    file = tmp_path / "kept"
    file.write_text(kept_elsewhere)
    words = ["verify", "--data", str(desk.data.path), "--checkpoint", str(file)]
    assert isinstance(CliRunner().invoke(access, words).exception, AccessLogBroken)


def test_a_crash_between_the_entry_and_the_checkpoint_is_made_good(
    desk: Desk, log: AccessLog
) -> None:
    look(desk)
    behind = desk.data.access_checkpoint_file.read_text()
    look(desk)
    desk.data.access_checkpoint_file.write_text(behind)
    assert verify_access_log(log).kept_size == 1
    look(desk)
    assert verify_access_log(log).kept_size == 3


def test_the_command_verifies_and_hands_out_the_checkpoint(desk: Desk, tmp_path: Path) -> None:
    look(desk)
    data = ["--data", str(desk.data.path)]
    plain = CliRunner().invoke(access, ["verify", *data])
    assert "1 entries verified; 1 of them are signed." in plain.output
    assert "own checkpoint only" in plain.output
    file = tmp_path / "kept"
    file.write_text(CliRunner().invoke(access, ["checkpoint", *data]).output)
    words = ["verify", *data, "--checkpoint", str(file), "--json"]
    result = json.loads(CliRunner().invoke(access, words).output)
    assert (result["verify"], result["entries"], result["checkpoint_size"]) == ("ok", 1, 1)
    assert (
        CliRunner().invoke(access, ["key", *data]).output.startswith("fares.example/test/access+")
    )


# Reasons.


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
