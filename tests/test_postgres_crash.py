"""PostgreSQL stopped at once, again and again, under clients that retry."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.postgres import Postgres
from tests.crowd import LedgerProcess, check_outcome, leaves, retrying_crowd
from tests.postgres import a_server, make_postgres_town

STOPS = 20 if os.environ.get("FACEFARE_TEST_ALL") == "1" else 2
CLIENTS = 8


@pytest.fixture
def server() -> Iterator[Postgres]:
    yield from a_server()


def test_stopped_under_retrying_clients_it_has_every_tap_once(
    server: Postgres, tmp_path: Path
) -> None:
    town = make_postgres_town(tmp_path / "data", server)
    process = LedgerProcess(town, tmp_path / "log")
    crowd = retrying_crowd(town, process.url, CLIENTS)
    rng = random.Random(13)
    before: list[bytes] = []
    process.start()
    process.wait()
    crowd.start()
    try:
        for _ in range(STOPS):
            crowd.served(more=rng.randint(1, 60))
            time.sleep(rng.uniform(0, 0.05))
            server.stop("immediate")
            server.start()
            town.ledger.engine.dispose()
            now = leaves(town)
            assert now[: len(before)] == before, "an index was bound to another leaf"
            before = now
        crowd.finish()
    finally:
        process.close()
    told = crowd.told()
    assert leaves(town)[: len(before)] == before
    assert {answer["status"] for answer in told} <= {"accepted", "replayed"}
    check_outcome(town, told, {answer["tap_id"] for answer in told})
