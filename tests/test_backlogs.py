"""A gate's backlog goes in one piece, or in small ones while riders stand at other gates."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from ledger.answers import Accepted
from ledger.backlogs import ABOUT_S, Backlogs
from ledger.charge import TAPS_MAX, BatchRefused
from models.database import DatabaseBusy
from tests.town import Town, TownGate, make_town

PIECES = 9
TAPS = 8 * 16 + 1


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def backlogs(town: Town, watch: Stopwatch) -> Backlogs:
    return Backlogs(town.ledger, watch)


def taps(town: Town, gate: TownGate, count: int) -> list[str]:
    account = town.account()
    return [gate.tap(account) for _ in range(count)]


def commits(town: Town, backlogs: Backlogs, signed: list[str]) -> int:
    counted: list[object] = []
    event.listen(town.ledger.engine, "commit", counted.append)
    answers = backlogs.charge(town.gate.registered, signed)
    assert [type(answer) for answer in answers] == [Accepted] * len(signed)
    assert [answer.entry for answer in answers if isinstance(answer, Accepted)] == sorted(
        answer.entry for answer in answers if isinstance(answer, Accepted)
    )
    return len(counted)


def test_with_nobody_else_about_a_backlog_is_one_transaction(
    town: Town, backlogs: Backlogs
) -> None:
    assert commits(town, backlogs, taps(town, town.gate, TAPS)) == 1


def test_while_riders_are_about_a_backlog_goes_in_pieces(
    town: Town, backlogs: Backlogs, watch: Stopwatch
) -> None:
    other = TownGate(name="south-2")
    backlogs.charge(other.registered, taps(town, other, 1))
    watch.now += ABOUT_S / 2
    assert commits(town, backlogs, taps(town, town.gate, TAPS)) == PIECES
    watch.now += ABOUT_S
    assert commits(town, backlogs, taps(town, town.gate, TAPS)) == 1


def test_a_backlog_that_breaks_off_in_the_middle_is_sent_again_and_charged_once(
    town: Town, backlogs: Backlogs
) -> None:
    other = TownGate(name="south-2")
    backlogs.charge(other.registered, taps(town, other, 1))
    signed = taps(town, town.gate, TAPS)
    done: list[object] = []

    def break_off(_connection: object) -> None:
        if done:
            raise DatabaseBusy("another program holds the database; try again")
        done.append(True)

    event.listen(town.ledger.engine, "commit", break_off)
    with pytest.raises(DatabaseBusy):
        backlogs.charge(town.gate.registered, signed)
    event.remove(town.ledger.engine, "commit", break_off)
    answers = backlogs.charge(town.gate.registered, signed)
    replayed = [answer.replayed for answer in answers if isinstance(answer, Accepted)]
    assert replayed == [True] * 16 + [False] * (TAPS - 16)


@pytest.mark.parametrize("count", [0, TAPS_MAX + 1])
def test_no_taps_or_too_many_are_refused_whoever_is_about(
    town: Town, backlogs: Backlogs, count: int
) -> None:
    backlogs.charge(town.gate.registered, taps(town, town.gate, 1))
    with pytest.raises(BatchRefused, match=f"not {count}"):
        backlogs.charge(town.gate.registered, [""] * count)
