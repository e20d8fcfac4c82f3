"""Prices worked out before the lock: used where they still hold, and never where they do not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ledger.charge
import ledger.foresight
import ledger.pricing
from ledger.answers import Accepted
from ledger.charge import charge_batches, read_batch
from ledger.checkpoints import publish
from ledger.closing import close_days
from ledger.fares.taps import FareTap
from ledger.kept import CheckpointFile
from ledger.verify import verify
from tests.fares_city import City, engine_says, make_city, numbered
from tests.fares_days import random_day
from tests.test_charge_fares import MBTA, TUESDAY, at, tap
from tests.town import ORIGIN

BATCH = 20


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = make_city(tmp_path / "data", MBTA)
    yield made
    made.close()


@dataclass
class Meanwhile:
    """What happens between the foresight and the lock, and how much is priced under it."""

    happens: Callable[[], object] = lambda: None
    priced_under_lock: int = 0
    foreseen: list[int] = field(default_factory=list)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    here = Meanwhile()
    foresee, price_tap = ledger.charge.foresee, ledger.pricing.price_tap

    def then_something_happens(*facts: Any) -> Any:
        foreseen = foresee(*facts)
        here.foreseen.append(len(foreseen))
        happens, here.happens = here.happens, lambda: None
        happens()
        return foreseen

    def counted(*facts: Any) -> Any:
        here.priced_under_lock += 1
        return price_tap(*facts)

    monkeypatch.setattr(ledger.charge, "foresee", then_something_happens)
    monkeypatch.setattr(ledger.pricing, "price_tap", counted)
    return here


def buses(day: date = TUESDAY) -> list[FareTap]:
    """A day on one bus: the fifth ride reaches the cap."""
    hours = [f"{6 + number // 4:02}:{15 * (number % 4):02}" for number in range(BATCH)]
    return [tap(MBTA, "local_bus", "in", "1", day, hour) for hour in hours]


def signed(city: City, rider: str, taps: list[FareTap]) -> tuple[Any, list[str]]:
    """The taps as their one gate signs them."""
    made = [city.sign(rider, one) for one in taps]
    return made[0][0], [text for _, text in made]


def amounts(answers: list[dict[str, Any]]) -> list[int]:
    return [answer["charge"]["amount"]["minor"] for answer in answers]


def test_a_batch_of_riders_nobody_else_charges_is_priced_before_the_lock_alone(
    city: City, meanwhile: Meanwhile
) -> None:
    city.town.clock.now = at(MBTA, TUESDAY, "20:00")
    gate, first = signed(city, city.account(), buses())
    answers = city.send(gate, *first)
    assert amounts(answers) == [170, 170, 170, 170, 40] + [0] * (BATCH - 5)
    assert (meanwhile.foreseen, meanwhile.priced_under_lock) == ([BATCH], 0)


def test_riders_that_another_server_charged_meanwhile_are_priced_again(
    city: City, meanwhile: Meanwhile
) -> None:
    ours, theirs, other = city.account(), city.account(), city.reopened()
    city.town.clock.now = at(MBTA, TUESDAY, "20:00")
    taps = [(ours, one) for one in buses()[:10]] + [(theirs, one) for one in buses()[10:]]
    gate = city.sign(ours, taps[0][1])[0]
    batch = [city.sign(rider, one)[1] for rider, one in taps]
    subway = [
        tap(MBTA, "rapid_transit", "in", "70061", TUESDAY, f"{hour:02}:10") for hour in (15, 17)
    ]
    meanwhile.happens = lambda: [other.send(*city.sign(theirs, one)) for one in subway]
    answers = city.send(gate, *batch[1:])
    other.town.ledger.engine.dispose()
    assert {answer["status"] for answer in answers} == {"accepted"}
    assert meanwhile.foreseen[0] == len(batch) - 1
    # The subway taps themselves, and the ten of the rider who made them.
    assert meanwhile.priced_under_lock == len(subway) + 10
    by_us = [one for rider, one in taps[1:] if rider == ours]
    by_both = [one for rider, one in taps if rider == theirs] + subway
    for rider, made in ((ours, by_us), (theirs, by_both)):
        says = engine_says(city, [(one, city.town.clock()) for one in made])
        assert city.charged(rider) == says.total.minor
    verifies(city)


def verifies(city: City) -> None:
    here = city.town.ledger
    publish(here)
    note = CheckpointFile(city.town.data.checkpoint_file).read()
    assert not verify(here.engine, ORIGIN, here.log_key.public_key(), note, here.vault).unproved


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_in_between_the_engine_says_what_is_charged(
    city: City, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(ledger.foresight, "TAPS_MIN", 1)
    rng, rider, other = random.Random(seed), city.account(), city.reopened()
    taps = numbered(one for _ in range(8) for one in random_day(MBTA, rng))
    waiting = sorted(taps, key=lambda one: one.at + timedelta(hours=rng.random()), reverse=True)
    arrived: list[tuple[FareTap, datetime]] = []

    def next_from(server: City) -> None:
        one = waiting.pop()
        city.town.clock.now = max(city.town.clock.now, one.at)
        arrived.append((one, city.town.clock.now))
        (answer,) = server.send(*city.sign(rider, one))
        assert answer["status"] == "accepted"

    def elsewhere() -> None:
        """Charge up to two more taps on the other server, and sometimes close the day."""
        for _ in range(min(rng.randrange(3), len(waiting))):
            next_from(other)
        if rng.random() < 0.1:
            close_days(other.town.ledger)

    while waiting:
        meanwhile.happens = elsewhere
        next_from(city)
    other.town.ledger.engine.dispose()
    assert len(arrived) == len(taps) > 10
    assert sum(meanwhile.foreseen) > 0
    close_days(city.town.ledger)
    says = engine_says(city, arrived)
    assert (city.charged(rider), city.held(rider)) == (says.total.minor, says.held.minor)
    verifies(city)


def test_a_price_worked_out_for_another_moment_is_not_used(
    city: City, meanwhile: Meanwhile
) -> None:
    """The same tap alone and, four days later, in a backlog; both are charged together."""
    rider, here = city.account(), city.town.ledger
    city.town.clock.now = at(MBTA, TUESDAY, "20:00")
    gate, batch = signed(city, rider, buses())
    gates = {gate.name: gate.registered}
    alone = read_batch(here, gate.name, batch[:1], gates.get)
    city.town.clock.now += timedelta(days=4)
    backlog = read_batch(here, gate.name, batch, gates.get)
    assert meanwhile.foreseen == [0, BATCH]
    (first,), again = charge_batches(here, [alone, backlog])
    assert isinstance(first, Accepted) and isinstance(again[0], Accepted) and again[0].replayed
    assert meanwhile.priced_under_lock == BATCH
    assert city.charged(rider) == 170  # the others came too late to cost anything


def test_a_batch_that_came_twice_at_once_is_charged_once(city: City, meanwhile: Meanwhile) -> None:
    rider, other = city.account(), city.reopened()
    city.town.clock.now = at(MBTA, TUESDAY, "20:00")
    gate, batch = signed(city, rider, buses())
    meanwhile.happens = lambda: other.send(gate, *batch)
    answers = city.send(gate, *batch)
    other.town.ledger.engine.dispose()
    assert {answer["status"] for answer in answers} == {"replayed"}
    assert city.charged(rider) == 720
