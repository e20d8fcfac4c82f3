"""PostgreSQL stopped at once, again and again, under clients that retry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.postgres import Postgres
from tests.crowd import LedgerProcess, endure
from tests.postgres import a_server, make_postgres_town

STOPS = 20 if os.environ.get("FACEFARE_TEST_ALL") == "1" else 2


@pytest.fixture
def server() -> Iterator[Postgres]:
    yield from a_server()


def test_stopped_under_retrying_clients_it_has_every_tap_once(
    server: Postgres, tmp_path: Path
) -> None:
    town = make_postgres_town(tmp_path / "data", server)

    def stop(process: LedgerProcess) -> None:
        server.stop("immediate")
        server.start()
        town.ledger.engine.dispose()

    endure(town, tmp_path / "log", STOPS, stop, grows=False)
