"""What staff decide and what a clock decides, with every write broken: failed, or persisted.

Each case is asked for with its first write broken, then its second, until none is left. By
then the ledger holds what was asked for once, and no more. FACEFARE_TEST_ALL=1 takes all of
them on PostgreSQL too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import func, select

from bench.postgres import Postgres
from ledger.accounts import AccountError, balance, key_name
from ledger.adjustments import dispute_credit, settle_dispute
from ledger.answers import Accepted
from ledger.closing import close_days
from ledger.erasure import erase_account
from ledger.fares.feedfiles import FeedFiles
from ledger.feeds import activate
from ledger.holds import expire_holds, hold, post_hold, void_hold
from ledger.requests import adjust, approve, decline
from ledger.sequencer import sequence
from ledger.topups import top_up
from ledger.verify import verify
from ledger.wanted import Wanted
from models.database import is_postgres, reading
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow
from models.wire.times import format_utc
from tests.fares_feed import FILES, START
from tests.postgres import a_server, make_postgres_town
from tests.test_ledger_broken_writes import break_each_write
from tests.town import ORIGIN, Town, TownGate, make_town

ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"

Case = Callable[[Town, str], Callable[[], object]]
"""Prepares a rider with 20.00, and returns what is then asked for."""


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(scope="module")
def town_on(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Town]:
    """One town on each database for all cases, each with a rider of its own."""
    path: Path = tmp_path_factory.mktemp("by-hand")

    @cache
    def town(database: str) -> Town:
        if database == "sqlite":
            return charging_in_euro(make_town(path / database, in_euro))
        server = request.getfixturevalue("server")
        return charging_in_euro(make_postgres_town(path / database, server, in_euro))

    return town


def in_euro(settings: str) -> str:
    return settings.replace('currency = "CNY"', 'currency = "EUR"')


def charging_in_euro(town: Town) -> Town:
    """The town with fares, whose maximum is 5.00, and a gate where a journey begins."""
    files = FeedFiles("small", {name: text.encode() for name, text in FILES.items()})
    activate(town.ledger.engine, files, START, "EUR", "finance", town.clock())
    return replace(town, gate=TownGate("alder-1", "alder"))


def number_what_waits(town: Town) -> None:
    if is_postgres(town.ledger.engine):
        sequence(town.ledger)


def tap_in(town: Town, rider: str) -> None:
    """Begin a journey that is over two days later."""
    (answer,) = town.charge(town.gate.tap(rider, at=format_utc(town.clock())))
    assert isinstance(answer, Accepted)
    number_what_waits(town)
    town.clock.forward(2 * 86_400)


def close(town: Town) -> None:
    close_days(town.ledger)
    number_what_waits(town)


def closing_a_day(town: Town, rider: str) -> Callable[[], object]:
    tap_in(town, rider)
    return partial(close, town)


def erasing(town: Town, rider: str) -> Callable[[], object]:
    tap_in(town, rider)
    close(town)
    return partial(erase_account, town.ledger, rider)


def holding(town: Town, rider: str) -> Callable[[], object]:
    until, hold_id = town.clock() + timedelta(days=90), str(uuid4())
    return partial(hold, town.ledger, rider, euro(800), "disputed", until, hold_id, "lin")


def held(town: Town, rider: str) -> str:
    """A hold of 8.00 for an hour; its id."""
    hold_id, until = str(uuid4()), town.clock() + timedelta(hours=1)
    hold(town.ledger, rider, euro(800), "disputed", until, hold_id, "lin")
    return hold_id


def charging_a_hold(town: Town, rider: str) -> Callable[[], object]:
    return partial(post_hold, town.ledger, held(town, rider), euro(300), "lin")


def giving_a_hold_back(town: Town, rider: str) -> Callable[[], object]:
    return partial(void_hold, town.ledger, held(town, rider), "lin")


def letting_a_hold_expire(town: Town, rider: str) -> Callable[[], object]:
    held(town, rider)
    town.clock.forward(3600)
    return partial(expire_holds, town.ledger)


def disputed(town: Town, rider: str) -> str:
    """A credit over a maximum fare; its id."""
    tap_in(town, rider)
    close(town)
    with reading(town.ledger.engine) as session:
        mine = (EntryRow.account_id == rider, EntryRow.kind == "day_close")
        charged = session.exec(select(EntryRow.entry_id).where(*mine)).one()
    credit_id = str(uuid4())
    dispute_credit(town.ledger, charged, euro(500), credit_id, "lin")
    return credit_id


def upholding_a_dispute(town: Town, rider: str) -> Callable[[], object]:
    return partial(settle_dispute, town.ledger, disputed(town, rider), upheld=True, made_by="wei")


def rejecting_a_dispute(town: Town, rider: str) -> Callable[[], object]:
    return partial(settle_dispute, town.ledger, disputed(town, rider), upheld=False, made_by="wei")


def asking(town: Town, rider: str) -> Callable[[], object]:
    wanted = Wanted(str(uuid4()), "goodwill", rider, euro(2500), "apology")
    return partial(adjust, town.ledger, wanted, "lin")


def asked(town: Town, rider: str) -> str:
    """The id of a gift of 25.00 that waits for a second person."""
    wanted = Wanted(str(uuid4()), "goodwill", rider, euro(2500), "apology")
    adjust(town.ledger, wanted, "lin")
    return wanted.entry_id


def approving(town: Town, rider: str) -> Callable[[], object]:
    return partial(approve, town.ledger, asked(town, rider), "wei")


def declining(town: Town, rider: str) -> Callable[[], object]:
    return partial(decline, town.ledger, asked(town, rider), "wei")


CASES: list[tuple[Case, str, int | None]] = [
    (closing_a_day, "day_close", 1500),
    (erasing, "close", None),
    (holding, "hold", 1200),
    (charging_a_hold, "hold_post", 1700),
    (giving_a_hold_back, "hold_void", 2000),
    (letting_a_hold_expire, "hold_expire", 2000),
    (upholding_a_dispute, "dispute_upheld", 2000),
    (rejecting_a_dispute, "dispute_rejected", 1500),
    (asking, "adjustment_request", 2000),
    (approving, "goodwill", 4500),
    (declining, "adjustment_declined", 2000),
]
"""What is asked for, the kind of the one entry it makes, and what the rider has then."""

ON_POSTGRES = CASES if ALL else [case for case in CASES if case[0] in (closing_a_day, erasing)]
"""Those that do something there that no other test of broken writes does."""

EVERYWHERE = [(name, *case) for name, cases in (("sqlite", CASES), ("postgresql", ON_POSTGRES))
              for case in cases]  # fmt: skip


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
@pytest.mark.parametrize(
    ("database", "case", "kind", "left"), EVERYWHERE,
    ids=[f"{name}-{case.__name__}" for name, case, *_ in EVERYWHERE],
)  # fmt: skip
def test_a_decision_is_recorded_once_whichever_write_breaks(
    town_on: Callable[[str], Town], database: str, case: Case, kind: str, left: int | None,
    persisted: bool,
) -> None:  # fmt: skip
    town = town_on(database)
    rider = town.account()
    top_up(town.ledger, rider, euro(2000), str(uuid4()), "lin")
    ask = case(town, rider)
    before = entries(town)
    met = break_each_write(town, ask, persisted)
    assert "COMMIT" in met and len(met) >= 3
    assert entries(town) - before == {kind: 1}
    if left is None:
        with pytest.raises(AccountError):
            balance(town.ledger, rider)
        assert town.ledger.vault.keys([key_name(rider)]) == {}
        check_unlinked(town, rider)
    else:
        assert balance(town.ledger, rider) == euro(left)
    key = town.ledger.log_key.public_key()
    assert verify(town.ledger.engine, ORIGIN, key, None, town.ledger.vault).unproved == 0


def entries(town: Town) -> Counter[str]:
    """How many entries of each kind there are; together they move nothing."""
    with reading(town.ledger.engine) as session:
        assert session.exec(select(func.sum(PostingRow.minor))).one() == 0
        return Counter(session.exec(select(EntryRow.kind)))


def check_unlinked(town: Town, rider: str) -> None:
    with reading(town.ledger.engine) as session:
        for row in (EntryRow, PostingRow):
            assert session.exec(select(row).where(row.account_id == rider)).first() is None
