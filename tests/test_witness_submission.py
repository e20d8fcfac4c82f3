"""The ledger's side: every published checkpoint is submitted, and a contradiction is heard."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from flask import Flask

from ledger.api import public
from ledger.checkpoints import publish
from ledger.ledger import Ledger
from ledger.witness import create_witness, open_witness
from ledger.witnessed import WitnessFiles
from ledger.witnessing import (
    Answer,
    Standing,
    Submitter,
    WitnessContradicts,
    WitnessTrouble,
    cosigned_checkpoint,
    post_text,
    standings,
    submit,
)
from models.log.cosignatures import Cosigner, find_cosignature
from models.log.notes import NoteRefused, check_checkpoint, parse_note
from models.settings import DataDirectory, SettingsError
from tests.test_witness import NAME, free_port, running
from tests.town import ORIGIN, Town, TownGate, make_town


def with_witness(path: Path, folder: Path, url: str) -> Town:
    """A town and a witness that know each other."""
    create_witness(folder, NAME)
    key = open_witness(folder, time.time).cosigner.text()
    table = f'\n[[witnesses]]\nurl = "{url}"\nkey = "{key}"\n'
    town = make_town(path, lambda text: text + table)
    with (folder / "witness.toml").open("a", encoding="utf-8") as file:
        file.write(f'[[logs]]\nkey = "{town.ledger.verifier_key}"\n')
    return town


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "witness"


@pytest.fixture
def town(tmp_path: Path, folder: Path) -> Town:
    return with_witness(tmp_path / "data", folder, f"http://127.0.0.1:{free_port()}")


def ask(town: Town, url: str, ledger: Ledger | None = None) -> None:
    """Submit to the witness that runs at ``url`` now."""
    (settings,) = town.ledger.settings.witnesses
    with httpx.Client() as client:
        submit(ledger or town.ledger, settings.model_copy(update={"url": url}), post_text(client))


def standing(town: Town) -> Standing:
    (found,) = standings(town.ledger)
    return found


def test_a_published_checkpoint_is_cosigned_and_kept(town: Town, folder: Path) -> None:
    assert standing(town) == Standing(NAME, 0, None, "")
    assert cosigned_checkpoint(town.ledger) == ""
    with running(folder) as url:
        for _ in range(3):
            town.rides(3)
            kept = publish(town.ledger)
            ask(town, url)
            found = standing(town)
            assert (found.size, found.trouble) == (kept.size, "")
            assert found.at is not None
    note = cosigned_checkpoint(town.ledger)
    assert check_checkpoint(note, ORIGIN, town.ledger.log_key.public_key()) == kept
    by = Cosigner.parse(town.ledger.settings.witnesses[0].key)
    assert find_cosignature(kept.body(), parse_note(note).signatures, by)


def test_what_is_witnessed_is_shown_to_everyone(town: Town, folder: Path) -> None:
    app = Flask(__name__)
    app.register_blueprint(public(town.ledger))
    client = app.test_client()
    assert client.get("/log/witnessed").status_code == 404
    town.rides(2)
    publish(town.ledger)
    with running(folder) as url:
        ask(town, url)
    assert client.get("/log/witnessed").text == cosigned_checkpoint(town.ledger)
    (witness,) = client.get("/health/ledger").get_json()["witnesses"]
    assert (witness["name"], witness["size"], witness["trouble"]) == (NAME, 2, "")


def test_a_ledger_that_lost_its_cosignatures_learns_from_the_witness(
    town: Town, folder: Path
) -> None:
    town.rides(3)
    publish(town.ledger)
    with running(folder) as url:
        ask(town, url)
        shutil.rmtree(town.data.checkpoint_file.with_name("witnessed"))
        town.rides(2)
        publish(town.ledger)
        ask(town, url)
    assert standing(town).size == 5


def test_a_ledger_restored_from_yesterday_is_caught_by_its_witness(
    town: Town, folder: Path, tmp_path: Path
) -> None:
    """Database and kept checkpoint both come from the backup: nothing inside could show it."""
    town.rides(3)
    publish(town.ledger)
    town.ledger.engine.dispose()
    shutil.copytree(town.data.path, tmp_path / "backup")
    town.rides(4)
    publish(town.ledger)
    restored = Ledger.open(DataDirectory(tmp_path / "backup"), town.clock)
    with running(folder) as url:
        ask(town, url)
        with pytest.raises(WitnessContradicts, match="7 entries, but only 3 are here"):
            ask(town, url, restored)
        # It grows again, past the size the witness saw, with other rides.
        backup = DataDirectory(tmp_path / "backup")
        regrown = Town(backup, restored, town.clock, TownGate(name="south-2"))
        regrown.rides(4)
        publish(restored)
        with pytest.raises(WitnessContradicts, match="another log of 7 entries"):
            ask(town, url, restored)
        regrown.rides(2)
        publish(restored)
        with pytest.raises(WitnessContradicts, match="does not continue"):
            ask(town, url, restored)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "text/plain", ""),
        Answer(200, "text/plain", "— witness.test/w1 AAAA\n"),
        Answer(500, "text/plain", "trouble"),
        Answer(404, "text/plain", "unknown"),
        Answer(409, "text/plain", "3\n"),
        Answer(409, "text/x.tlog.size", "three"),
    ],
)
def test_a_witness_that_does_not_cosign_is_no_witness(town: Town, answer: Answer) -> None:
    town.rides(3)
    publish(town.ledger)
    with pytest.raises(WitnessTrouble):
        submit(town.ledger, town.ledger.settings.witnesses[0], lambda url, text: answer)
    assert standing(town).size == 0


def test_a_cosignature_of_another_checkpoint_is_not_kept(town: Town, folder: Path) -> None:
    town.rides(3)
    publish(town.ledger)
    with running(folder) as url:
        ask(town, url)
    old = cosigned_checkpoint(town.ledger).split("\n")[-2] + "\n"
    town.rides(1)
    publish(town.ledger)
    replayed = Answer(200, "text/plain", old)
    with pytest.raises(WitnessTrouble, match="does not verify"):
        submit(town.ledger, town.ledger.settings.witnesses[0], lambda url, text: replayed)


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def test_the_submitter_tells_of_a_witness_that_is_away_and_goes_on_when_it_is_back(
    tmp_path: Path, folder: Path
) -> None:
    away = with_witness(tmp_path / "data", folder, "http://127.0.0.1:9")
    away.rides(2)
    publish(away.ledger)
    submitter = Submitter(away.ledger, pause_s_first=0.1)
    submitter.start()
    try:
        eventually(lambda: "cannot be reached" in standing(away).trouble)
    finally:
        submitter.stop()
    with running(folder) as url:
        settings = away.data.settings_file
        text = settings.read_text(encoding="utf-8").replace("http://127.0.0.1:9", url)
        settings.write_text(text, encoding="utf-8")
        back = away.reopened()
        submitter = Submitter(back.ledger, pause_s_first=0.1)
        submitter.start()
        try:
            eventually(lambda: standing(back) == Standing(NAME, 2, standing(back).at, ""))
            back.rides(3)
            publish(back.ledger)
            eventually(lambda: standing(back).size == 5)
        finally:
            submitter.stop()


def test_health_is_red_while_a_witness_contradicts_the_log_even_if_it_is_away(
    town: Town, folder: Path, tmp_path: Path
) -> None:
    town.rides(1)
    publish(town.ledger)
    town.ledger.engine.dispose()
    shutil.copytree(town.data.path, tmp_path / "backup")
    town.rides(1)
    publish(town.ledger)
    with running(folder) as url:
        ask(town, url)
        backup = DataDirectory(tmp_path / "backup")
        file = backup.settings_file
        was = town.ledger.settings.witnesses[0].url
        file.write_text(file.read_text(encoding="utf-8").replace(was, url), encoding="utf-8")
        restored = Town(backup, Ledger.open(backup, town.clock), town.clock)
        publish(restored.ledger)
        submitter = Submitter(restored.ledger, pause_s_first=0.1)
        submitter.start()
        try:
            eventually(lambda: standing(restored).contradicts)
        finally:
            submitter.stop()
    away = WitnessFiles(restored.ledger, restored.ledger.settings.witnesses[0])
    assert away.complain("it cannot be reached", contradicts=False)
    app = Flask(__name__)
    app.register_blueprint(public(restored.ledger))
    answer = app.test_client().get("/health/ledger")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "contradicted")
    assert "2 entries, but only 1 are here" in answer.get_json()["witnesses"][0]["trouble"]


def test_a_standing_can_be_read_while_a_complaint_is_taken_back(town: Town) -> None:
    """The submitter removes it at some moment while pages and the health check look."""
    words = "it cannot be reached"
    assert WitnessFiles(town.ledger, town.ledger.settings.witnesses[0]).complain(
        words, contradicts=False
    )
    (path,) = town.data.checkpoint_file.with_name("witnessed").glob("*.trouble")
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            path.unlink()
            path.write_text(words, encoding="utf-8")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        read = {standing(town).trouble for _ in range(20_000)}
    finally:
        over.set()
        thread.join()
    assert read == {"", words}


def test_the_submitter_outlives_a_complaint_that_cannot_be_kept(tmp_path: Path) -> None:
    town = with_witness(tmp_path / "data", tmp_path / "witness", "http://127.0.0.1:9")
    in_the_way = town.data.checkpoint_file.with_name("witnessed")
    in_the_way.touch()
    submitter = Submitter(town.ledger, pause_s_first=0.1)
    submitter.start()
    try:
        time.sleep(0.7)  # one round
        in_the_way.unlink()
        eventually(lambda: "cannot be reached" in standing(town).trouble)
    finally:
        submitter.stop()


def test_a_key_that_is_no_witnesss_key_is_refused_in_the_settings(town: Town) -> None:
    file = town.data.settings_file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("witness.test", "witness.other"), encoding="utf-8")
    with pytest.raises(SettingsError, match="does not fit the key"):
        town.data.settings()


def test_a_kept_cosignature_that_was_changed_counts_for_nothing(town: Town, folder: Path) -> None:
    town.rides(3)
    publish(town.ledger)
    with running(folder) as url:
        ask(town, url)
    (file,) = town.data.checkpoint_file.with_name("witnessed").iterdir()
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("\n3\n", "\n4\n"), encoding="utf-8")
    assert standing(town).size == 0
    with pytest.raises(NoteRefused):
        check_checkpoint(file.read_text(encoding="utf-8"), ORIGIN, town.ledger.log_key.public_key())
