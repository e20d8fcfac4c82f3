"""Gates, riders and a ledger for ``bench.charge``: everything real but the riders."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import text
from uuid6 import uuid7

import ledger.ledger
from ledger.accounts import open_account
from ledger.ledger import Ledger
from ledger.schema import upgrade
from models.access.gates import add_gate, provision_gate
from models.database import open_postgres, open_sqlite, reading
from models.settings import TEMPLATE, DataDirectory, make_directories
from models.tables.access import AccessTable
from models.wire.keys import from_base64url, raw_public
from models.wire.tap import FIRST_PREV, Evidence, Tap, sign_tap, tap_hash
from models.wire.times import format_utc
from models.wire.tokens import Request, issue_gate_token

ACCOUNTS = 10_000
"""As many as are enrolled before a gate of ``bench.gate``: each rides now and then."""
_PATH = "/api/v1/taps"


class Gate:
    """A provisioned gate that signs taps of random riders."""

    def __init__(self, name: str, accounts: Sequence[str], rng: random.Random) -> None:
        self.name, self._accounts, self._rng = name, accounts, rng
        self.key = Ed25519PrivateKey.generate()
        self._seq, self._prev = 0, FIRST_PREV

    @property
    def public_hex(self) -> str:
        return raw_public(self.key.public_key()).hex()

    def taps(self, count: int) -> list[str]:
        """The next ``count`` signed taps."""
        return [self._tap() for _ in range(count)]

    def _tap(self) -> str:
        self._seq += 1
        seen = Evidence(
            engine="dlib-resnet-1",
            score=round(self._rng.uniform(0.5, 0.9), 4),
            margin=round(self._rng.uniform(0.1, 0.4), 4),
            frames=4,
            liveness=round(self._rng.uniform(0.8, 0.99), 4),
            gallery_version=17,
        )
        signed = sign_tap(
            Tap(
                tap_id=str(uuid7()),
                gate=self.name,
                station="south",
                direction="in",
                at=format_utc(datetime.now(UTC)),
                account=self._rng.choice(self._accounts),
                medium="face",
                evidence=seen,
                seq=self._seq,
                prev=self._prev,
            ),
            self.key,
        )
        self._prev = tap_hash(signed)
        return signed

    def _charge(self, client: httpx.Client, taps: Sequence[str]) -> None:
        """Send one batch; every tap must be accepted."""
        body = json.dumps({"taps": taps}).encode()
        bound = Request("POST", _PATH, body)
        token = issue_gate_token(self.key, self.name, "ledger", bound, datetime.now(UTC))
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        response = client.post(_PATH, content=body, headers=headers)
        answers = response.raise_for_status().json()["answers"]
        assert all(answer["status"] == "accepted" for answer in answers), answers[0]

    def charge_each(self, url: str, batches: Sequence[Sequence[str]]) -> None:
        """Send one batch after another, each over a connection of its own, as a proxy does.

        So each goes to the worker that is free first.
        """
        with httpx.Client(base_url=url, timeout=60) as client:
            for batch in batches:
                self._charge(client, batch)


class Authority:
    """An operator with a data directory, accounts and gates; on PostgreSQL if given a URL."""

    def __init__(self, folder: Path, seed: int, url: str | None = None) -> None:
        data = DataDirectory(folder)
        make_directories(data)
        ledger.ledger.create(data)
        settings = TEMPLATE.format(operator="Bench", origin="bench.example/log")
        if url is not None:
            engine = open_postgres(url)
            upgrade(engine)
            engine.dispose()
            settings = f'fares_url = "{url}"\n{settings}'
        data.settings_file.write_text(settings, encoding="utf-8")
        self.ledger = Ledger.open(data)
        self._access = open_sqlite(data.access_db, AccessTable.metadata, create=True)
        self._rng = random.Random(seed)
        self.accounts = [f"{self._rng.getrandbits(128):032x}" for _ in range(ACCOUNTS)]
        for account in self.accounts:
            open_account(self.ledger, account)

    def gate(self, name: str) -> Gate:
        """A new gate that the ledger knows."""
        gate = Gate(name, self.accounts, self._rng)
        now = datetime.now(UTC)
        code = add_gate(self._access, name, "south", "in", now)
        box = raw_public(X25519PrivateKey.generate().public_key())
        provision_gate(self._access, code, raw_public(gate.key.public_key()), box, now)
        return gate

    def numbered(self) -> None:
        """Return when every accepted tap has its number."""
        while self._waiting():
            time.sleep(0.002)

    def _waiting(self) -> int:
        with reading(self.ledger.engine) as session:
            return int(session.execute(text("SELECT count(*) FROM inbox")).scalar_one())

    def close(self) -> None:
        """Let go of the databases."""
        self.ledger.engine.dispose()
        self._access.dispose()


Work = Sequence[tuple[Gate, str, list[list[str]]]]
"""Gates, the server each one speaks to, and its batches."""


def charge_all(work: Work) -> None:
    """Let every gate send its batches, all gates at once."""
    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(lambda part: part[0].charge_each(part[1], part[2]), work))


def signed_only(taps: Sequence[str], gate: Gate) -> None:
    """The work no checking ledger can leave out: one verification and two hashes per tap."""
    key = gate.key.public_key()
    for signed in taps:
        message, _, signature = signed.rpartition(".")
        data = message.encode()
        key.verify(from_base64url(signature), data)
        hashlib.sha256(data).digest()
        hashlib.sha256(data).digest()


def in_parallel(url: str, parts: Sequence[Sequence[str]]) -> None:
    """Send the taps of each part one by one, all parts at once, connections kept open."""

    def send(part: Sequence[str]) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            for signed in part:
                client.post("/tap", content=signed.encode()).raise_for_status()

    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(send, parts))


@contextmanager
def running(module: str, folder: str, **environment: str) -> Iterator[str]:
    """A server process; yields its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", module, folder, str(port)], env={**os.environ, **environment}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(f"{url}/ready", timeout=2).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"the server at {url} did not start")
