"""A city for ``bench.load``: the real server as a process, gates, and people at the console."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import text

from bench.city import Gate
from bench.commuters import put_commuters
from facefare.desk import Credentials, Desk
from facefare.setup import make_data
from ledger.ledger import Ledger
from ledger.schema import upgrade
from models.access.gates import add_gate, provision_gate
from models.access.staff import StaffRegister, add_staff
from models.database import open_postgres, reading
from models.settings import DataDirectory
from models.wire.keys import raw_public
from models.wire.tokens import Request, issue_gate_token

ACCOUNTS = 100_000
"""So many that a rider comes through a gate two or three times in ten minutes of a peak."""
STATION = "south"
GIVE_UP_S = 60.0
_PATH = "/api/v1/taps"
_PASSWORD = "a bench of four words"


class City:
    """An operator's whole data directory in ``folder``; its fares in PostgreSQL if given a URL."""

    def __init__(
        self, folder: Path, seed: int, url: str | None = None, accounts: int = ACCOUNTS
    ) -> None:
        self.data = DataDirectory(folder)
        make_data(self.data, "Bench", "bench.example/log")
        if url is not None:
            engine = open_postgres(url)
            upgrade(engine)
            engine.dispose()
            settings = self.data.settings_file.read_text(encoding="utf-8")
            self.data.settings_file.write_text(f'fares_url = "{url}"\n{settings}', "utf-8")
        self.ledger = Ledger.open(self.data)
        self._staff = StaffRegister.open(self.data)
        self._rng = random.Random(seed)
        self.accounts = put_commuters(self.data, self.ledger, accounts, STATION, self._rng)

    def gates(self, kind: str, count: int) -> list[Gate]:
        """New gates that the server knows."""
        return [self._gate(f"{kind}-{number}") for number in range(count)]

    def _gate(self, name: str) -> Gate:
        gate, now = Gate(name, self.accounts, self._rng), datetime.now(UTC)
        code = add_gate(self._staff.database, name, STATION, "in", now)
        box = raw_public(X25519PrivateKey.generate().public_key())
        key = raw_public(gate.key.public_key())
        provision_gate(self._staff.database, code, key, box, now)
        return gate

    def clerk(self, url: str, name: str) -> Clerk:
        """A member of staff who has signed in at ``url``."""
        roles = ["finance", "service", "enroller"]
        added = add_staff(self._staff, name, _PASSWORD, roles, datetime.now(UTC))
        return Clerk(url, Credentials(name, _PASSWORD, added.totp_secret))

    def rides(self) -> list[tuple[str, int]]:
        """(tap id, minor units) of every ride in the ledger, once all have their number."""
        until = time.monotonic() + GIVE_UP_S
        while self._waiting() and time.monotonic() < until:
            time.sleep(0.05)
        rides = text("SELECT entry_id, amount_minor FROM entry WHERE kind = 'ride'")
        with reading(self.ledger.engine) as session:
            return [(row[0], row[1]) for row in session.execute(rides)]

    def fate(self, tap_id: str) -> str:
        """What became of a tap that is not in the ledger at its price, for people to look into."""
        kept = text(
            "SELECT gate, gate_seq, outcome, answer, received_at FROM tap WHERE tap_id = :id"
        )
        waits = text("SELECT accepted_at FROM inbox WHERE entry_id = :id")
        ride = text("SELECT seq, amount_minor, rule FROM entry WHERE entry_id = :id")
        with reading(self.ledger.engine) as session:
            found = {
                name: dict(row)
                for name, query in (("tap", kept), ("inbox", waits), ("entry", ride))
                for row in session.execute(query, {"id": tap_id}).mappings()
            }
        return f"{tap_id}: {found or 'nothing of it is recorded'}"

    def _waiting(self) -> int:
        with reading(self.ledger.engine) as session:
            return int(session.execute(text("SELECT count(*) FROM inbox")).scalar_one())

    def close(self) -> None:
        """Let go of the databases."""
        self.ledger.engine.dispose()
        self._staff.database.dispose()


