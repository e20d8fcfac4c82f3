"""Ledgers on a real PostgreSQL for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from sqlalchemy import Engine

from bench.postgres import Postgres, PostgresMissing
from ledger.schema import upgrade
from models.database import open_postgres
from tests.conftest import missing
from tests.town import Town, make_town

_names = count()
_engines: list[Engine] = []


def a_server() -> Iterator[Postgres]:
    """One server for a module's tests; what is missing is said, and in CI a failure."""
    try:
        server = Postgres()
    except PostgresMissing as error:
        missing(str(error))
        return
    yield server
    while _engines:
        _engines.pop().dispose()
    server.throw_away()


def make_postgres_town(
    path: Path, server: Postgres, change_settings: Callable[[str], str] = lambda text: text
) -> Town:
    """A new data directory whose ledger is in a new database of ``server``."""
    url = server.create(f"fares_{next(_names)}")
    engine = open_postgres(url)
    upgrade(engine)
    engine.dispose()
    town = make_town(path, lambda text: f'fares_url = "{url}"\n{change_settings(text)}')
    _engines.append(town.ledger.engine)
    return town
