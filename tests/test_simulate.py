"""The city: every rule holds through all its trouble, and every planted bug is found."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

import facefare.simulate.run
from facefare.simulate.city import City
from facefare.simulate.cli import simulate_
from facefare.simulate.fare_rules import limit_of
from facefare.simulate.feed import SPRING
from facefare.simulate.invariants import RuleBroken, check_step
from facefare.simulate.run import live, simulate
from facefare.simulate.shrink import shrink
from facefare.simulate.standing_rules import check_opened, check_refreshed, check_standings
from facefare.simulate.steps import (
    ChangeFeed,
    Deliver,
    Holiday,
    Leave,
    Publish,
    Refresh,
    TopUp,
    Walk,
)
from facefare.simulate.story import FAULTS, Size, tell
from ledger.fares.statement import Item, Statement
from ledger.standings import block
from models.money import Money
from tests.planted import PLANTED, Planted, balances_drift

ALL = bool(os.environ.get("FACEFARE_TEST_ALL"))
SEEDS = 1000 if ALL else 30
SEEDS_TO_FIND = 200
SIZE = Size()

EXPECTED = {
    "network": ("request lost", "reply lost", "doubled", "delayed", "reordered",
                "request replayed"),
    "crashes": ("server killed at a write: fares", "server killed at a write: riders",
                "server killed at a write: access", "server killed at a write: account keys",
                "server killed at a write: data keys", "server killed at a write: checkpoint",
                "gate killed at a write: outbox", "gate killed at a write: gallery",
                "gate killed at a write: deny list"),
    "clocks": ("clock jumped", "passage with a wrong clock", "server's clock jumped"),
    "disks": ("gate disk full: outbox", "gate disk full: deny list", "server disk full: fares",
              "server disk full: checkpoint", "outbox damaged", "outbox page damaged",
              "damaged outbox used on"),
    "clones": ("gate cloned", "gate stolen and revoked", "tap of a stolen gate refused",
               "tap set aside"),
    "failover": ("failover to a stale copy",),
    "erasure": ("erased", "erased in the middle of a journey"),
    "payments": ("payment: lose reply", "payment: delay", "payment: lose order",
                 "payment taken back", "webhook late", "webhook replayed", "report line lost",
                 "report line doubled", "difference found"),
    "feeds": ("fares changed", "new fares in force", "journey open while fares changed"),
    "": ("entry: ride", "entry: day_close", "entry: fare_adjustment", "entry: top_up",
         "entry: refund", "entry: card_refund", "entry: chargeback", "entry: settlement",
         "limit reached", "maximum fare charged", "transfer", "concession", "day reconciled",
         "topped up automatically", "account blocked by staff",
         "blocked rider refused at a gate", "tap later than three days"),
}  # fmt: skip
"""What has to befall the city in some of the seeds of the normal run, by the kind of fault."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every trouble in the city is meant; the programs need not log it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_a_seed_tells_one_story_and_always_the_same() -> None:
    assert tell(7, SIZE) == tell(7, SIZE)
    assert tell(7, SIZE) != tell(8, SIZE)


def test_two_runs_of_a_seed_are_one_to_the_last_bit_of_the_log() -> None:
    # The ledger draws the id of the last step's entry itself.
    story = [TopUp(1.0, 0, 500), Refresh(1.0, 0), Walk(1.0, 0, 0), Deliver(1.0, 0), Leave(1.0, 0)]
    first, second = live(2, story, SIZE), live(2, story, SIZE)
    assert first.happened["entry: close"]
    assert first == second
    assert live(3, story, SIZE).root != first.root


def test_a_story_has_only_the_faults_that_were_asked_for() -> None:
    kinds = {type(step).fault for seed in range(20) for step in tell(seed, SIZE, ["clocks"])}
    assert kinds == {"", "clocks"}
    calm = [step for seed in range(20) for step in tell(seed, SIZE, [])]
    for name, nothing in (("server_crash", ""), ("crash", ""), ("gate_crash", ""), ("lose", None),
                          ("double", None)):  # fmt: skip
        assert all(getattr(step, name, nothing) == nothing for step in calm)
    assert {getattr(step, "trouble", "") for step in calm} == {"", "none"}


def test_the_stories_hold_every_fault() -> None:
    kinds = {type(step).fault for seed in range(30) for step in tell(seed, SIZE)}
    assert kinds == {"", *FAULTS} - {"crashes"}
    assert set(EXPECTED) == {"", *FAULTS}


@pytest.mark.timeout(3600)
def test_every_rule_holds_and_everything_befalls_the_city() -> None:
    happened: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        outcome = simulate(seed, SIZE, FAULTS)
        assert not outcome.broken, "\n".join((f"seed {seed}: {outcome.broken}", *outcome.story))
        happened.update(outcome.happened)
    missed = {fault: [what for what in wanted if not happened[what]]
              for fault, wanted in EXPECTED.items()}  # fmt: skip
    assert not any(missed.values()), missed


def test_a_city_without_faults_charges_every_passage() -> None:
    outcome = simulate(3, SIZE, ())
    assert not outcome.broken
    assert outcome.opened == outcome.charged > 0