class Clerk(Desk):
    """Somebody who reads the console's pages."""

    PAGES = ("/finance/", "/finance/entries", "/finance/accounts", "/enrollment/")

    def leave(self) -> None:
        """Close the browser."""
        self.__exit__(None, None, None)

    def look(self, page: str) -> None:
        """Load one page; raise where it is refused."""
        try:
            self._page(page)
        except httpx.TransportError:
            self._page(page)  # a kept connection that the server had closed meanwhile


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to one request: its status, and how long the server asks to be left alone."""

    status: int
    retry_after_s: float


@dataclass
class Line:
    """One gate's connection. It sends again until the server has answered for each tap."""

    gate: Gate
    port: int
    sent: list[str] = field(default_factory=list)
    shed: int = 0
    unexplained: int = 0  # refusals without Retry-After
    broken: int = 0
    _http: http.client.HTTPConnection | None = None

    def next_taps(self, count: int) -> list[str]:
        """The gate's next taps, which from now on have to be in the ledger in the end."""
        taps = self.gate.taps(count)
        self.sent += taps
        return taps

    def deliver(self, taps: Sequence[str]) -> None:
        """Return when the server accepted all; raise ``AssertionError`` if it never does."""
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            try:
                answer = self._send(taps)
            except (OSError, http.client.HTTPException):
                self.close()  # a kept connection that the server has closed meanwhile
                self.broken += 1
                continue
            if answer.status == 200:
                return
            self.shed += 1
            self.unexplained += answer.retry_after_s <= 0
            time.sleep(answer.retry_after_s or 1)
        raise AssertionError(f"{self.gate.name}: the server did not accept {len(taps)} taps")

    def close(self) -> None:
        """Let go of the connection."""
        if self._http is not None:
            self._http.close()
        self._http = None

    def _send(self, taps: Sequence[str]) -> Sent:
        body = json.dumps({"taps": taps}).encode()
        bound = Request("POST", _PATH, body)
        token = issue_gate_token(self.gate.key, self.gate.name, "ledger", bound, datetime.now(UTC))
        if self._http is None:
            self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self._http.request("POST", _PATH, body, {"Authorization": f"Bearer {token}"})
        response = self._http.getresponse()
        said = response.read()
        if response.status not in (200, 503):
            raise AssertionError(f"{response.status}: {said[:200]!r}")
        if response.status == 200:
            answers = json.loads(said)["answers"]
            assert all(one["status"] in ("accepted", "replayed") for one in answers), answers[0]
        return Sent(response.status, float(response.headers.get("Retry-After", 0)))


def tap_id(signed: str) -> str:
    """The id in a signed tap."""
    payload = signed.split(".")[1]
    value = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(value["tap_id"])


@dataclass(frozen=True)
class Served:
    """A running server: where it listens, and the memory of its processes."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_mb(self) -> float | None:
        """Resident memory of the server and its workers; None where the system does not say."""
        proc = Path("/proc")
        if not proc.is_dir():
            return None
        pids = [str(self.process.pid)]
        pids += (proc / pids[0] / "task" / pids[0] / "children").read_text().split()
        pages = [int((proc / pid / "statm").read_text().split()[1]) for pid in pids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def served(city: City, workers: int) -> Iterator[Served]:
    """``facefare serve`` as an operator starts it, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    said = city.data.path / "server.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "facefare", "serve", "--data", str(city.data.path),
             "--port", str(port), "--workers", str(workers)],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    server = Served(port, process)
    try:
        _wait_for(server, said)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(server: Served, said: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.process.poll() is None:
        try:
            httpx.get(f"{server.url}/health/ledger", timeout=2)
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start: {said.read_text('utf-8', 'replace')}")


class Beside:
    """Threads that run beside a measurement; what one of them raises is raised at the end."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._raised: list[BaseException] = []

    def run(self, work: object, *arguments: object) -> None:
        """Call ``work`` in a thread of its own."""
        assert callable(work)

        def guarded() -> None:
            try:
                work(*arguments)
            except Exception as error:  # noqa: BLE001 - told below, in the thread that asks
                self._raised.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Tell all that it is over, wait for them, and raise the first error."""
        self.over.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S + 30)
        if self._raised:
            raise self._raised[0]
