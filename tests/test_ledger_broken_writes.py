"""Every write is broken twice: it failed, and it failed although it persisted.

A statement is broken before it runs and after, the commit likewise. Whoever asked sees an
error, asks again, and the ledger holds everything once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select

from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.answers import Accepted
from ledger.refunds import refund
from ledger.sequencer import sequence
from ledger.topups import top_up
from models.database import reading
from models.money import Money
from models.tables.ledger import TapRow
from tests.crowd import check_outcome
from tests.postgres import a_server, make_postgres_town
from tests.town import Town, make_town


class Broken(Exception):
    """The disk, the network or the power, at the worst moment."""


@contextmanager
def broken(engine: Engine, step: int, persisted: bool) -> Iterator[list[str]]:
    """Break write number ``step``: before it is done, or after. Yields the writes seen."""
    seen: list[str] = []

    def count(statement: str) -> None:
        seen.append(statement)
        if len(seen) == step:
            raise Broken(statement)

    def statement(
        connection: Any, cursor: Any, sql: str, values: Any, context: Any, many: bool
    ) -> None:
        if not sql.lstrip().upper().startswith(("SELECT", "BEGIN", "PRAGMA", "SHOW")):
            count(sql.split("(")[0][:60])

    dialect: Any = engine.dialect
    commit = dialect.do_commit

    def commit_then(connection: Any) -> None:
        if not persisted:
            count("COMMIT")
        commit(connection)
        if persisted:
            count("COMMIT")

    name = "after_cursor_execute" if persisted else "before_cursor_execute"
    event.listen(engine, name, statement)
    dialect.do_commit = commit_then
    try:
        yield seen
    finally:
        event.remove(engine, name, statement)
        dialect.do_commit = commit


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    if request.param == "sqlite":
        return make_town(tmp_path / "data")
    return make_postgres_town(tmp_path / "data", request.getfixturevalue("server"))


def break_each_write(town: Town, ask: Callable[[], object], persisted: bool) -> list[str]:
    """Ask with write 1 broken, then with write 2, … until nothing was left to break.

    Returns the writes that were broken on the way.
    """
    met: list[str] = []
    for step in range(1, 50):
        with broken(town.ledger.engine, step, persisted) as seen:
            try:
                ask()
            except Broken:
                met.append(seen[-1])
                continue
        assert len(seen) < step, "an error was swallowed"
        return met
    raise AssertionError("there was no end of writes")


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_a_batch_of_taps_is_charged_once_whichever_write_breaks(
    town: Town, persisted: bool
) -> None:
    account = town.account()
    signed: list[str] = []

    def charge() -> None:
        # New taps at every attempt, so that there is always something to write.
        signed.append(town.gate.tap(account))
        answers = town.charge(*signed, "garbage")
        assert [type(answer) for answer in answers[:-1]] == [Accepted] * len(signed)

    met = break_each_write(town, charge, persisted)
    assert "COMMIT" in met
    assert len(met) >= 5
    told = [vars_of(answer) for answer in town.charge(*signed)]
    check_outcome(town, told, {answer["tap_id"] for answer in told})
    assert balance(town.ledger, account) == Money(-200 * len(signed), "CNY")


def vars_of(answer: object) -> dict[str, Any]:
    assert isinstance(answer, Accepted)
    return {"status": "accepted", "tap_id": answer.tap_id, "entry": answer.entry}


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_a_top_up_and_a_refund_are_recorded_once_whichever_write_breaks(
    town: Town, persisted: bool
) -> None:
    account = town.account()
    ride = town.gate.next_tap(account)
    town.charge(town.gate.sign(ride))
    sequence(town.ledger)
    top_up_id, refund_id = str(uuid4()), str(uuid4())
    two = Money(200, "CNY")

    def add() -> None:
        top_up(town.ledger, account, Money(2000, "CNY"), top_up_id, "desk")

    def give_back() -> None:
        refund(town.ledger, ride.tap_id, two, "goodwill", refund_id, "desk")

    for ask in (add, give_back):
        met = break_each_write(town, ask, persisted)
        assert met[-1] == "COMMIT"
        assert len(met) >= 4
    assert balance(town.ledger, account) == Money(2000, "CNY")
    check_outcome(town, [], {ride.tap_id})


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_waiting_taps_are_numbered_once_whichever_write_breaks(
    server: Postgres, tmp_path: Path, persisted: bool
) -> None:
    town = make_postgres_town(tmp_path / "data", server)
    account = town.account()
    taps = [town.gate.next_tap(account)]
    town.charge(town.gate.sign(taps[0]))

    def number() -> None:
        taps.append(town.gate.next_tap(account))
        town.charge(town.gate.sign(taps[-1]))
        sequence(town.ledger)

    def only_the_sequencer() -> None:
        sequence(town.ledger)

    met = break_each_write(town, only_the_sequencer, persisted)
    if not persisted:
        assert len(met) >= 5
    met = break_each_write(town, number, persisted)
    assert len(met) >= 8
    # A tap whose charge failed was never sent again: only what is recorded must add up.
    known = [tap for tap in taps if _is_recorded(town, tap.tap_id)]
    check_outcome(town, [], {tap.tap_id for tap in known})


def _is_recorded(town: Town, tap_id: str) -> bool:
    with reading(town.ledger.engine) as session:
        found = session.exec(select(TapRow.outcome).where(TapRow.tap_id == tap_id)).first()
    return found in ("accepted", "waiting")
