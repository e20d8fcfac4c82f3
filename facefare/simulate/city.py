"""The city: one server, some gates, some riders, one clock that only the story moves."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
from sqlalchemy.exc import OperationalError

import enrollment.erase
import ledger.checkpoints
import ledger.feeds
from enrollment.rider_money import AccountShown
from enrollment.store import Enrollment
from facefare.rider_ledger import rider_money
from facefare.server import create_app
from facefare.simulate.bank import Bank
from facefare.simulate.crashes import Died, Fuse, arm, arm_vault
from facefare.simulate.feed import CURRENCY, Prices, feed_files
from facefare.simulate.founding import START, found, set_up_gate
from facefare.simulate.gates import CityGate
from facefare.simulate.network import Wire
from facefare.simulate.steps import Crash
from facefare.simulate.story import Size
from facefare.simulate.truth import Rider, Truth
from gate.identity import load_identity
from ledger.fares.calendars import service_day
from ledger.kept import CheckpointFile, CheckpointMoved
from ledger.ledger import Ledger
from ledger.processors.webhooks import SIGNATURE_HEADER, webhooks
from models.access.gates import revoke_gate
from models.database import reading
from models.log.notes import check_checkpoint
from models.settings import DataDirectory
from models.tables.ledger import FareStateRow
from models.tables.riders import Rider as RiderRow

BACKUPS_MAX = 32
REMEMBERED = timedelta(hours=1)
"""So long after it expired the server still knows that it has seen a request."""


class City:
    """Everything in it, in the folder ``path``, which is new and its own."""

    def __init__(self, path: Path, size: Size) -> None:
        self.path, self.now, self.truth = path, START, Truth()
        self.skew, self.newest = timedelta(), START  # of the server's clock
        self.set_back = False  # so far that the server forgot which requests it had seen
        self.data = DataDirectory(path / "data")
        self.fuse = Fuse("server", self.truth.count)
        self.bank = Bank(self.clock, self.truth)
        self._backups: list[Path] = []
        self._outside: sqlite3.Connection | None = None
        founded = found(path, size.riders, size.gates)
        self.truth.riders += founded.riders
        self._start_server()
        self.wire = Wire(httpx.WSGITransport(self._app), self._restart_server, self.truth)
        self.gates = [self._gate(path / name) for name in founded.gates]
        self._named = len(self.gates)

    def true_time(self) -> datetime:
        """What the story says."""
        return self.now

    def clock(self) -> datetime:
        """What the server believes the time is."""
        return self.now + self.skew

    def later(self, seconds: float) -> None:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)
        self.newest = max(self.newest, self.clock())

    def set_clock(self, ahead_s: float) -> None:
        """Set the server's clock ``ahead_s`` seconds ahead of the true time."""
        before, self.skew = self.skew, timedelta(seconds=ahead_s)
        self.set_back |= before - self.skew >= REMEMBERED
        self.newest = max(self.newest, self.clock())

    def _start_server(self) -> None:
        # gunicorn starts worker processes; here the application is started anew in this one.
        self._app = create_app(self.data, clock=self.clock)
        self.ledger: Ledger = self._app.extensions["ledger"]
        self.enrollment: Enrollment = self._app.extensions["enrollment"]
        messages = webhooks(self.ledger, self.bank.processor)
        self._app.register_blueprint(messages)
        self._app.extensions["csrf"].exempt(messages)
        self._money = rider_money(self.ledger, self.bank.processor)
        arm(self.ledger.engine, self.fuse, "fares")
        arm(self.enrollment.riders, self.fuse, "riders")
        arm(self.enrollment.access, self.fuse, "access")
        arm_vault(self.ledger.vault, self.fuse, "account keys")
        arm_vault(self.enrollment.vault, self.fuse, "data keys")

    def _restart_server(self) -> None:
        self.truth.say("    the server dies and starts again")
        self.close()
        self._start_server()
        self.wire.server = httpx.WSGITransport(self._app)

    def close(self) -> None:
        """Let go of the databases."""
        if self._outside is not None:
            self._outside.close()
            self._outside = None
        for engine in (self.ledger.engine, self.enrollment.riders, self.enrollment.access):
            engine.dispose()

    def from_outside(self) -> sqlite3.Connection:
        """A connection of our own to the fares database as it lies on disk."""
        if self._outside is None:
            self._outside = sqlite3.connect(self.data.fares_db, isolation_level=None)
            self._outside.row_factory = sqlite3.Row
        return self._outside

    def use(self, work: Callable[[], object]) -> bool:
        """Let the server do something that is not a gate's request.

        False where it died of it, or where its disk was full, which staff then see to.
        """
        try:
            work()
        except Died:
            self._restart_server()
            return False
        except (OperationalError, sqlite3.OperationalError, OSError) as error:
            if self.fuse.lit != "disk full":
                raise
            self.truth.say(f"    the server cannot write: {error}")
            self.fuse.light("")
            return False
        return True

    @contextmanager
    def dying(self, crash: Crash, at_write: int = 1) -> Iterator[None]:
        """The server dies at one of the writes it makes within, if it makes so many."""
        self.fuse.light(crash, at_write)
        try:
            yield
        finally:
            self.fuse.light("")

    def _gate(self, directory: Path) -> CityGate:
        return CityGate(load_identity(directory), self.wire, self.true_time, self.truth)

    def burning(self, target: Path) -> tuple[Fuse, str] | None:
        """Whose fuse burns where this file is replaced, and what the site is called."""
        if target == self.data.checkpoint_file:
            return self.fuse, "checkpoint"
        for gate in self.gates:
            if site := gate.where_burns(target):
                return gate.disk.fuse, site
        return None

    def replace_gate(self, number: int) -> None:
        """Set up a gate under a new name where the one with this number stood."""
        self._named += 1
        name, access = f"gate-{self._named}", self.enrollment.access
        set_up_gate(self.path / name, name, number, self.data, access, self.clock)
        self.gates[number] = self._gate(self.path / name)

    def revoke(self, gate: CityGate) -> None:
        """Stop trusting the gate's requests."""
        revoke_gate(self.enrollment.access, gate.name, self.clock())

    def clone(self, gate: CityGate) -> CityGate:
        """A copy of the gate's whole disk in somebody else's box."""
        self._named += 1
        copy = self.path / f"clone-{self._named}"
        shutil.copytree(gate.identity.path, copy)
        return self._gate(copy)

    def erase(self, rider: Rider) -> None:
        """The rider leaves at the desk."""
        enrollment.erase.erase_rider(self.enrollment, rider.rider_id)

    def is_listed(self, rider: Rider) -> bool:
        """Does enrollment still know the rider?"""
        with reading(self.enrollment.riders) as session:
            return session.get(RiderRow, rider.rider_id) is not None

    def held(self, account: str) -> int:
        """What is held for the account's journey, in minor units."""
        with reading(self.ledger.engine) as session:
            state = session.get(FareStateRow, account)
            return 0 if state is None else state.held_minor

    def recorded(self, tap_ids: Sequence[str]) -> bool:
        """Does the ledger know any of these taps?"""
        marks = ", ".join("?" * len(tap_ids))
        found = self.from_outside().execute(
            f"SELECT 1 FROM tap WHERE tap_id IN ({marks})",  # noqa: S608 - marks only
            tap_ids,
        )
        return found.fetchone() is not None

    def tell(self, body: bytes, signature: str) -> None:
        """A message of the processor reaches the server."""
        self.wire.hear("/api/v1/processor/webhook", body, {SIGNATURE_HEADER: signature})

    def shown(self, rider: Rider) -> AccountShown:
        """What the rider's own page says of the account."""
        with self._app.test_request_context():
            return self._money.account(rider.account)

    def activate(self, prices: Prices) -> date:
        """Put a feed in force from the next service day on which nobody has ridden yet."""
        with reading(self.ledger.engine) as session:
            zone = self.ledger.fares.book(session).zone
            free = ledger.feeds.first_free_day(session, zone)
        day = max(free, date.fromordinal(service_day(self.clock(), zone) + 1))
        ledger.feeds.activate(
            self.ledger.engine, feed_files(prices), day, CURRENCY, "finance", self.clock()
        )
        return day

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
