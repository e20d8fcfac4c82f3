"""Live through a story, check the rules on the way, and tell it when one is broken."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from facefare.simulate import faults, living
from facefare.simulate.books import end_of_day, settle_differences
from facefare.simulate.chance import seeded
from facefare.simulate.city import City
from facefare.simulate.crashes import armed_files
from facefare.simulate.fare_rules import check_fares, check_nothing_held
from facefare.simulate.founding import scratch
from facefare.simulate.gates import CityGate
from facefare.simulate.invariants import RuleBroken, check_end, check_step, rows
from facefare.simulate.shrink import shrink
from facefare.simulate.standing_rules import (
    check_pages,
    check_refreshed,
    check_standings,
    note_prices,
)
from facefare.simulate.steps import Failover, Step
from facefare.simulate.story import Size, tell
from ledger.autotopup import stop_auto_top_up

DRAIN_ROUNDS = 50
REST_DAYS = 3
"""After so long every service day has closed, and what finance waits for is missing."""
REST_H = (1, 2, 2, 2, 24 * REST_DAYS, 24)
"""The pauses after which the server does what is due: a call for a card is asked about hourly."""

HOW: Mapping[type[Step], Callable[..., None]] = {**living.HOW, **faults.HOW}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed. ``broken`` is empty where every rule held.

    ``root`` is the log's, by which two runs of a seed show that they are one; ``rule`` says
    where in the program it was found broken, ``story`` what happened.
    """

    seed: int
    steps: int
    opened: int
    charged: int
    entries: int
    root: str
    happened: Mapping[str, int] = field(default_factory=dict)
    broken: str = ""
    rule: str = ""
    story: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "seed": self.seed,
            "steps": self.steps,
            "opened": self.opened,
            "charged": self.charged,
            "entries": self.entries,
            "root": self.root,
            "broken": self.broken or None,
            "story": list(self.story),
        }


def simulate(seed: int, size: Size, faults: Sequence[str]) -> Outcome:
    """Live through the story of ``seed``; where a rule breaks, shrink the story and tell it.

    The short story breaks the same rule: another one would be another matter.
    """
    story = tell(seed, size, faults)
    outcome = live(seed, story, size)
    if not outcome.broken:
        return outcome
    kept = shrink(story, lambda steps: live(seed, steps, size).rule == outcome.rule)
    return live(seed, kept, size)


def live(seed: int, story: Sequence[Step], size: Size) -> Outcome:
    """Live through ``story`` in a new city."""
    with seeded(f"seed {seed}"), scratch() as path, ExitStack() as files:
        city = City(Path(path), size)
        files.enter_context(armed_files(city.burning))
        broken, rule, told, done = "", "", [], 0
        try:
            failovers = [n for n, step in enumerate(story) if isinstance(step, Failover)]
            for step in story:
                if failovers and done <= failovers[-1]:
                    city.back_up()
                done += 1
                told.append(step.words())
                _live_step(city, step)
                told += city.truth.notes
                city.truth.notes.clear()
            come_to_rest(city)
            check_end(city)
        except (RuleBroken, AssertionError) as error:
            told += city.truth.notes
            broken, rule = str(error) or repr(error), _where(error)
        except Exception as error:  # noqa: BLE001 - nobody in the city was there to hear it
            told += city.truth.notes
            broken, rule = f"unexpected {type(error).__name__}: {error}", _where(error)
        finally:
            city.close()
        passages = city.truth.passages.values()
        return Outcome(
            seed,
            done,
            opened=sum(passage.opened for passage in passages),
            charged=len(passages),
            entries=len(city.truth.log),
            root=city.truth.roots[-1].hex(),
            happened={**city.truth.happened, **_booked(city)},
            broken=broken,
            rule=rule,
            story=tuple(line.replace(f"{path}/", "") for line in told),
        )


def _where(error: Exception) -> str:
    """Which rule broke, or which line of the programs: the place, since words name ids."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{last.filename}:{last.lineno}"


def _live_step(city: City, step: Step) -> None:
    city.truth.steps += 1
    city.later(step.after_s)
    note_prices(city)
    late = city.wire.take_due()
    HOW[type(step)](city, step)
    city.wire.arrive(late)
    check_step(city)
    check_fares(city)
    check_standings(city)


def _booked(city: City) -> dict[str, int]:
    """How many entries of each kind there are, and taps that were set aside."""
    kinds = rows(city, "SELECT kind, COUNT(*) AS number FROM entry GROUP BY kind")
    forks = rows(city, "SELECT COUNT(*) AS number FROM tap WHERE outcome = 'quarantined'")
    late = rows(city, "SELECT COUNT(*) AS number FROM passage "
                "WHERE julianday(received_at) - julianday(at) > 3")  # fmt: skip
    auto = rows(city, "SELECT COUNT(*) AS number FROM top_up_request WHERE outcome = 'done'")
    return {
        **{f"entry: {row['kind']}": row["number"] for row in kinds},
        "topped up automatically": auto[0]["number"],
        "tap set aside": forks[0]["number"],
        "tap later than three days": late[0]["number"],
    }


def come_to_rest(city: City) -> None:
    """Let everything calm down, the network up and clocks right; then nothing may be left over."""
    city.wire.trouble, city.bank.trouble = "", "none"
    city.fuse.light("")
    city.set_clock(0)
    city.wire.arrive(city.wire.take_all())
    for number, gate in enumerate(city.gates):
        if gate.damaged:
            faults.set_up_anew(city, number)
    for gate in city.gates:
        _deliver_all(gate)
    city.bank.processor.catch_up()
    for rider in city.truth.riders:
        stop_auto_top_up(city.ledger, rider.account)
    for hours in REST_H:
        city.later(3600.0 * hours)
        if hours >= 24 or _open_calls(city):
            living.do_what_is_due(city)
    check_step(city)
    check_fares(city)
    check_nothing_held(city)
    for gate in city.gates:
        if not gate.refresh():
            raise RuleBroken(f"{gate.name} cannot refresh though all is well")
        check_refreshed(city, gate)
    check_pages(city)
    if city.bank.processor.moved:
        _finish_the_books(city)
    city.publish()


def _open_calls(city: City) -> list[Any]:
    return rows(city, "SELECT 1 FROM processor_call WHERE state IN ('due', 'sent')")


def _deliver_all(gate: CityGate) -> None:
    gate.skew, gate.disk.fuse.full = timedelta(), False
    gate.disk.fuse.light("")
    for _ in range(DRAIN_ROUNDS):
        if not gate.waiting():
            return
        gate.deliver()
    raise RuleBroken(f"{gate.name} cannot get rid of its taps though all is well")


def _finish_the_books(city: City) -> None:
    """Every message arrives, everything is paid out; days later nothing is left but differences."""
    for body, signature in city.bank.processor.messages():
        city.tell(body, signature)
    if unsettled := _open_calls(city):
        raise RuleBroken(f"of {len(unsettled)} calls nobody knows what became of them")
    city.bank.pay_out(None, None)
    end_of_day(city)
    city.later(REST_DAYS * 86_400.0)
    end_of_day(city)
    settle_differences(city)
