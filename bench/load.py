"""A city's peak over HTTP on the server as ``facefare serve`` starts it.

For a minute (``--minutes``) on each database, with two workers:

* *the day so far*: backlogs, so that what the server remembers is full, as it is by noon. A
  short run has no time for it and says nothing about memory.
* *capacity*, a sixth: a few gates send one tap a request as fast as they are answered.
* *peak*, two thirds: bursts of single taps that come at their own times, 70 % of the capacity
  on the average, whether or not the ones before were answered. The time of a tap runs from
  its passage to its answer, so waiting in the gate counts.

  Every two and a half minutes the capacity is measured anew, because a machine that is shared
  does not have the same all the time; the tap times of all rounds are taken together.
* *beyond*, the last sixth: many more gates than the server takes at once. It has to say 503
  and when to come back, and the gates do come back.

All the while gates reconnect with 512 taps each, and people read pages at the console. In the
end every tap that was ever sent must be in the ledger once, at the flat fare.
"""

from __future__ import annotations

import gc
import math
import os
import queue
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rich.progress import Progress

from bench.commuters import PASSAGES
from bench.figures import Figure, answer, figure
from bench.load_city import ACCOUNTS, Beside, City, Clerk, Line, Served, served, tap_id
from bench.postgres import Postgres, PostgresMissing
from ledger.inforce import TAPS_KEPT_MAX

WORKERS = 2
ROUND_S = 150.0
SHARE_HELD = 0.7
P99_MS_MAX = 250.0
EAGER_GATES = 16  # fewer than the server takes at once
PEAK_GATES = 24
MANY_GATES = 96  # more than two workers take at once
BACKLOG_TAPS = 512
BACKLOG_EVERY_S = 10.0
BURST_TAPS_MAX = 12
DAY_SO_FAR_TAPS = WORKERS * TAPS_KEPT_MAX * 5 // 4 // PASSAGES
"""Fills each worker's memory of riders, also where one gets a little less than the other."""
GROWTH_MB_MAX = 20.0
CLERKS = 2
THINKING_S = 1.0
FARE_MINOR = 200
WRONG_SHOWN_MAX = 5


def run(
    seed: int, data_dir: object = None, progress: Progress | None = None, minutes: float = 1.0
) -> dict[str, Any]:
    """Measure both databases. ``data_dir`` is not used: gates and riders are made from ``seed``."""
    task = progress.add_task("load", total=2) if progress else None
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="facefare-load-") as folder:
        figures += measure("sqlite", Path(folder) / "sqlite", seed, 60 * minutes)
        if progress and task is not None:
            progress.advance(task)
        figures += _on_postgres(Path(folder) / "pg", seed, 60 * minutes)
    return answer("load", seed, figures)


def _on_postgres(folder: Path, seed: int, seconds: float) -> list[Figure]:
    try:
        server = Postgres()
    except PostgresMissing as error:
        return [figure("load_pg_tap_p99_ms", None, "ms", P99_MS_MAX, reason=str(error))]
    try:
        return measure("pg", folder, seed, seconds, server.create("fares"))
    finally:
        server.throw_away()


def measure(
    name: str,
    folder: Path,
    seed: int,
    seconds: float,
    url: str | None = None,
    accounts: int = ACCOUNTS,
) -> list[Figure]:
    """The three parts on one database, and the count at the end."""
    with closing(City(folder, seed, url, accounts)) as city:
        with (
            served(city, WORKERS) as server,
            closing(Peak(city, server, random.Random(seed))) as peak,
        ):
            gc.freeze()  # what lies here now is not looked through while taps are timed
            peak.warm_up(seconds / 20)
            peak.ride_the_day_so_far(seconds / 10)
            rounds = max(1, round(seconds / ROUND_S))
            for _ in range(rounds):
                per_s = peak.capacity(seconds / 6 / rounds)
                peak.hold(seconds * 2 / 3 / rounds, SHARE_HELD * per_s)
            peak.beyond(seconds / 6)
            rides = city.rides()  # while somebody is there to number what was accepted
        sent = [tap_id(signed) for line in peak.lines for signed in line.sent]
        wrong = [city.fate(one) for one in not_counted(sent, rides)[:WRONG_SHOWN_MAX]]
        return _figures(name, peak, lost_or_doubled(sent, rides), wrong)


