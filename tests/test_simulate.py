"""The city: every rule holds through all its trouble, and every planted bug is found."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from planted import FOUND_SOON, PLANTED, Plant

from facefare.simulate.cli import simulate_
from facefare.simulate.run import live, simulate
from facefare.simulate.shrink import shrink
from facefare.simulate.story import FAULTS, Publish, Size, Walk, tell

ALL = bool(os.environ.get("FACEFARE_TEST_ALL"))
SEEDS = 1000 if ALL else 30
SEEDS_TO_FIND = 200
SIZE = Size()


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
    assert all(not getattr(step, "server_crash", "") for step in calm)
    assert all(not getattr(step, "crash", "") for step in calm)


def test_the_stories_hold_every_fault() -> None:
    kinds = {type(step).fault for seed in range(30) for step in tell(seed, SIZE)}
    assert kinds == {"", *FAULTS} - {"crashes"}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(1, SEEDS + 1, 10))
def test_every_rule_holds(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = simulate(seed, SIZE, FAULTS)
        assert not outcome.broken, "\n".join((f"seed {seed}: {outcome.broken}", *outcome.story))


def test_a_city_without_faults_charges_every_passage() -> None:
    outcome = simulate(3, SIZE, ())
    assert not outcome.broken
    assert outcome.opened == outcome.charged > 0


@pytest.mark.timeout(600)
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


def test_an_unknown_fault_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(simulate_, ["--faults", "meteors"])
    assert done.exit_code == 2
    assert "failover" in done.output
