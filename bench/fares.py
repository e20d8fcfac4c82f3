"""``facefare bench fares``: how many taps a second are priced, and how long an import takes.

Riders with thirty taps in a day ride subway, bus, ferry and commuter rail of the MBTA feed,
under the example policies and caps of docs/fares. Every tap is priced as it arrives, its
rules named, with nothing known before: each round has its own riders. The peer is the naive
calculator of the tests, which makes the day's bill anew for every tap; it is given a few of
the same riders. Times are CPU seconds of one core.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from rich.progress import Progress

from bench.figures import Figure, answer, figure
from ledger.fares.book import FareBook
from ledger.fares.engine import price
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.taps import FareTap

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "docs" / "fares" / "mbta-fares"
NAIVE = ROOT / "tests" / "fares_naive.py"
PEER = "the naive calculator of the tests"
START = date(2024, 9, 20)
TAPS_A_DAY = 30
RIDERS = 200
PEER_RIDERS = 2
ROUNDS = 5
STOPS = {
    "rapid_transit": ("70061", "70105", "70079", "70047", "70148"),
    "local_bus": ("1", "10", "10000"),
    "ferry_f4": ("Boat-Long-South", "Boat-Charlestown"),
    "commuter_rail": ("NEC-2287-01", "NEC-1851-01", "FR-0064-01", "ER-0115-01"),
}
ORDER = ("rapid_transit", "local_bus", "commuter_rail", "rapid_transit", "local_bus", "ferry_f4")


def run(seed: int, data_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure with the feed ``data_dir/gtfs/mbta-fares``."""
    feed = data_dir / "gtfs" / "mbta-fares"
    imports = [timed(partial(import_feed, feed, START, OWN)) for _ in range(ROUNDS)]
    book = FareBook.of(import_feed(feed, START, OWN))
    naive = load_naive(feed)
    rng = random.Random(seed)
    ours, peers = [], []
    task = progress.add_task("pricing", total=ROUNDS) if progress else None
    for _ in range(ROUNDS):
        riders = [thirty_taps(rng, book.zone) for _ in range(RIDERS)]
        ours.append(RIDERS * TAPS_A_DAY / timed(partial(price_all, book, riders)))
        few = riders[:PEER_RIDERS]
        taken_s = timed(partial(naive_all, naive, few))
        peers.append(PEER_RIDERS * TAPS_A_DAY / taken_s)
        check(book, naive, few)
        if progress and task is not None:
            progress.advance(task)
    unit = "taps per CPU second"
    value, peer = round(median(ours)), round(median(peers), 1)
    figures: list[Figure] = [
        figure("priced_taps_per_s", value, unit, 20_000, PEER, peer, at_least=True,
               lowest=round(min(ours))),
        figure("import_mbta_s", round(median(imports), 3), "s", 10.0, slowest=max(imports)),
    ]  # fmt: skip
    return answer("fares", seed, figures)


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of ``work``."""
    started = time.process_time()
    work()
    return time.process_time() - started


def thirty_taps(rng: random.Random, zone: ZoneInfo) -> list[FareTap]:
    """A courier's day: thirty taps from five in the morning on."""
    day = START + timedelta(days=rng.randint(1, 80))
    at = datetime(day.year, day.month, day.day, 5, 0, tzinfo=zone)
    taps: list[FareTap] = []
    turn = rng.randrange(len(ORDER))
    while len(taps) < TAPS_A_DAY:
        network = ORDER[turn % len(ORDER)]
        turn += 1
        at += timedelta(seconds=rng.randint(600, 3000))
        start, end = rng.sample(STOPS[network], k=2)
        taps.append(FareTap(f"{rng.getrandbits(64):016x}", start, network, "in", at))
        if network == "commuter_rail":
            at += timedelta(seconds=rng.randint(1200, 3600))
            taps.append(FareTap(f"{rng.getrandbits(64):016x}", end, network, "out", at))
    return taps[:TAPS_A_DAY]


def price_all(book: FareBook, riders: list[list[FareTap]]) -> int:
    """Price every tap of every rider as it arrives."""
    total = 0
    for taps in riders:
        history = History.of(book)
        for tap in taps:
            priced = price(history, tap)
            history = priced.history
            total += priced.charge.amount.minor
    return total


def naive_all(naive: Any, riders: list[list[FareTap]]) -> int:
    """The same by the peer: the difference each tap makes to the whole bill."""
    total = 0
    for taps in riders:
        for count, tap in enumerate(taps, 1):
            before = naive.bill(taps[: count - 1], tap.at)[0]
            total += naive.bill(taps[:count], tap.at)[0] - before
    return total


def check(book: FareBook, naive: Any, riders: list[list[FareTap]]) -> None:
    """A fast wrong answer is worth nothing."""
    ours, peer = price_all(book, riders), naive_all(naive, riders)
    if ours != peer:
        raise RuntimeError(f"the engine charged {ours}, the naive calculator {peer}")


def load_naive(feed: Path) -> Any:
    """The calculator of the tests, which is no package."""
    spec = importlib.util.spec_from_file_location("fares_naive", NAIVE)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{NAIVE} is missing; run this from a checkout of the project")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fares_naive"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.Naive(feed, OWN)
