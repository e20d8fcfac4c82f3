"""A whole operator for a test: a real server process, a desk, gates, and the ledger to look in."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyotp

from facefare.desk import Credentials, Desk
from facefare.setup import make_data
from gate import client, run
from gate.eyes import Eyes
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.liveness.check import LivenessCheck, NoCheck
from models.access.gates import add_gate
from models.access.invitations import invite_staff, join_path
from models.access.staff import StaffRegister, add_staff
from models.access.totp import read_key
from models.database import open_sqlite
from models.faces.engine import Engine
from models.settings import DataDirectory
from models.tables.access import AccessTable
from models.wire.keys import base64url, raw_public

PASSWORD = "a long enough password"
STATION = "south"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def facefare(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the ``facefare`` command as its own process."""
    return subprocess.run(
        [sys.executable, "-m", "facefare", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    )


class Station:
    """One operator's data directory and its server process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = DataDirectory(path / "data")
        self.port = free_port()
        self.server = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (path / "server.log").open("ab")
        make_data(self.data, "Test Transit", "fares.example/test")
        self._access = open_sqlite(self.data.access_db, AccessTable.metadata)
        self._staff = 0

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "facefare", "serve",
             "--data", str(self.data.path), "--port", str(self.port)],
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self._process.poll() is None, self.log()
            try:
                httpx.get(f"{self.server}/health/ledger", timeout=2)
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the server did not start: {self.log()}")

    def kill(self) -> None:
        """Kill the server and its workers at once, as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Stop the server for good."""
        self.kill()
        self._log.close()
        self._access.dispose()

    def log(self) -> str:
        """What the server printed."""
        return (self.path / "server.log").read_text(encoding="utf-8")

    def credentials(self) -> Credentials:
        """A new member of staff with the roles of the desk and the console."""
        self._staff += 1
        name = f"ada-{self._staff}"
        added = add_staff(
            StaffRegister(self._access, read_key(self.data.staff_key)),
            name,
            PASSWORD,
            ["enroller", "service", "finance"],
            datetime.now(UTC),
        )
        return Credentials(name, PASSWORD, added.totp_secret)

    def invite(self, name: str, *roles: str) -> str:
        """The path of the one-time link of a new member of staff."""
        register = StaffRegister(self._access, read_key(self.data.staff_key))
        return join_path(invite_staff(register, name, roles, datetime.now(UTC)))

    def enroll(self, photos: list[Path], amount: str = "50.00", name: str = "Rider") -> str:
        """Enroll through the pages; return the account."""
        with Desk(self.server, self.credentials()) as desk:
            account = desk.enroll(name, STATION, photos, compared=True)
            desk.top_up(account, amount)
        return account

    def add_gate(self, name: str, **settings: Any) -> GateIdentity:
        """Provision a gate through the server; ``settings`` are those of ``gate.toml``."""
        code = add_gate(self._access, name, STATION, "in", datetime.now(UTC))
        directory = self.path / name
        signing_key, box_key = make_keys(directory)
        answer = client.provision(
            self.server,
            code,
            base64url(raw_public(signing_key.public_key())),
            base64url(raw_public(box_key.public_key())),
        )
        save_identity(
            directory,
            GateFile(
                gate=answer.gate,
                station=answer.station,
                direction=answer.direction,
                server=self.server,
                enrollment_key=answer.enrollment_key.x,
                **settings,
            ),
        )
        return load_identity(directory)

    def replay(
        self,
        gate: GateIdentity,
        clip: Path,
        engine: Engine,
        check: LivenessCheck | None = None,
        **span: float,
    ) -> tuple[run.Summary, str]:
        """Run the gate on a clip in this process; return the summary and what it said."""
        said = io.StringIO()
        eyes = Eyes(engine, check or NoCheck())
        summary = run.replay(gate, clip, said, drain_s=20.0, eyes=eyes, **span)
        return summary, said.getvalue()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the ledger's database as it lies on disk."""
        with closing(sqlite3.connect(self.data.fares_db)) as connection:
            return connection.execute(query).fetchall()

    def riders(self, query: str) -> list[tuple[Any, ...]]:
        """Read enrollment's database as it lies on disk."""
        with closing(sqlite3.connect(self.data.riders_db)) as connection:
            return connection.execute(query).fetchall()

    def charged(self) -> list[str | None]:
        """The account of every ride in the ledger, in order; None where it was erased."""
        query = "SELECT account_id FROM entry WHERE kind = 'ride' ORDER BY seq"
        return [account for (account,) in self.rows(query)]

    def verify(self) -> dict[str, Any]:
        """Verify the ledger with the command an auditor uses."""
        done = facefare("ledger", "verify", "--data", str(self.data.path), "--json")
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report


def one_time_code(credentials: Credentials) -> str:
    """The code the authenticator app shows now."""
    return pyotp.TOTP(credentials.totp_secret).now()
