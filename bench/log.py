"""``facefare bench log``: how long it takes to verify a million entries, and to prove one.

The log is made here, by the ledger's own ``LogWriter`` in large transactions: real entry
bytes, real hashes, postings, tree nodes, and for every ride the signed tap beside it. Two
things differ from taps that came in one by one: the gates' signatures are random bytes of
the right length (verifying the log hashes a tap and reads it; whose signature it bears was
checked when it arrived), and nothing was committed one by one.

``verify_1m_s`` is the command ``facefare ledger verify --checkpoint`` with everything: start
of the interpreter, hashes, chain, tree, columns, postings, taps, commitments, balances. The
peer reads the same entries' bytes from the same file and hashes them, nothing else.

``append_growth`` is what a batch of entries costs behind a million by what it costs behind a
thousand (and the batches before it), with the commit and the disk; ``append_growth_cpu`` is the
same in processor time, which another program's writing does not move. What grows is the index
by account: in a large log each rider's entries end in a page of their own, so a batch writes as
many pages as it has riders, and never more however long the log becomes.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from rich.progress import Progress

import ledger.ledger
from bench.figures import Figure, answer, figure
from ledger.accounts import key_name, open_account
from ledger.answers import Accepted, Charge, keep_answer
from ledger.checkpoints import publish
from ledger.entries import Draft
from ledger.kept import CheckpointFile
from ledger.ledger import Ledger
from ledger.postings import CASH_DESK, RIDER, fare_income, transfer
from ledger.proving import receipt
from ledger.store import LogWriter, table
from models.bulk import insert_rows
from models.database import writing
from models.log.receipts import check_receipt
from models.money import Money
from models.settings import TEMPLATE, DataDirectory, make_directories
from models.tables.ledger import TapRow
from models.wire.canonical import canonical_bytes
from models.wire.keys import base64url
from models.wire.tap import FIRST_PREV
from models.wire.times import format_utc

ENTRIES = 1_000_000
SMALL = 1_000
ACCOUNTS = 200
GATES = 40
FARES = (200, 300, 400, 0)
BATCH = 20_000
APPENDED = 512
ROUNDS = 3
RECEIPTS = 300
GROWTH_ROUNDS = 15
START = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
PEER = "SHA-256 over the same bytes, one process"
TAP_COLUMNS = (
    "tap_id", "signed", "hash", "prev", "gate", "gate_seq", "chain", "outcome", "entry_seq",
    "answer", "account_id", "received_at",
)  # fmt: skip


def run(seed: int, data_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Build the log in a temporary folder (3 GB) and measure; ``data_dir`` is not needed."""
    del data_dir
    with tempfile.TemporaryDirectory() as folder:
        large = Writer(Path(folder) / "large", seed)
        large.rides(ENTRIES, progress)
        small = Writer(Path(folder) / "small", seed)
        small.rides(SMALL)
        for writer in (large, small):
            publish(writer.ledger)
        figures = [*verifying(large, progress), proving(large, seed), *growing(large, small)]
    return answer("log", seed, figures)


