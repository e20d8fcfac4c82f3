"""What finance's day costs, and whether it is right: real files against a real ledger.

* ``day_100k_s``, ``day_rss_mb``: a process of its own imports the day's statements (Stripe's
  balance and payout reports, camt.053), reconciles and writes the report, for a ledger with
  100,000 rides and 100,000 card payments. Making that day is not part of the time.
* ``precision``, ``recall``: the differences it reports beside those that were planted in the
  files, every kind of them (``bench.finance_day``). ``unexplained_cents`` is what the lists
  of the clearing accounts leave open; ``clean_day_differences`` the same day without faults.
* ``overview_10m_ms``: the overview over roll-ups as 10,000,000 entries leave them: the
  rows of ``taking`` and ``posting_total`` for a year of 27,400 entries a day on 200 gates,
  and a *sparse* entry table: 2,000 real entries, the last one moved to number 9,999,999. The
  overview reads no entry but the last, so the missing ones are not missed; ``--full`` records
  all ten million for real instead: 13 GB, and at 45 to 55 µs of processor time an entry (as
  measured with 200,000) eight minutes where the disk keeps up.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.progress import Progress
from sqlalchemy import event, text

import ledger.ledger
from bench.figures import Figure, answer, figure
from bench.finance_day import (
    FEE_RULE,
    RUN_DAY,
    FinanceDay,
    balance_report,
    bank_statements,
    make_day,
    payouts_report,
)
from ledger.ledger import Ledger
from ledger.reconcile.importing import import_statement
from ledger.reconcile.overview import overview
from ledger.reconcile.report import reconciliation, report_bytes
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from models.bulk import insert_rows
from models.database import reading, writing
from models.settings import TEMPLATE, DataDirectory, make_directories
from models.tables.reconcile import PostingTotalRow, TakingRow

RIDES = PAYMENTS = 100_000
CLEAN = 5_000
ENTRIES = 10_000_000
_DAYS = 365
_GATES = 200
_TURNS = 7
_SEPARATELY = "without making the ledger and the files"


def run(
    seed: int,
    data_dir: object = None,
    progress: Progress | None = None,
    full: bool = False,
) -> dict[str, Any]:
    """Measure everything. ``data_dir`` is not used: the day is made from ``seed``."""
    task = progress.add_task("reconcile", total=3) if progress else None
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="facefare-bench-") as folder:
        for part in (_whole_day, _clean_day, partial(_overview, full=full)):
            figures += part(Path(folder) / str(len(figures)), seed)
            if progress and task is not None:
                progress.advance(task)
    return answer("reconcile", seed, figures)


@contextmanager
def _a_ledger(folder: Path) -> Iterator[Ledger]:
    """A new operator's ledger in ``folder``."""
    data = DataDirectory(folder)
    make_directories(data)
    ledger.ledger.create(data)
    settings = TEMPLATE.format(operator="Bench", origin="bench.example/log")
    data.settings_file.write_text(settings, encoding="utf-8")
    opened = Ledger.open(data)
    yield opened
    opened.engine.dispose()


def _whole_day(folder: Path, seed: int) -> list[Figure]:
    made, measured = _reconcile(folder, RIDES, PAYMENTS, seed, faults=True)
    found = {tuple(one) for one in measured["differences"]}
    right = len(found & made.planted)
    kinds = sorted({kind for kind, _ in made.planted})
    return [
        figure("day_100k_s", measured["seconds"], "s", 30.0, None, rides=RIDES,
               payments=PAYMENTS, lines=measured["lines"], measured=_SEPARATELY),
        figure("day_rss_mb", measured["rss_mb"], "MB", 500.0),
        figure("precision", right / max(1, len(found)), "share", 1.0, at_least=True,
               planted=len(made.planted), kinds=kinds),
        figure("recall", right / len(made.planted), "share", 1.0, at_least=True,
               planted=len(made.planted)),
        figure("unexplained_cents", measured["unexplained"], "minor units", 0),
        figure("same_bytes_again", int(measured["same_bytes"]), "yes = 1", 1, at_least=True),
    ]  # fmt: skip


def _clean_day(folder: Path, seed: int) -> list[Figure]:
    _, measured = _reconcile(folder, CLEAN, CLEAN, seed, faults=False)
    left = len(measured["differences"]) + abs(measured["unexplained"]) + measured["remaining"]
    return [figure("clean_day_differences", left, "differences and minor units", 0)]


def _reconcile(
    folder: Path, rides: int, payments: int, seed: int, *, faults: bool
) -> tuple[FinanceDay, dict[str, Any]]:
    """Make the day here, and reconcile it in a process of its own."""
    with _a_ledger(folder) as opened:
        made = make_day(opened, rides, payments, seed, faults=faults)
    files = {"balance.csv": balance_report(made), "payouts.csv": payouts_report(made)}
    files |= {f"bank-{n}.xml": data for n, data in enumerate(bank_statements(made))}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-m", "bench.reconcile", str(folder), *files],
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return made, measured


