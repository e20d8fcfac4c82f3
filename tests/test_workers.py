"""Several workers on one ledger: one signs, any may be killed, and too much is sent away."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
from flask import Flask
from sqlalchemy import MetaData, text
from sqlmodel import select

from bench.postgres import Postgres
from facefare import capacity
from facefare.setup import make_data
from ledger.checkpoints import Publisher, health
from ledger.election import SIGNER, SUBMITTER, election, holder
from ledger.ledger import Ledger, open_fares
from ledger.pages import PageMover
from ledger.schema import upgrade
from models.database import DatabaseBusy, open_sqlite, reading, writing
from models.settings import DataDirectory
from models.tables.ledger import InboxRow
from tests.crowd import check_outcome, leaves, retrying_crowd
from tests.postgres import a_server, make_postgres_town
from tests.station import free_port
from tests.town import ORIGIN, Clock, Town, make_town

_names = count()
KILLS = 12 if os.environ.get("FACEFARE_TEST_ALL") == "1" else 3


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    if request.param == "sqlite":
        return make_town(tmp_path / "data")
    return make_postgres_town(tmp_path / "data", request.getfixturevalue("server"))


def test_one_of_several_is_elected_and_another_when_it_is_gone(town: Town) -> None:
    first, second = election(town.ledger, SIGNER), election(town.ledger, SIGNER)
    assert holder(town.ledger, SIGNER) == ""
    assert [first.won(), second.won(), first.won()] == [True, False, True]
    assert holder(town.ledger, SIGNER).endswith(f":{os.getpid()}")
    first.resign()
    assert [second.won(), first.won()] == [True, False]
    second.resign()
    assert holder(town.ledger, SIGNER) == ""


def test_each_office_has_its_own_election(town: Town) -> None:
    signer, submitter = election(town.ledger, SIGNER), election(town.ledger, SUBMITTER)
    assert [signer.won(), submitter.won()] == [True, True]
    signer.resign()
    assert holder(town.ledger, SIGNER) == ""
    assert holder(town.ledger, SUBMITTER) != ""
    submitter.resign()


def test_health_says_who_signs(town: Town) -> None:
    publishers = [Publisher(town.ledger, interval_s=0.1) for _ in range(2)]
    for publisher in publishers:
        publisher.start()
    until = time.monotonic() + 10
    while not (signer := health(town.ledger).signer):
        assert time.monotonic() < until, "nobody was elected"
        time.sleep(0.02)
    assert signer.endswith(f":{os.getpid()}")
    for publisher in publishers:
        publisher.stop()
    assert health(town.ledger).signer == ""


class Workers:
    """``facefare serve --workers 2`` on one port."""

    def __init__(self, data: Path, log: Path, port: int | None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "facefare", "serve", "--workers", "2",
             "--data", str(data), "--port", str(self.port)],
            stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def signer(self) -> int:
        """The process that signs, once there is one."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                told = httpx.get(f"{self.url}/health/ledger", timeout=5).json()
            except httpx.HTTPError:
                told = {}
            if told.get("signer"):
                return int(told["signer"].rpartition(":")[2])
            time.sleep(0.05)
        raise AssertionError("nobody signs")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@contextmanager
def two_workers(town: Town, log: Path, port: int | None = None) -> Iterator[Workers]:
    workers = Workers(town.data.path, log, port)
    try:
        yield workers
    finally:
        workers.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def whole_town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    """A town whose data directory has enrollment's files as well, as the server needs them."""
    data = DataDirectory(tmp_path / "data")
    make_data(data, "Test Town", ORIGIN)
    if request.param == "postgresql":
        url = request.getfixturevalue("server").create(f"whole_{next(_names)}")
        settings = data.settings_file.read_text(encoding="utf-8")
        data.settings_file.write_text(f'fares_url = "{url}"\n{settings}', encoding="utf-8")
        engine = open_fares(data, data.settings())
        upgrade(engine)
        engine.dispose()
    clock = Clock()
    town = Town(data, Ledger.open(data, clock), clock)
    yield town
    town.ledger.engine.dispose()