class Writer:
    """A ledger of its own, and riders who pass through forty gates in turn."""

    def __init__(self, path: Path, seed: int) -> None:
        self.data = DataDirectory(path)
        make_directories(self.data)
        ledger.ledger.create(self.data)
        settings = TEMPLATE.format(operator="Bench", origin="fares.test/bench")
        self.data.settings_file.write_text(settings, encoding="utf-8")
        self.ledger = Ledger.open(self.data)
        self._rng = random.Random(seed)
        self._accounts = [f"{self._rng.getrandbits(128):032x}" for _ in range(ACCOUNTS)]
        for account in self._accounts:
            open_account(self.ledger, account)
        self._keys = self.ledger.vault.keys(map(key_name, self._accounts))
        self._heads = {f"gate-{number}": (0, FIRST_PREV) for number in range(GATES)}
        self._income = fare_income(self.ledger.settings.network)
        self.size = 0

    def rides(self, count: int, progress: Progress | None = None) -> None:
        """Add ``count`` entries, one top-up among fifty."""
        task = progress.add_task("writing the log", total=count) if progress else None
        for start in range(0, count, BATCH):
            self.add(list(self.drafts(min(BATCH, count - start))))
            if progress and task is not None:
                progress.advance(task, BATCH)

    def drafts(self, count: int) -> Iterator[tuple[Draft, dict[str, Any] | None]]:
        """The next entries, a ride's with the row of its tap."""
        for number in range(self.size, self.size + count):
            yield self._top_up(number) if number % 50 == 49 else self._ride(number)

    def add(self, drafts: list[tuple[Draft, dict[str, Any] | None]]) -> None:
        """Record them in one transaction."""
        now = START + timedelta(milliseconds=250 * (self.size + len(drafts)))
        rows = []
        with writing(self.ledger.engine) as session:
            writer = LogWriter(session, now)
            for draft, tap in drafts:
                seq = writer.append(draft)
                if tap is not None:
                    rows.append({**tap, "entry_seq": seq, "received_at": format_utc(now)})
            writer.save()
            values = [tuple(row[name] for name in TAP_COLUMNS) for row in rows]
            insert_rows(session, table(TapRow), TAP_COLUMNS, values)
        self.size += len(drafts)

    def _ride(self, number: int) -> tuple[Draft, dict[str, Any]]:
        account = self._rng.choice(self._accounts)
        gate, station = f"gate-{number % GATES}", f"station-{number % GATES // 2}"
        at, fare = START + timedelta(milliseconds=250 * number), number % len(FARES)
        amount = Money(FARES[fare], self.ledger.settings.currency)
        rule = {"code": f"zone-{fare}", "words": f"Single ride in zone {fare}, no transfer"}
        tap = self._tap(account, gate, station, at, Charge(amount, rule["code"], rule["words"]))
        facts = {
            "gate": gate, "station": station, "direction": "in", "medium": "face",
            "rule": rule, "tap": tap["hash"],
        }  # fmt: skip
        draft = Draft(
            kind="ride",
            entry_id=tap["tap_id"],
            occurred_at=at,
            amount=amount,
            postings=transfer(amount, debit=RIDER, credit=self._income),
            facts=facts,
            account_id=account,
            account_key=self._keys[key_name(account)],
        )
        return draft, tap

    def _tap(
        self, account: str, gate: str, station: str, at: datetime, charge: Charge
    ) -> dict[str, Any]:
        seq, prev = self._heads[gate]
        tap_id = self._uuid7(at)
        evidence = {"engine": "dlib-resnet-1", "frames": 4, "gallery_version": 3,
                    "liveness": None, "margin": 0.31, "score": 0.62}  # fmt: skip
        payload = canonical_bytes(
            {"v": 1, "tap_id": tap_id, "gate": gate, "station": station, "direction": "in",
             "at": format_utc(at), "account": account, "medium": "face",
             "evidence": evidence, "seq": seq + 1, "prev": prev}
        )  # fmt: skip
        head = base64url(b'{"alg":"EdDSA","kid":"' + b"k" * 43 + b'","typ":"facefare-tap+jws"}')
        signed = f"{head}.{base64url(payload)}.{base64url(self._rng.randbytes(64))}"
        digest = hashlib.sha256(signed.encode()).hexdigest()
        self._heads[gate] = seq + 1, digest
        return {
            "tap_id": tap_id, "signed": signed, "hash": digest, "prev": prev, "gate": gate,
            "gate_seq": seq + 1, "chain": "ok", "outcome": "accepted", "account_id": account,
            "answer": keep_answer(Accepted(tap_id, None, charge, "ok")),
        }  # fmt: skip

    def _top_up(self, number: int) -> tuple[Draft, None]:
        account, amount = self._rng.choice(self._accounts), Money(2000, "CNY")
        draft = Draft(
            kind="top_up",
            entry_id=str(uuid4()),
            occurred_at=START + timedelta(milliseconds=250 * number),
            amount=amount,
            postings=transfer(amount, debit=CASH_DESK, credit=RIDER),
            facts={"method": "cash"},
            account_id=account,
            account_key=self._keys[key_name(account)],
        )
        return draft, None

    def _uuid7(self, at: datetime) -> str:
        """As a gate makes it: 48 bits of time, the rest random."""
        time_ms = int(at.timestamp() * 1000)
        chance = self._rng.getrandbits(80) & ~(0xF << 76 | 0x3 << 62)
        return str(UUID(int=time_ms << 80 | 0x7 << 76 | 0x2 << 62 | chance))


