"""``facefare backup``: what comes back from the copies is what was there."""

from __future__ import annotations

import shutil
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from facefare.backup import BackupRefused, back_up
from facefare.cli import facefare
from facefare.server import create_app
from facefare.setup import make_data
from ledger.accounts import key_name, open_account
from ledger.checkpoints import publish
from ledger.ledger import Ledger
from ledger.verify import VerifyReport, verify
from models.settings import DataDirectory
from tests.town import Clock, Town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    data = DataDirectory(tmp_path / "data")
    make_data(data, "Example Transit", "fares.test/town")
    clock = Clock()
    return Town(data, Ledger.open(data, clock), clock)


def put_back(copy: Path, keys: Path, target: Path) -> DataDirectory:
    """As docs/running.md says: both copies into one empty folder."""
    for source in (copy, keys):
        shutil.copytree(source, target, dirs_exist_ok=True)
    return DataDirectory(target)


def verified(data: DataDirectory) -> VerifyReport:
    ledger, kept = Ledger.open(data), data.checkpoint_file.read_text("utf-8")
    key = ledger.log_key.public_key()
    return verify(ledger.engine, ledger.settings.origin, key, kept, ledger.vault)


def test_both_copies_together_serve_again(town: Town, tmp_path: Path) -> None:
    rider = town.rides(3)
    publish(town.ledger)
    back_up(town.data, tmp_path / "copy")
    back_up(town.data, tmp_path / "keys", keys=True)
    restored = put_back(tmp_path / "copy", tmp_path / "keys", tmp_path / "restored")
    assert verified(restored).entries == 3
    ledger = Ledger.open(restored)
    assert ledger.vault.key(key_name(rider)) == town.ledger.vault.key(key_name(rider))
    assert create_app(restored).test_client().get("/health/ledger").status_code in (200, 503)


def test_a_copy_made_while_taps_come_verifies_against_its_own_checkpoint(
    town: Town, tmp_path: Path
) -> None:
    rider, over = town.rides(1), threading.Event()

    def ride_on() -> None:
        while not over.is_set():
            town.rides(5, rider)
            publish(town.ledger)

    riding = threading.Thread(target=ride_on)
    riding.start()
    try:
        for number in range(5):
            back_up(town.data, tmp_path / f"copy-{number}")
    finally:
        over.set()
        riding.join()
    back_up(town.data, tmp_path / "keys", keys=True)
    for number in range(5):
        target = tmp_path / f"restored-{number}"
        restored = put_back(tmp_path / f"copy-{number}", tmp_path / "keys", target)
        verified(restored)


def test_neither_copy_holds_what_the_other_is_for(town: Town, tmp_path: Path) -> None:
    open_account(town.ledger, "ab" * 16)
    copy = {path.name for path in back_up(town.data, tmp_path / "copy")}
    keys = {path.name for path in back_up(town.data, tmp_path / "keys", keys=True)}
    assert {"riders.sqlite", "fares.sqlite", "access.sqlite", "checkpoint"} <= copy
    assert {"accounts.sqlite", "accounts.key", "session.key"} <= keys
    assert copy.isdisjoint(keys)


def test_the_copies_are_their_owners_only(town: Town, tmp_path: Path) -> None:
    for path in (tmp_path / "copy", *back_up(town.data, tmp_path / "copy")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_folder_that_is_there_is_not_touched(town: Town, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(BackupRefused, match="is there already; name a folder that is not"):
        back_up(town.data, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_damaged_database_is_told_and_nothing_is_left(town: Town, tmp_path: Path) -> None:
    town.data.riders_db.write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(BackupRefused, match="could not be made, and none is left"):
        back_up(town.data, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_command_says_what_it_copied(town: Town, tmp_path: Path) -> None:
    arguments = ["backup", str(tmp_path / "copy"), "--data", str(town.data.path)]
    result = CliRunner().invoke(facefare, arguments)
    assert result.exit_code == 0, result.output
    assert f"are in {tmp_path / 'copy'}." in result.output


def test_a_folder_that_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(facefare, ["backup", str(tmp_path / "c"), "--data", str(tmp_path)])
    assert "not a Facefare data directory" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_just_being_written_anew_is_not_copied(town: Town, tmp_path: Path) -> None:
    data = town.data
    (data.checkpoint_file.parent / "checkpoint.new").write_text("half of")
    copied = back_up(data, tmp_path / "copy")
    assert data.checkpoint_file.name in {path.name for path in copied}
    assert "checkpoint.new" not in {path.name for path in copied}
