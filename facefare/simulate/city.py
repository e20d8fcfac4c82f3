"""The city: one server, some gates, some riders, one clock that only the story moves."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np

import enrollment.erase
import ledger.checkpoints
from enrollment.gallery import data_key_name, move_gallery_version, seal_template
from enrollment.store import signing_key_file
from facefare.server import create_app
from facefare.setup import make_data
from facefare.simulate.crashes import Died, Fuse, arm
from facefare.simulate.gates import CityGate
from facefare.simulate.network import Wire
from facefare.simulate.story import Size
from facefare.simulate.truth import Rider, Truth
from gate.identity import GateFile, load_identity, make_keys, save_identity
from ledger.kept import CheckpointFile, CheckpointMoved
from ledger.ledger import Ledger
from models.access.gates import add_gate, provision_gate, revoke_gate
from models.database import writing
from models.faces.dlib_engine import DlibEngine
from models.log.notes import check_checkpoint
from models.settings import DataDirectory
from models.tables.riders import Consent, RiderStation, Template
from models.tables.riders import Rider as RiderRow
from models.wire.keys import base64url, load_signing_key, raw_public

START = datetime(2026, 3, 28, 18, 0, tzinfo=UTC)  # the night in which European clocks change
ORIGIN = "fares.example/city"
STATION = "south"
BACKUPS_MAX = 32


class City:
    """Everything in it, in the folder ``path``, which is new and its own."""

    def __init__(self, path: Path, size: Size) -> None:
        self.path, self.now, self.truth = path, START, Truth()
        self.data = DataDirectory(path / "data")
        self.fuse = Fuse()
        self._backups: list[Path] = []
        make_data(self.data, "City", ORIGIN)
        self._start_server()
        self.wire = Wire(httpx.WSGITransport(self._app), self._restart_server)
        self.riders = [self._enroll(number) for number in range(size.riders)]
        self._named = 0
        self.gates = [self.new_gate() for _ in range(size.gates)]

    def clock(self) -> datetime:
        """The true time."""
        return self.now

    def _start_server(self) -> None:
        # gunicorn starts worker processes; here the application is started anew in this one.
        self._app = create_app(self.data, clock=self.clock)
        self.ledger: Ledger = self._app.extensions["ledger"]
        self.enrollment = self._app.extensions["enrollment"]
        arm(self.ledger.engine, self.fuse)

    def _restart_server(self) -> None:
        self.truth.say("    the server dies and starts again")
        self.close()
        self._start_server()
        self.wire.server = httpx.WSGITransport(self._app)

    def close(self) -> None:
        """Let go of the databases."""
        for engine in (self.ledger.engine, self.enrollment.riders, self.enrollment.access):
            engine.dispose()

    def use(self, work: Callable[[], object]) -> bool:
        """Let the server do something that is not a gate's request; False where it died of it."""
        try:
            work()
        except Died:
            self._restart_server()
            return False
        return True

    def _enroll(self, number: int) -> Rider:
        """A rider with a made-up template; photographs have tests of their own."""
        rider = Rider(number, f"R{number:05}", secrets.token_hex(16), f"Canary Name {number}")
        self.enrollment.open_account(rider.account, "adult")
        key = self.enrollment.vault.create(data_key_name(rider.rider_id))
        vector = np.zeros(DlibEngine.dimensions, np.float32)
        vector[number % DlibEngine.dimensions] = 1.0
        with writing(self.enrollment.riders) as session:
            session.add(
                RiderRow(
                    rider_id=rider.rider_id,
                    account_id=rider.account,
                    name=rider.name,
                    category="adult",
                    language="en",
                    medium="face",
                    status="active",
                    created_at=self.now,
                )
            )
            session.flush()
            session.add(
                Consent(
                    rider_id=rider.rider_id,
                    text_id="en-1",
                    text_sha256="0" * 64,
                    language="en",
                    given_at=self.now,
                    staff="ada",
                )
            )
            session.add(
                Template(
                    rider_id=rider.rider_id,
                    engine_id=DlibEngine.engine_id,
                    sealed=seal_template(key, vector, rider.account, DlibEngine.engine_id),
                    images=3,
                    created_at=self.now,
                    quality_note="",
                )
            )
            session.add(RiderStation(rider_id=rider.rider_id, station=STATION))
            move_gallery_version(session)
        self.truth.riders.append(rider)
        return rider

    def new_gate(self) -> CityGate:
        """Set up one more gate through the register, with its own keys and an empty outbox."""
        self._named += 1
        name, access = f"gate-{self._named}", self.enrollment.access
        code = add_gate(access, name, STATION, "in", self.now)
        directory = self.path / name
        signing_key, box_key = make_keys(directory)
        provision_gate(
            access,
            code,
            raw_public(signing_key.public_key()),
            raw_public(box_key.public_key()),
            self.now,
        )
        enrollment_key = load_signing_key(signing_key_file(self.data)).public_key()
        save_identity(
            directory,
            GateFile(
                gate=name,
                station=STATION,
                direction="in",
                server="https://city.example",
                enrollment_key=base64url(raw_public(enrollment_key)),
            ),
        )
        return CityGate(load_identity(directory), self.wire, self.clock, self.truth)

    def revoke(self, gate: CityGate) -> None:
        """Stop trusting the gate's requests."""
        revoke_gate(self.enrollment.access, gate.name, self.now)
        gate.revoked = True

    def clone(self, gate: CityGate) -> CityGate:
        """A copy of the gate's whole disk in somebody else's box."""
        self._named += 1
        copy = self.path / f"clone-{self._named}"
        shutil.copytree(gate.identity.path, copy)
        return CityGate(load_identity(copy), self.wire, self.clock, self.truth)

    def erase(self, rider: Rider) -> None:
        """The rider leaves at the desk."""
        enrollment.erase.erase_rider(self.enrollment, rider.rider_id)
        rider.left_at = self.now

    def publish(self) -> None:
        """Sign a checkpoint; an outsider takes a copy of what is published."""
        try:
            ledger.checkpoints.publish(self.ledger)
        except CheckpointMoved:
            return
        note = CheckpointFile(self.ledger.checkpoint_file).read()
        found = check_checkpoint(
            note, self.ledger.settings.origin, self.ledger.log_key.public_key()
        )
        if found not in self.truth.checkpoints:
            self.truth.checkpoints.append(found)

    def back_up(self) -> None:
        """Keep a copy of the fares database as a stand-by machine would have it."""
        copy = self.path / f"backup-{len(self._backups)}.sqlite"
        self.back_up_to(copy)
        self._backups.append(copy)
        for old in self._backups[:-BACKUPS_MAX]:
            old.unlink(missing_ok=True)

    def back_up_to(self, copy: Path) -> None:
        """Copy the fares database as it is now."""
        copy.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(self.data.fares_db)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)

    def entries_in(self, copy: Path) -> int:
        """The number of entries in a copy of the fares database."""
        with closing(sqlite3.connect(copy)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM entry").fetchone()[0])

    def stale_copy(self, steps_back: int) -> Path:
        """A copy made some steps ago; the oldest there is counts as following the newest."""
        kept = [path for path in self._backups if path.exists()]
        return kept[-1 - steps_back % len(kept)]

    def put_database(self, copy: Path) -> None:
        """Replace the fares database by another file and start the server on it."""
        self.close()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.data.fares_db}{suffix}").unlink(missing_ok=True)
        shutil.copy(copy, self.data.fares_db)
        self._start_server()
        self.wire.server = httpx.WSGITransport(self._app)


def new_id(number: int) -> str:
    """An entry's id from a number, so that a doubled form carries the same one."""
    return str(UUID(int=number, version=4))


def later(city: City, seconds: float) -> None:
    """Move the clock."""
    city.now += timedelta(seconds=seconds)