def verifying(large: Writer, progress: Progress | None) -> list[Figure]:
    """Our command and the peer in turn; medians."""
    kept = large.data.path / "kept"
    kept.write_text(CheckpointFile(large.data.checkpoint_file).read(), encoding="utf-8")
    command = [sys.executable, "-m", "facefare", "ledger", "verify", "--json",
               "--data", str(large.data.path), "--checkpoint", str(kept)]  # fmt: skip
    ours_s, cpu_s, ours_mb, peer_s = [], [], [], []
    task = progress.add_task("verifying", total=ROUNDS) if progress else None
    for _ in range(ROUNDS):
        cpu_before_s = children_cpu_s()
        taken_s, peak_mb, report = measured(command)
        cpu_s.append(children_cpu_s() - cpu_before_s)
        if report["entries"] != ENTRIES or report["not_excluded"]:
            raise RuntimeError(f"verify said {report}")
        ours_s.append(taken_s)
        ours_mb.append(peak_mb)
        peer_s.append(only_hashes(large.data.fares_db))
        if progress and task is not None:
            progress.advance(task)
    return [
        figure("verify_1m_s", round(median(ours_s), 2), "s", 10.0, PEER, round(median(peer_s), 2),
               fastest=round(min(ours_s), 2), cpu_s=round(median(cpu_s), 2)),
        figure("verify_rss_mb", round(max(ours_mb)), "MB", 300.0, of="all its processes together"),
    ]  # fmt: skip


def measured(command: list[str]) -> tuple[float, float, dict[str, Any]]:
    """Seconds, megabytes at most, and what the command printed."""
    started, peak_kb = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, sum(map(resident_kb, family(process.pid))))
            time.sleep(0.05)
        taken_s = time.perf_counter() - started
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    report: dict[str, Any] = json.loads(output)
    return taken_s, peak_kb / 1024, report


def children_cpu_s() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def family(pid: int) -> list[int]:
    """A process and its children."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [pid, *(member for child in text.split() for member in family(int(child)))]


def resident_kb(pid: int) -> int:
    """Resident memory of a process; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def only_hashes(path: Path) -> float:
    """Seconds to read every entry's bytes and hash them."""
    started = time.perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        for (body,) in connection.execute("SELECT body FROM entry ORDER BY seq"):
            hashlib.sha256(b"\x00" + body).digest()
    return time.perf_counter() - started


def proving(large: Writer, seed: int) -> Figure:
    """Receipts of entries anywhere in the log; each is checked."""
    rng = random.Random(seed)
    with closing(sqlite3.connect(large.data.fares_db)) as connection:
        ids = [
            connection.execute(
                "SELECT entry_id FROM entry WHERE seq = ?", (rng.randrange(ENTRIES),)
            ).fetchone()[0]
            for _ in range(RECEIPTS)
        ]
    times_ms = []
    for entry_id in ids:
        started = time.perf_counter()
        made = receipt(large.ledger, entry_id)
        times_ms.append((time.perf_counter() - started) * 1000)
        settings, key = large.ledger.settings, large.ledger.log_key.public_key()
        check_receipt(made.text(), settings.origin, key)
    times_ms.sort()
    highest = round(times_ms[int(0.99 * RECEIPTS)], 2)
    return figure("receipt_ms", round(median(times_ms), 2), "ms", 5.0, p99=highest)


def growing(large: Writer, small: Writer) -> list[Figure]:
    """What a batch costs behind many entries by what it costs behind few, in turn; medians."""
    wall_s: dict[Writer, list[float]] = {large: [], small: []}
    cpu_s: dict[Writer, list[float]] = {large: [], small: []}
    for turn in range(GROWTH_ROUNDS):
        for writer in (small, large) if turn % 2 else (large, small):
            drafts = list(writer.drafts(APPENDED))
            wall_before_s, cpu_before_s = time.perf_counter(), time.process_time()
            writer.add(drafts)
            cpu_s[writer].append(time.process_time() - cpu_before_s)
            wall_s[writer].append(time.perf_counter() - wall_before_s)
    return [
        growth("append_growth", wall_s[large], wall_s[small]),
        growth("append_growth_cpu", cpu_s[large], cpu_s[small]),
    ]


def growth(name: str, many_s: list[float], few_s: list[float]) -> Figure:
    """One batch's median behind many entries by that behind few."""
    behind_many, behind_few = (median(taken) / APPENDED * 1e6 for taken in (many_s, few_s))
    return figure(
        name, round(behind_many / behind_few, 3), "times", 1.2, entries_at_once=APPENDED,
        us_per_entry=round(behind_many, 1), us_per_entry_small=round(behind_few, 1),
    )  # fmt: skip
