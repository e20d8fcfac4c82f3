"""Gates that never give up: they send their taps again until each one was answered.

What they were told is kept, to be compared with what the ledger has in the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlmodel import select

from ledger.checkpoints import publish
from ledger.kept import CheckpointFile
from ledger.sequencer import sequence
from ledger.verify import verify
from models.access.gates import add_gate, provision_gate
from models.database import open_sqlite, reading
from models.tables.access import AccessTable
from models.tables.ledger import EntryRow, PostingRow, TapRow
from models.wire.keys import raw_public
from models.wire.tokens import Request, issue_gate_token
from tests.station import free_port
from tests.town import ORIGIN, Town, TownGate

SERVER = Path(__file__).with_name("ledger_server.py")
PATH = "/api/v1/taps"


class LedgerProcess:
    """The ledger's server as a process of its own, on one port for all its lives."""

    def __init__(self, town: Town, log: Path) -> None:
        self._data, self._log = town.data.path, log.open("ab")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), str(self._data), str(self.port)],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": str(SERVER.parent.parent)},
        )

    def wait(self) -> None:
        """Wait until the server answers."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(f"{self.url}/health/ledger", timeout=2)
                return
            except httpx.HTTPError:
                time.sleep(0.02)
        raise AssertionError("the ledger's server did not start")

    def kill(self) -> None:
        """SIGKILL: nothing is finished, flushed or said."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._log.close()


@dataclass
class Client:
    """One gate with its requests, each a batch of signed taps, sent in order."""

    gate: TownGate
    url: str
    requests: Iterable[list[str]]
    answers: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    failed: BaseException | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self.url, timeout=20) as http:
                for taps in self.requests:
                    self._send(http, taps)
                    if self.stop.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 - shown by the test, on its own thread
            self.failed = error

    def _send(self, http: httpx.Client, taps: list[str]) -> None:
        body = json.dumps({"taps": taps}).encode()
        until = time.monotonic() + 120
        while time.monotonic() < until:
            bound = Request("POST", PATH, body)
            now = datetime.now(UTC)
            token = issue_gate_token(self.gate.key, self.gate.name, "ledger", bound, now)
            try:
                response = http.post(
                    PATH, content=body, headers={"Authorization": f"Bearer {token}"}
                )
            except httpx.HTTPError:
                time.sleep(0.02)
                continue
            self.statuses.append(response.status_code)
            if response.status_code == 200:
                self.answers += response.json()["answers"]
                return
            time.sleep(0.02)
        raise AssertionError("a request was never answered")


class Crowd:
    """Clients that run at once."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self._threads = [threading.Thread(target=client.run) for client in clients]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def told(self) -> list[dict[str, Any]]:
        """Every answer so far."""
        return [answer for client in self.clients for answer in list(client.answers)]

    def served(self, more: int) -> None:
        """Wait until ``more`` answers than now have come, however slow the machine is."""
        wanted, until = len(self.told()) + more, time.monotonic() + 60
        while len(self.told()) < wanted:
            assert time.monotonic() < until, "the clients are not served"
            time.sleep(0.01)

    def finish(self) -> None:
        """Let every client have its last request answered."""
        for client in self.clients:
            client.stop.set()
        self.join()

    def join(self) -> None:
        """Wait until the clients have sent everything; raise what one of them met."""
        for thread in self._threads:
            thread.join()
        for client in self.clients:
            if client.failed is not None:
                raise client.failed


def retrying_crowd(town: Town, url: str, clients: int) -> Crowd:
    """Clients that go on until they are stopped, with single taps and small batches."""
    accounts = [town.account() for _ in range(5)]

    def endless(gate: TownGate, rng: random.Random) -> Iterator[list[str]]:
        while True:
            yield [gate.tap(rng.choice(accounts)) for _ in range(rng.choice((1, 1, 3, 8)))]

    gates = provisioned_gates(town, clients)
    return Crowd([Client(gate, url, endless(gate, random.Random(gate.name))) for gate in gates])


def provisioned_gates(town: Town, count: int) -> list[TownGate]:
    """``count`` gates that the town's access database knows."""
    access = open_sqlite(town.data.access_db, AccessTable.metadata, create=True)
    gates = [TownGate(name=f"gate-{number}") for number in range(count)]
    for gate in gates:
        now = datetime.now(UTC)
        code = add_gate(access, gate.name, gate.station, gate.direction, now)
        box = raw_public(X25519PrivateKey.generate().public_key())
        provision_gate(access, code, raw_public(gate.key.public_key()), box, now)
    access.dispose()
    return gates


def leaves(town: Town) -> list[bytes]:
    """The leaf hashes of the log in order; their numbers have no gap."""
    with reading(town.ledger.engine) as session:
        found = list(session.exec(select(EntryRow.seq, EntryRow.leaf_hash).order_by(EntryRow.seq)))
    assert [seq for seq, _ in found] == list(range(len(found)))
    return [leaf for _, leaf in found]


def check_outcome(town: Town, told: list[dict[str, Any]], charged: set[str]) -> None:
    """Every tap of ``charged`` is in the log once, where its gate was told, and all adds up."""
    sequence(town.ledger)
    with reading(town.ledger.engine) as session:
        entries = {row.entry_id: row.seq for row in session.exec(select(EntryRow))}
        taps = list(session.exec(select(TapRow.tap_id).where(TapRow.outcome == "accepted")))
        trial_balance = sum(session.exec(select(PostingRow.minor)))
        rides = session.exec(select(EntryRow.entry_id).where(EntryRow.kind == "ride")).all()
    assert trial_balance == 0
    assert len(taps) == len(rides) == len(set(rides))
    assert set(rides) == set(taps) == charged
    for answer in told:
        if answer["status"] in ("accepted", "replayed"):
            assert answer["entry"] in (None, entries[answer["tap_id"]])
    publish(town.ledger)
    note = CheckpointFile(town.data.checkpoint_file).read()
    report = verify(
        town.ledger.engine, ORIGIN, town.ledger.log_key.public_key(), note, town.ledger.vault
    )
    assert report.entries == len(entries)
    assert report.not_excluded == ()


def endure(
    town: Town,
    log: Path,
    blows: int,
    strike: Callable[[LedgerProcess], None],
    *,
    grows: bool,
) -> None:
    """Eight retrying clients while ``strike`` hits the ledger; then every tap is there once.

    After each blow no number of the log belongs to another leaf than before, and where it
    ``grows`` something was numbered (PostgreSQL's sequencer may be behind).
    """
    process = LedgerProcess(town, log)
    crowd = retrying_crowd(town, process.url, clients=8)
    rng = random.Random(11)
    before: list[bytes] = []
    process.start()
    process.wait()
    crowd.start()
    try:
        for _ in range(blows):
            crowd.served(more=rng.randint(1, 60))
            time.sleep(rng.uniform(0, 0.05))
            strike(process)
            now = leaves(town)
            assert now[: len(before)] == before, "an index was bound to another leaf"
            assert not grows or len(now) > len(before)
            before = now
        crowd.finish()
    finally:
        process.close()
    told = crowd.told()
    assert leaves(town)[: len(before)] == before
    assert {answer["status"] for answer in told} <= {"accepted", "replayed"}
    check_outcome(town, told, {answer["tap_id"] for answer in told})