def test_a_week_passes_with_its_days_limits_and_new_fares() -> None:
    size = Size(days=8, gates=5, riders=4, steps=16)
    seed = next(s for s in range(50) if any(isinstance(t, ChangeFeed) for t in tell(s, size)))
    outcome = simulate(seed, size, FAULTS)
    assert not outcome.broken, "\n".join((f"seed {seed}: {outcome.broken}", *outcome.story))
    assert outcome.happened["limit reached"]
    assert outcome.happened["entry: day_close"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "planted",
    [planted for planted in PLANTED if ALL or planted.soon],
    ids=lambda planted: planted.plant.__name__,
)
def test_a_planted_bug_is_found_by_the_rule_it_breaks(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.plant(monkeypatch)
    for seed in range(1, SEEDS_TO_FIND + 1):
        broken = live(seed, tell(seed, SIZE), SIZE).broken
        if re.match(planted.rule, broken):
            return
        assert not broken.startswith("unexpected"), broken  # a crash is no rule
    pytest.fail(f"no seed broke the rule that says {planted.rule!r}")


def test_shrinking_leaves_the_steps_that_matter() -> None:
    story = [Publish(float(number)) for number in range(40)] + [Walk(1.0, 0, 0), Walk(2.0, 1, 0)]
    kept = shrink(story, lambda steps: Walk(1.0, 0, 0) in steps and Walk(2.0, 1, 0) in steps)
    assert kept == [Walk(1.0, 0, 0), Walk(2.0, 1, 0)]


def test_a_story_is_shrunk_to_one_that_breaks_the_same_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rules(city: City) -> None:
        if city.truth.steps == 1 and not city.truth.top_ups:
            raise RuleBroken("it begins without money")
        if city.truth.steps == 4:
            raise RuleBroken("it has four steps")

    monkeypatch.setattr(facefare.simulate.run, "check_fares", rules)
    monkeypatch.setattr(
        facefare.simulate.run,
        "tell",
        lambda *_: [TopUp(1.0, 0, 500), *(Holiday(float(number)) for number in range(1, 9))],
    )
    outcome = simulate(1, SIZE, FAULTS)
    assert (outcome.broken, outcome.steps) == ("it has four steps", 4)


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path, SIZE)
    yield made
    made.close()


def test_a_gate_on_the_network_has_a_minute_to_hear_of_a_block(city: City) -> None:
    gate, account = city.gates[0], city.truth.riders[0].account
    assert gate.refresh()
    city.later(1.0)
    block(city.ledger, account, "misuse", "looked into", "ada")
    check_standings(city)
    city.later(60.0)
    check_opened(city, gate, account)
    city.later(1.0)
    with pytest.raises(RuleBroken, match="has been blocked for long"):
        check_opened(city, gate, account)
    gate.online = False
    check_opened(city, gate, account)
    assert gate.refresh()
    gate.blocked = {}
    with pytest.raises(RuleBroken, match="was blocked when it last heard"):
        check_opened(city, gate, account)


def test_a_lost_passage_is_noticed_after_the_step_in_which_it_went(city: City) -> None:
    gate, rider = city.gates[0], city.truth.riders[0]
    assert gate.refresh()
    gate.walk(rider)
    check_step(city)
    with sqlite3.connect(gate.identity.outbox_path) as outbox:
        outbox.execute("DELETE FROM tap")
    gate.touched = True
    with pytest.raises(RuleBroken, match="was not charged and nobody knows of it"):
        check_step(city)


@pytest.mark.parametrize("where", ["data", "gate-0"])
def test_who_left_is_looked_for_at_the_server_and_at_gates(city: City, where: str) -> None:
    gate, rider = city.gates[0], city.truth.riders[0]
    city.erase(rider)
    rider.left_at = city.now
    check_step(city)
    assert gate.refresh()
    check_refreshed(city, gate)
    (city.path / where / "note.txt").write_text(rider.name)
    with pytest.raises(RuleBroken, match=r"rider 0 has left, and note\.txt knows Canary Name 0"):
        check_step(city)
        check_refreshed(city, gate)


def test_a_day_above_its_limit_does_not_hide_in_a_cheap_week(city: City) -> None:
    rider, monday, tuesday = city.truth.riders[0], date(2026, 3, 30), date(2026, 3, 31)
    fares = [
        Item(day, (), Money(minor, "EUR"), ()) for day, minor in ((monday, 800), (tuesday, 10))
    ]
    bill = Statement(tuple(fares), (), Money(810, "EUR"), Money(0, "EUR"))
    assert limit_of(city, rider, bill) == SPRING.day + 10 < SPRING.week


def test_a_broken_rule_is_told_with_its_seed_and_a_short_story(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    balances_drift(monkeypatch)
    done = CliRunner().invoke(simulate_, ["--seed", "2", "--steps", "10", "--json"])
    assert done.exit_code == 1
    broken = json.loads(done.stdout)["broken"]
    assert broken["seed"] == 2
    assert broken["steps"] <= 3
    assert "its postings sum to" in broken["broken"]


def test_the_summary_counts_what_befell_the_city() -> None:
    done = CliRunner().invoke(simulate_, ["--seed", "2", "--seeds", "2", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["seeds"], told["broken"]) == (2, None)
    assert told["happened"]["entry: ride"] > 0
    shown = CliRunner().invoke(simulate_, ["--seed", "2", "--steps", "20"])
    assert "every rule held" in shown.stdout
    assert "entry: ride" in shown.stdout


def test_an_unknown_fault_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(simulate_, ["--faults", "meteors"])
    assert done.exit_code == 2
    assert "failover" in done.output