def _measure(folder: Path, files: list[str]) -> dict[str, Any]:
    """Import, reconcile and report as the command does; runs in its own process."""
    now = datetime(2026, 11, 26, 8, tzinfo=UTC)
    opened = Ledger.open(DataDirectory(folder), lambda: now)
    rules = Rules.model_validate({"fee": FEE_RULE})
    started = time.perf_counter()
    lines = sum(
        import_statement(opened, (folder / name).read_bytes(), name).lines for name in files
    )
    run_day(opened, RUN_DAY, rules)
    with reading(opened.engine) as session:
        first = report_bytes(session, RUN_DAY)
    seconds = round(time.perf_counter() - started, 2)
    rss_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    run_day(opened, RUN_DAY, rules)
    with reading(opened.engine) as session:
        found = reconciliation(session, RUN_DAY)
        again = report_bytes(session, RUN_DAY)
    return {
        "seconds": seconds,
        "rss_mb": rss_mb,
        "lines": lines,
        "differences": [(one["kind"], one["subject"]) for one in found["differences"]],
        "unexplained": found["unexplained"],
        "remaining": sum(abs(account["balance"]) for account in found["clearing"]),
        "same_bytes": first == again,
    }


def _overview(folder: Path, seed: int, *, full: bool) -> list[Figure]:
    with _a_ledger(folder) as opened:
        if full:
            _write_fast(opened)
            make_day(opened, ENTRIES, 0, seed, faults=False)
            day = "2026-11-16"
        else:
            make_day(opened, 2_000, 0, seed, faults=False)
            day = _roll_up_a_year(opened, seed)
        took = []
        for _ in range(_TURNS):
            started = time.perf_counter()
            with reading(opened.engine) as session:
                shown = overview(session, day)
            took.append((time.perf_counter() - started) * 1000)
    how = "all entries recorded" if full else "roll-up rows of a year, a sparse entry table"
    return [figure("overview_10m_ms", round(median(took), 1), "ms", 300.0, None, how=how,
                   entries=shown["entries"], worst_ms=round(max(took), 1))]  # fmt: skip


def _write_fast(opened: Ledger) -> None:
    """Do not wait for the disk: what is measured is reading, and the ledger is thrown away."""

    def hurry(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-256000")  # KiB

    event.listen(opened.engine, "connect", hurry)
    opened.engine.dispose()  # whoever is connected already connects anew


def _roll_up_a_year(opened: Ledger, seed: int) -> str:
    """Write the roll-ups that ten million entries leave, and give the last its number."""
    rng, first = random.Random(seed), date(2026, 1, 1)
    each = ENTRIES // _DAYS // (_GATES * 4)
    with writing(opened.engine) as session:
        for number in range(_DAYS):
            day = (first + timedelta(days=number)).isoformat()
            insert_rows(session, TakingRow.__table__, _TAKING, _takings(rng, day, each))  # type: ignore[attr-defined]
            totals = [(f"{kind}:account-{n}", "CNY", day, 100, rng.randint(-9999, 9999))
                      for kind in ("assets", "income", "expenses") for n in range(10)]  # fmt: skip
            insert_rows(session, PostingTotalRow.__table__, _TOTAL, totals)  # type: ignore[attr-defined]
        session.execute(text("DROP TRIGGER entry_is_not_changed"))
        session.execute(text("DROP TRIGGER posting_is_not_changed"))
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for name, column in (("posting", "entry_seq"), ("entry", "seq")):
            session.execute(text(f"UPDATE {name} SET {column} = {ENTRIES - 1} WHERE {column} = "
                                 f"(SELECT MAX({column}) FROM {name})"))  # fmt: skip
    return (first + timedelta(days=_DAYS - 1)).isoformat()


_TAKING = ("day", "kind", "network", "route", "station", "gate", "product", "category", "medium",
           "rule", "currency", "entries", "minor", "capped_minor", "offline", "late")  # fmt: skip
_TOTAL = ("account", "currency", "day", "lines", "minor")


def _takings(rng: random.Random, day: str, each: int) -> list[tuple[Any, ...]]:
    """Every gate's rides of a day by medium and category."""
    return [
        (day, "ride", "metro", f"line-{gate % 9}", f"station-{gate // 4}", f"gate-{gate}",
         "single", category, medium, "flat", "CNY", each, each * 200 + rng.randint(0, 99), 0, 0, 0)
        for gate in range(_GATES) for medium in ("face", "pass")
        for category in ("adult", "child")
    ]  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2:])))