def lost_or_doubled(sent: list[str], rides: list[tuple[str, int]]) -> int:
    """The sent taps that are not in the ledger at their price, and what is there beside them."""
    too_many = len(rides) - len({ride for ride, _ in rides} & set(sent))
    return len(not_counted(sent, rides)) + too_many


def not_counted(sent: list[str], rides: list[tuple[str, int]]) -> list[str]:
    """The taps that were sent and are not in the ledger at their price."""
    found = dict(rides)
    return [one for one in sent if found.get(one) != FARE_MINOR]


@dataclass
class Peak:
    """What runs against one server, and what was measured."""

    city: City
    server: Served
    rng: random.Random
    lines: list[Line] = field(default_factory=list)
    taps_s: list[float] = field(default_factory=list)
    pages_s: list[float] = field(default_factory=list)
    capacities_per_s: list[float] = field(default_factory=list)
    held_for_s: float = 0.0
    memory_mb: float | None = None
    growth_mb: float | None = None
    remembers_all_it_can: bool = False
    shed: int = 0
    shed_held: int = 0
    unexplained: int = 0
    beyond_per_s: float = 0.0

    def __post_init__(self) -> None:
        self._clerks = [
            self.city.clerk(self.server.url, f"clerk-{number}") for number in range(CLERKS)
        ]
        self._far = self._lines("far", 4)

    def _lines(self, kind: str, count: int) -> list[Line]:
        made = [Line(gate, self.server.port) for gate in self.city.gates(kind, count)]
        self.lines += made
        return made

    def close(self) -> None:
        """Gates and people go home."""
        for line in self.lines:
            line.close()
        for clerk in self._clerks:
            clerk.leave()

    def warm_up(self, seconds: float) -> None:
        """The first requests load what later ones find in memory."""
        self._eagerly("first", EAGER_GATES, seconds)

    def ride_the_day_so_far(self, seconds: float) -> None:
        """Backlogs, each over a new connection and so to either worker."""
        until, ridden = time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            line = self._far[ridden // BACKLOG_TAPS % len(self._far)]
            line.close()
            line.deliver(line.next_taps(BACKLOG_TAPS))
            ridden += BACKLOG_TAPS
        self.remembers_all_it_can = ridden >= DAY_SO_FAR_TAPS

    def capacity(self, seconds: float) -> float:
        """Single taps per second that a few eager gates get answered, all else going on."""
        per_s = self._eagerly(f"eager-{len(self.capacities_per_s)}", EAGER_GATES, seconds)
        self.capacities_per_s.append(per_s)
        return per_s

    def beyond(self, seconds: float) -> None:
        """More gates than the server takes at once, each with one tap after the other."""
        before = sum(line.shed for line in self.lines)
        self.beyond_per_s = self._eagerly("many", MANY_GATES, seconds)
        self.shed = sum(line.shed for line in self.lines) - before
        self.unexplained = sum(line.unexplained for line in self.lines)

    def _eagerly(self, kind: str, count: int, seconds: float) -> float:
        lines, beside = self._lines(kind, count), Beside()
        self._backlogs_and_pages(beside, seconds)
        started = time.perf_counter()
        for line in lines:
            beside.run(_one_after_another, line, beside)
        time.sleep(seconds)
        # Now, not when the last backlog and page that are under way have their answer too.
        sent, took_s = sum(len(line.sent) for line in lines), time.perf_counter() - started
        beside.finish()
        for line in lines:
            line.close()
        return sent / took_s

    def hold(self, seconds: float, per_s: float) -> None:
        """Bursts of single taps at their own times, ``per_s`` on the average."""
        kind = f"peak-{len(self.capacities_per_s)}"
        lines, beside = self._lines(kind, PEAK_GATES), Beside()
        queues: list[queue.SimpleQueue[float]] = [queue.SimpleQueue() for _ in lines]
        before = sum(line.shed for line in self.lines)
        self._backlogs_and_pages(beside, seconds)
        for line, passages in zip(lines, queues, strict=True):
            beside.run(self._deliver_passages, line, passages, beside)
        started = time.perf_counter()
        self._let_riders_pass(queues, seconds / 4, per_s)
        if self.memory_mb is None:
            self.memory_mb = self.server.memory_mb()
        self._let_riders_pass(queues, seconds * 3 / 4, per_s)
        beside.finish()
        self.held_for_s += time.perf_counter() - started
        self.shed_held += sum(line.shed for line in self.lines) - before
        for line in lines:
            line.close()
        now_mb = self.server.memory_mb()
        if self.memory_mb is not None and now_mb is not None:
            self.growth_mb = now_mb - self.memory_mb

    def _let_riders_pass(
        self, queues: list[queue.SimpleQueue[float]], seconds: float, per_s: float
    ) -> None:
        """Trains arrive at random: each lets some riders through as many gates at one moment."""
        at = time.perf_counter()
        until = at + seconds
        while at < until:
            riders = self.rng.randint(1, BURST_TAPS_MAX)
            for gate in self.rng.sample(queues, riders):
                gate.put(at)
            at += self.rng.expovariate(per_s / riders)
            time.sleep(max(0.0, at - time.perf_counter()))

    def _deliver_passages(
        self, line: Line, passages: queue.SimpleQueue[float], beside: Beside
    ) -> None:
        """A gate as it is: whatever waits goes out in one request."""
        while True:
            try:
                waiting = [passages.get(timeout=0.2)]
            except queue.Empty:
                if beside.over.is_set():
                    return
                continue
            while not passages.empty():
                waiting.append(passages.get())
            line.deliver(line.next_taps(len(waiting)))
            now = time.perf_counter()
            self.taps_s += [now - passed for passed in waiting]

    def _backlogs_and_pages(self, beside: Beside, seconds: float) -> None:
        count = math.ceil(seconds / BACKLOG_EVERY_S)
        backlogs = [
            (line, line.next_taps(BACKLOG_TAPS))
            for line in (self._far[number % len(self._far)] for number in range(count))
        ]
        beside.run(_reconnect, backlogs, beside)
        for clerk in self._clerks:
            beside.run(self._read_pages, clerk, beside)

    def _read_pages(self, clerk: Clerk, beside: Beside) -> None:
        number = 0
        while not beside.over.wait(THINKING_S):
            number += 1
            started = time.perf_counter()
            clerk.look(clerk.PAGES[number % len(clerk.PAGES)])
            self.pages_s.append(time.perf_counter() - started)


def _one_after_another(line: Line, beside: Beside) -> None:
    while not beside.over.is_set():
        line.deliver(line.next_taps(1))


def _reconnect(backlogs: list[tuple[Line, list[str]]], beside: Beside) -> None:
    beside.over.wait(BACKLOG_EVERY_S / 4)
    for line, taps in backlogs:
        line.deliver(taps)  # also when it is over: they count as sent
        beside.over.wait(BACKLOG_EVERY_S)


def _figures(name: str, peak: Peak, miscounted: int, wrong: list[str]) -> list[Figure]:
    taps_ms = quantiles([1000 * taken for taken in peak.taps_s], n=100)
    pages_ms = quantiles([1000 * taken for taken in peak.pages_s], n=100)
    growth = None if peak.growth_mb is None else round(peak.growth_mb, 1)
    flat = GROWTH_MB_MAX if peak.remembers_all_it_can else None
    more: dict[str, Any] = {
        "workers": WORKERS,
        "p50_ms": round(taps_ms[49], 1),
        "taps": len(peak.taps_s),
    }
    return [
        figure(f"load_{name}_capacity_per_s", round(median(peak.capacities_per_s), 1), "taps/s",
               rounds=[round(one, 1) for one in peak.capacities_per_s], **more),
        figure(f"load_{name}_held_per_s", round(len(peak.taps_s) / peak.held_for_s, 1), "taps/s"),
        figure(f"load_{name}_tap_p99_ms", round(taps_ms[98], 1), "ms", P99_MS_MAX, **more),
        figure(f"load_{name}_page_p99_ms", round(pages_ms[98], 1), "ms", pages=len(peak.pages_s)),
        figure(f"load_{name}_memory_growth", growth, "MB", flat),
        figure(f"load_{name}_lost_or_doubled", miscounted, "taps", 0, wrong=wrong),
        figure(f"load_{name}_shed_beyond", peak.shed, "answers 503",
               beyond_per_s=round(peak.beyond_per_s, 1), shed_at_peak=peak.shed_held,
               load_average=round(os.getloadavg()[0], 1)),
        figure(f"load_{name}_shed_without_when", peak.unexplained, "answers 503", 0.0),
    ]  # fmt: skip