def test_the_signing_worker_killed_under_load_loses_no_tap_and_is_replaced(
    whole_town: Town, tmp_path: Path
) -> None:
    town = whole_town
    rng = random.Random(5)
    with two_workers(town, tmp_path / "log") as workers:
        crowd = retrying_crowd(town, workers.url, clients=4)
        killed = [workers.signer()]
        crowd.start()
        try:
            for _ in range(KILLS):
                crowd.served(more=rng.randint(5, 40))
                os.kill(killed[-1], signal.SIGKILL)
                while (now := workers.signer()) == killed[-1]:
                    time.sleep(0.05)
                killed.append(now)
        finally:
            crowd.finish()
    assert len(set(killed)) == KILLS + 1
    told = crowd.told()
    assert {answer["status"] for answer in told} <= {"accepted", "replayed"}
    check_outcome(town, told, {answer["tap_id"] for answer in told})
    assert len(leaves(town)) == len({answer["tap_id"] for answer in told})


def test_workers_that_are_told_to_stop_leave_no_tap_without_its_number(
    whole_town: Town, tmp_path: Path
) -> None:
    town = whole_town
    with two_workers(town, tmp_path / "log") as workers:
        workers.signer()
        crowd = retrying_crowd(town, workers.url, clients=6)
        crowd.start()
        crowd.served(more=60)
    with reading(town.ledger.engine) as session:  # while the gates go on asking
        assert session.exec(select(InboxRow.entry_id)).all() == []
    assert health(town.ledger).checkpoint_size == len(leaves(town))
    with two_workers(town, tmp_path / "log", workers.port):
        crowd.finish()
    told = crowd.told()
    check_outcome(town, told, {answer["tap_id"] for answer in told})


def test_beyond_its_room_the_server_says_when_to_come_back() -> None:
    app, inside, go_on = Flask("crowded"), threading.Barrier(3), threading.Event()

    def taps() -> str:
        inside.wait(10)
        go_on.wait(10)
        return "charged"

    app.add_url_rule("/taps", "ledger_api.taps", taps, methods=["POST"])
    app.add_url_rule("/page", "page", lambda: "a page")
    capacity.limit(app, taps_max=2)
    charged: list[int] = []
    threads = [
        threading.Thread(target=lambda: charged.append(app.test_client().post("/taps").status_code))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    inside.wait(10)
    refused = app.test_client().post("/taps")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "nothing of this request was recorded" in refused.get_json()["detail"]
    assert app.test_client().get("/page").text == "a page"
    go_on.set()
    for thread in threads:
        thread.join()
    assert charged == [200, 200]
    assert _room_is_free_again(app, inside)


def _room_is_free_again(app: Flask, inside: threading.Barrier) -> bool:
    others = [threading.Thread(target=inside.wait, args=(10,)) for _ in range(2)]
    for other in others:
        other.start()
    answered = app.test_client().post("/taps").status_code
    for other in others:
        other.join()
    return answered == 200


def test_a_database_that_others_keep_busy_is_an_answer_and_no_error(tmp_path: Path) -> None:
    app = Flask("busy")

    def write() -> str:
        raise DatabaseBusy("busy")

    app.add_url_rule("/write", "write", write)
    capacity.limit(app)
    answer = app.test_client().get("/write")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_pages_move_into_the_database_file_while_others_read_and_write(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "small.sqlite", MetaData(), create=True)
    with writing(engine) as session:
        session.execute(text("CREATE TABLE note (words TEXT)"))
    mover = PageMover(engine, interval_s=0.01)
    mover.start()
    with reading(engine) as session:
        assert session.execute(text("SELECT count(*) FROM note")).scalar_one() == 0
        with writing(engine) as other:
            other.execute(text("INSERT INTO note VALUES (:words)"), [{"words": "x" * 500}] * 1000)
    until = time.monotonic() + 30
    while (tmp_path / "small.sqlite").stat().st_size < 500_000:
        assert time.monotonic() < until, "no page was moved"
        time.sleep(0.01)
    mover.stop()
    engine.dispose()


def test_writers_wait_in_line_and_give_up_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = make_town(tmp_path / "data")
    monkeypatch.setattr("models.database.BUSY_TIMEOUT_MS", 50)
    other = town.reopened()  # another engine on the same file

    def write() -> None:
        with pytest.raises(DatabaseBusy, match="try again"), writing(other.ledger.engine):
            raise AssertionError("two wrote at once")

    with writing(town.ledger.engine):
        waiting = threading.Thread(target=write)
        waiting.start()
        waiting.join()
    with writing(other.ledger.engine) as session:
        assert session.connection() is not None
    other.ledger.engine.dispose()
