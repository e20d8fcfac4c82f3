"""What charging costs: real gates' signed taps over HTTP, beside what sets the limit.

* ``sqlite_vs_one_commit``: four gates send batches of 512 to the real ledger, beside a
  service that commits each tap by itself (``bench.one_commit``), same server, same disk. The
  server has two workers, one for each core of a small machine: while one writes, the other
  checks and reads. Four gates, because each connection goes to whichever worker takes it
  first, and two would often both meet the same one.
* ``fraction_of_crypto_ceiling``: the same batches, beside one Ed25519 verification by OpenSSL
  and two SHA-256 per tap on one core and nothing else. (The ledger itself verifies with
  libsodium, which takes two thirds of that time.)
* ``pg_vs_tpcb``: two workers on PostgreSQL until every tap has its number, beside pgbench's
  built-in TPC-B-like transaction on the same server.

Sides alternate in each round; rates are medians over the rounds.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.progress import Progress

from bench.city import Authority, Work, charge_all, in_parallel, running, signed_only
from bench.figures import Figure, answer, figure
from bench.postgres import Postgres, PostgresMissing

ROUNDS = 5
BATCHES = 2
GATES = 4
TAPS = 512
SINGLES = 240
CLIENTS = 8
WORKERS = 2
_PGBENCH_SCALE = 10
_PGBENCH_S = 2

ONE_COMMIT = "Flask, PyJWT and SQLite, one tap per request and commit, eight clients"
CEILING = "one Ed25519 verification (OpenSSL) and two SHA-256 per tap, one core"
TPCB = "pgbench's built-in TPC-B-like transaction, two clients"

Tick = Callable[[], None]


def run(seed: int, data_dir: object = None, progress: Progress | None = None) -> dict[str, Any]:
    """Measure all three. ``data_dir`` is not used: gates and riders are made from ``seed``."""
    task = progress.add_task("charge", total=2 * ROUNDS) if progress else None

    def tick() -> None:
        if progress and task is not None:
            progress.advance(task)

    with tempfile.TemporaryDirectory(prefix="facefare-bench-") as folder:
        figures = _sqlite(Path(folder) / "sqlite", seed, tick)
        figures.append(_postgres(Path(folder) / "postgres", seed, tick))
    return answer("charge", seed, figures)


def _sqlite(folder: Path, seed: int, tick: Tick) -> list[Figure]:
    with closing(Authority(folder, seed)) as authority:
        return _over_http(authority, folder, tick)


def _over_http(authority: Authority, folder: Path, tick: Tick) -> list[Figure]:
    gates = [authority.gate(f"bench-{number}") for number in range(GATES)]
    gate = gates[0]
    ours, peer, ceiling = [], [], []
    with (
        running("bench.serving", str(folder), WORKERS=str(WORKERS)) as ledger,
        running(
            "bench.one_commit", str(folder), WORKERS=str(WORKERS), KEY=gate.public_hex
        ) as one_commit,
    ):
        # Imports are done before the first round, in either worker.
        charge_all([(g, ledger, [g.taps(TAPS)]) for g in gates])
        for _ in range(ROUNDS):
            work = [(g, ledger, [g.taps(TAPS) for _ in range(BATCHES)]) for g in gates]
            ours.append(_rate(partial(charge_all, work), GATES * BATCHES * TAPS))
            singles = [gate.taps(SINGLES // CLIENTS) for _ in range(CLIENTS)]
            peer.append(_rate(partial(in_parallel, one_commit, singles), SINGLES))
            ceiling.append(_rate(partial(signed_only, work[0][2][0], gate), TAPS))
            tick()
    rates = {"taps_per_s": round(median(ours)), "taps_at_once": TAPS, "workers": WORKERS}
    return [
        figure("sqlite_vs_one_commit", round(median(ours) / median(peer), 2), "×", 8.0,
               ONE_COMMIT, at_least=True, peer_taps_per_s=round(median(peer)), **rates),
        figure("fraction_of_crypto_ceiling", round(median(ours) / median(ceiling), 3), "share",
               0.5, CEILING, at_least=True, peer_taps_per_s=round(median(ceiling)), **rates),
    ]  # fmt: skip


def _rate(work: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def _postgres(folder: Path, seed: int, tick: Tick) -> Figure:
    try:
        server = Postgres()
    except PostgresMissing as error:
        return figure("pg_vs_tpcb", None, "×", 1.0, TPCB, at_least=True, reason=str(error))
    try:
        return _beside_pgbench(server, folder, seed, tick)
    finally:
        server.throw_away()


def _beside_pgbench(server: Postgres, folder: Path, seed: int, tick: Tick) -> Figure:
    server.run("pgbench", "-i", "-q", "-s", str(_PGBENCH_SCALE), server.url())
    with closing(Authority(folder, seed, server.create("fares"))) as authority:
        return _two_workers_beside_pgbench(authority, server, folder, tick)


def _two_workers_beside_pgbench(
    authority: Authority, server: Postgres, folder: Path, tick: Tick
) -> Figure:
    gates = [authority.gate(f"bench-{number}") for number in (1, 2)]
    ours, peer, crowd = [], [], []
    with _two_workers(folder) as workers:
        for _ in range(ROUNDS):
            work = [
                (gate, worker, [gate.taps(TAPS) for _ in range(BATCHES)])
                for gate, worker in zip(gates, workers, strict=True)
            ]
            count = sum(TAPS * len(batches) for _, _, batches in work)
            ours.append(_rate(partial(_until_numbered, authority, work), count))
            peer.append(_tpcb(server, len(gates)))
            crowd.append(_tpcb(server, CLIENTS))
            tick()
    ratio = round(median(ours) / median(peer), 2)
    return figure("pg_vs_tpcb", ratio, "×", 1.0, TPCB, at_least=True,
                  taps_per_s=round(median(ours)), peer_per_s=round(median(peer)),
                  eight_clients_per_s=round(median(crowd)), workers=WORKERS,
                  taps_at_once=TAPS)  # fmt: skip


def _until_numbered(authority: Authority, work: Work) -> None:
    charge_all(work)
    authority.numbered()


@contextmanager
def _two_workers(folder: Path) -> Iterator[list[str]]:
    with running("bench.serving", str(folder), WORKERS=str(WORKERS)) as server:
        yield [server] * WORKERS


def _tpcb(server: Postgres, clients: int) -> float:
    printed = server.run("pgbench", "-n", "-c", str(clients), "-j", "2", "-T", str(_PGBENCH_S),
                         server.url())  # fmt: skip
    found = re.search(r"tps = ([0-9.]+) \(without", printed)
    assert found is not None, printed
    return float(found[1])
