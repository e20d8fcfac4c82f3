"""Checkpoints: published in time, and never two stories under one signature."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import select

import ledger.checkpoints
from ledger.checkpoints import Publisher, health, publish
from ledger.kept import CheckpointFile, CheckpointMissing, CheckpointMoved, CheckpointRefused
from ledger.ledger import Ledger
from models.database import reading
from models.log.notes import Checkpoint, check_checkpoint, sign_checkpoint
from models.log.tree import EMPTY_ROOT, root
from models.tables.ledger import EntryRow
from tests.town import ORIGIN, Town, TownGate, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def kept(town: Town) -> Checkpoint:
    note = CheckpointFile(town.data.checkpoint_file).read()
    return check_checkpoint(note, ORIGIN, town.ledger.log_key.public_key())


def true_root(town: Town) -> bytes:
    with reading(town.ledger.engine) as session:
        return root(session.exec(select(EntryRow.leaf_hash).order_by(EntryRow.seq)))


def test_a_new_log_has_a_signed_checkpoint_of_nothing(town: Town) -> None:
    assert kept(town) == Checkpoint(ORIGIN, 0, EMPTY_ROOT)


def test_a_checkpoint_covers_all_entries_with_the_root_of_their_hashes(town: Town) -> None:
    for rides in (1, 2, 300):
        account = town.account()
        town.charge(*(town.gate.tap(account) for _ in range(rides)))
        made = publish(town.ledger)
        assert made == kept(town)
        assert made.root == true_root(town)
    assert kept(town).size == 303


def test_what_is_signed_while_health_is_asked_for_is_no_contradiction(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.rides(1)
    read = ledger.checkpoints.kept_checkpoint

    def just_after_more_was_signed(*facts: Any) -> Any:
        monkeypatch.setattr(ledger.checkpoints, "kept_checkpoint", read)
        town.rides(1)
        publish(town.ledger)
        return read(*facts)

    monkeypatch.setattr(ledger.checkpoints, "kept_checkpoint", just_after_more_was_signed)
    assert (health(town.ledger).problem, health(town.ledger).entries) == ("", 2)


def test_without_new_entries_nothing_is_signed_again(town: Town) -> None:
    town.rides(1)
    publish(town.ledger)
    before = town.data.checkpoint_file.stat().st_mtime_ns
    assert publish(town.ledger).size == 1
    assert town.data.checkpoint_file.stat().st_mtime_ns == before


def test_a_log_that_became_shorter_is_not_signed(town: Town, tmp_path: Path) -> None:
    town.rides(2)
    backup = back_up(town, tmp_path)
    town.rides(2)
    publish(town.ledger)
    restored = restore(town, backup)
    with pytest.raises(CheckpointRefused, match="has 2 entries but a checkpoint over 4"):
        publish(restored.ledger)
    assert not health(restored.ledger).ok


def test_a_restored_backup_takes_no_taps(town: Town, tmp_path: Path) -> None:
    rider = town.rides(2)
    backup = back_up(town, tmp_path)
    town.rides(2)
    publish(town.ledger)
    restored = restore(town, backup)
    restored.gate = TownGate(name="south-9")
    with pytest.raises(CheckpointRefused, match="2 entries but a checkpoint over 4 was signed"):
        restored.rides(1, rider)


def test_a_restored_backup_that_grew_again_is_not_signed(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Our own program refuses to; whoever rewrites a log uses another.
    monkeypatch.setattr("ledger.store.refuse_shorter_log", lambda session, size: None)
    town.rides(2)
    backup = back_up(town, tmp_path)
    town.rides(2)
    publish(town.ledger)
    restored = restore(town, backup)
    restored.gate = TownGate(name="south-9")
    restored.rides(5)
    with pytest.raises(CheckpointRefused, match="not those that were signed"):
        publish(restored.ledger)


def back_up(town: Town, folder: Path) -> Path:
    copy = folder / "yesterday.sqlite"
    with closing(sqlite3.connect(town.data.fares_db)) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    return copy


def restore(town: Town, backup: Path) -> Town:
    town.ledger.engine.dispose()
    for leftover in town.data.path.glob("fares.sqlite-*"):
        leftover.unlink()
    shutil.copy(backup, town.data.fares_db)
    return town.reopened()


def edit(town: Town, statement: str) -> None:
    with closing(sqlite3.connect(town.data.fares_db)) as connection:
        connection.execute("DROP TRIGGER entry_is_not_changed")
        connection.execute(statement)
        connection.commit()


def test_changed_bytes_are_not_signed_even_if_the_hash_column_is_not(town: Town) -> None:
    town.rides(3)
    edit(town, "UPDATE entry SET body = replace(body, '200', '100') WHERE seq = 1")
    with pytest.raises(CheckpointRefused, match="entry 1 is missing or was changed"):
        publish(town.ledger)
    assert kept(town).size == 0


def test_a_changed_hash_under_a_signed_checkpoint_stops_signing(town: Town) -> None:
    town.rides(3)
    publish(town.ledger)
    edit(town, "UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 1")
    town.rides(1)
    with pytest.raises(CheckpointRefused, match="not those that were signed"):
        publish(town.ledger)


def test_another_key_does_not_go_on_from_this_logs_checkpoint(town: Town) -> None:
    stranger = replace(town.ledger, log_key=Ed25519PrivateKey.generate())
    with pytest.raises(CheckpointRefused, match="not made by this log and key"):
        publish(stranger)


def test_another_origin_does_not_go_on_from_this_logs_checkpoint(town: Town) -> None:
    renamed = town.ledger.settings.model_copy(update={"origin": "fares.test/other"})
    with pytest.raises(CheckpointRefused, match=r"fares\.test/town"):
        publish(replace(town.ledger, settings=renamed))


def test_a_lost_checkpoint_is_not_quietly_replaced(town: Town) -> None:
    town.rides(1)
    town.data.checkpoint_file.unlink()
    with pytest.raises(CheckpointMissing, match="restore it"):
        publish(town.reopened().ledger)
    assert "missing" in health(town.ledger).problem


def test_a_checkpoint_that_is_no_text_is_refused(town: Town) -> None:
    town.data.checkpoint_file.write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointRefused, match="does not hold a checkpoint"):
        publish(town.ledger)


def test_only_who_knows_the_kept_checkpoint_can_move_it(town: Town) -> None:
    file = CheckpointFile(town.data.checkpoint_file)
    old = file.read()
    file.swap(old, "newer")
    with pytest.raises(CheckpointMoved):
        file.swap(old, "mine")
    with pytest.raises(CheckpointMoved):
        file.swap(None, "mine")
    assert file.read() == "newer"


def test_of_many_programs_that_swap_at_once_exactly_one_wins(town: Town) -> None:
    file = CheckpointFile(town.data.checkpoint_file)
    old, won, lost = file.read(), [], []

    def move(name: str) -> None:
        try:
            file.swap(old, name)
            won.append(name)
        except CheckpointMoved:
            lost.append(name)

    threads = [threading.Thread(target=move, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    assert file.read() == won[0]


def test_publishing_while_riders_pass_never_goes_back(town: Town) -> None:
    account = town.account()
    signed = [town.gate.tap(account) for _ in range(60)]
    done = threading.Event()
    sizes: list[int] = []

    def sign() -> None:
        while not done.is_set():
            sizes.append(publish(town.ledger).size)

    publisher = threading.Thread(target=sign)
    publisher.start()
    for tap in signed:
        town.charge(tap)
    done.set()
    publisher.join()
    assert sizes == sorted(sizes)
    assert publish(town.ledger) == Checkpoint(ORIGIN, 60, true_root(town))


def wait_for(town: Town, size: int, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while kept(town).size < size:
        assert time.monotonic() < deadline, f"no checkpoint over {size} within {within_s} s"
        time.sleep(0.02)


def test_the_publisher_signs_within_its_interval(town: Town) -> None:
    publisher = Publisher(town.ledger, interval_s=0.5)
    publisher.start()
    try:
        town.rides(1)
        wait_for(town, 1, within_s=3)
    finally:
        publisher.stop()


def test_the_publisher_does_not_wait_once_256_entries_have_come(town: Town) -> None:
    publisher = Publisher(town.ledger, interval_s=3600)
    publisher.start()
    try:
        account = town.account()
        town.charge(*(town.gate.tap(account) for _ in range(256)))
        wait_for(town, 256, within_s=3)
    finally:
        publisher.stop()


def test_a_stopped_publisher_has_signed_everything(town: Town) -> None:
    publisher = Publisher(town.ledger, interval_s=3600)
    publisher.start()
    town.rides(1)
    publisher.stop()
    assert kept(town).size == 1


def test_a_contradicted_log_does_not_start(town: Town, tmp_path: Path) -> None:
    town.rides(1)
    publish(town.ledger)
    edit(town, "UPDATE entry SET leaf_hash = zeroblob(32)")
    with pytest.raises(CheckpointRefused):
        Publisher(town.ledger).start()


def test_the_publisher_complains_once_and_signs_again_when_it_can(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(town.ledger, interval_s=0.01)
    note = CheckpointFile(town.data.checkpoint_file).read()
    publisher.start()
    try:
        with caplog.at_level(logging.ERROR):
            town.data.checkpoint_file.unlink()
            town.rides(1)
            deadline = time.monotonic() + 3
            while not caplog.records and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.6)
        assert len(caplog.records) == 1
        town.data.checkpoint_file.write_text(note, encoding="utf-8")
        wait_for(town, 1, within_s=3)
    finally:
        publisher.stop()


def test_the_publisher_outlives_what_nobody_expected(
    town: Town, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(town.ledger, interval_s=0.01)
    publisher.start()
    try:
        monkeypatch.setattr(town.clock, "now", None)
        until = time.monotonic() + 3
        while "AttributeError" not in caplog.text:
            assert time.monotonic() < until, "nobody complained"
            time.sleep(0.02)
        monkeypatch.undo()
        town.rides(1)
        wait_for(town, 1, within_s=3)
    finally:
        publisher.stop()


def test_health_is_red_where_nobody_signs_though_there_is_nothing_to_sign(town: Town) -> None:
    assert "nobody has looked yet" in health(town.ledger).problem
    publish(town.ledger)
    town.clock.forward(15)
    assert health(town.ledger).ok
    town.clock.forward(1)
    assert not health(town.ledger).ok
    assert "nobody has looked for 16 s" in health(town.ledger).problem
    publish(town.ledger)
    assert health(town.ledger).ok


def test_health_is_red_where_nobody_signs_since_the_clock_was_set_back(town: Town) -> None:
    publish(town.ledger)
    town.rides(1)
    town.clock.forward(-3600)
    assert not health(town.ledger).ok
    assert "set back" in health(town.ledger).problem
    publish(town.ledger)
    town.rides(1)  # it bears the time of the ride before, an hour from now
    assert health(town.ledger).ok


def test_health_is_red_when_entries_wait_too_long_for_a_signature(town: Town) -> None:
    publish(town.ledger)
    assert health(town.ledger).ok
    town.rides(1)
    assert health(town.ledger).ok
    town.clock.forward(11)
    found = health(town.ledger)
    assert not found.ok
    assert found.unsigned_for_s == 11
    publish(town.ledger)
    assert health(town.ledger).ok


def test_a_new_ledger_with_a_foreign_checkpoint_file_does_not_sign(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    foreign = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), Ed25519PrivateKey.generate())
    town.data.checkpoint_file.write_text(foreign, encoding="utf-8")
    with pytest.raises(CheckpointRefused):
        publish(Ledger.open(town.data))
