"""Who looked at a rider: written before the page, told to the rider, and not to be undone."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlmodel import select

from enrollment.access_cli import access
from enrollment.access_log import AccessLog, commitment, log_key, record_looks, who_looked
from enrollment.access_verify import AccessLogBroken, verify_access_log
from enrollment.cases import (
    ENROLLED_NOW,
    LOOKS_ALIKE,
    REASONS,
    Case,
    page_words,
    reason_words,
)
from enrollment.erase import erase_rider
from enrollment.gallery import data_key_name
from models.database import reading
from models.kept import CheckpointRefused
from models.log.tree import leaf_hash, root
from models.tables.access_log import AccessEntry
from models.wire.canonical import canonical_bytes
from tests.desk import Desk
from tests.looking import CASE, RIDERS, add_rider, change, look


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
