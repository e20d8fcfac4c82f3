"""The city: every rule holds through all its trouble, and every planted bug is found."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from planted import FOUND_SOON, PLANTED, Plant

from facefare.simulate.cli import simulate_
from facefare.simulate.run import live, simulate
from facefare.simulate.shrink import shrink
from facefare.simulate.steps import ChangeFeed, Publish, Walk
from facefare.simulate.story import FAULTS, Size, tell

ALL = bool(os.environ.get("FACEFARE_TEST_ALL"))
SEEDS = 1000 if ALL else 30
SEEDS_TO_FIND = 200
SIZE = Size()

EXPECTED = {
    "network": ("request lost", "reply lost", "doubled", "delayed", "reordered",
                "request replayed"),
    "crashes": ("server killed at a write", "gate killed at a write"),
    "clocks": ("clock jumped", "passage with a wrong clock"),
    "disks": ("disk full", "outbox damaged", "outbox page damaged"),
    "clones": ("gate cloned", "gate stolen and revoked", "tap set aside"),
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
@pytest.mark.parametrize("plant", PLANTED if ALL else FOUND_SOON, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(live(seed, tell(seed, SIZE), SIZE).broken for seed in range(1, SEEDS_TO_FIND + 1))


def test_shrinking_leaves_the_steps_that_matter() -> None:
    story = [Publish(float(number)) for number in range(40)] + [Walk(1.0, 0, 0), Walk(2.0, 1, 0)]
    kept = shrink(story, lambda steps: Walk(1.0, 0, 0) in steps and Walk(2.0, 1, 0) in steps)
    assert kept == [Walk(1.0, 0, 0), Walk(2.0, 1, 0)]


def test_a_broken_rule_is_told_with_its_seed_and_a_short_story(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    next(plant for plant in PLANTED if plant.__name__ == "balances_drift")(monkeypatch)
    done = CliRunner().invoke(simulate_, ["--seed", "2", "--json"])
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
