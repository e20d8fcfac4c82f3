"""A small town for the ledger's tests: a real ledger in a folder, gates that sign real taps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from uuid6 import uuid7

from ledger.accounts import open_account
from ledger.answers import Accepted, Answer
from ledger.charge import charge_taps
from ledger.ledger import Ledger, make_database, make_keys
from models.access.gates import RegisteredGate
from models.database import open_sqlite, writing
from models.settings import TEMPLATE, DataDirectory, make_directories
from models.tables.access import AccessTable
from models.tables.reconcile import DrawerRow
from models.wire.tap import FIRST_PREV, Evidence, Tap, sign_tap, tap_hash
from models.wire.times import format_utc

ORIGIN = "fares.test/town"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

CLERKS = ("desk", "lin", "mei", "Ann", "Bob", "Wang Fang", "fang", "processor")
"""Whose drawers are open from the start."""

EVIDENCE = Evidence(
    engine="dlib-resnet-1", score=0.62, margin=0.31, frames=4, liveness=None, gallery_version=3
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class BrokenAtFirst:
    """A clock that fails once, in a way nobody expects, and is as good as ``clock`` after."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock, self.failed = clock, False

    def __call__(self) -> datetime:
        if not self.failed:
            self.failed = True
            raise RuntimeError("the clock is broken")
        return self._clock()


@dataclass
class TownGate:
    """A gate with its own key and its own chain of taps."""

    name: str = "south-1"
    station: str = "south"
    direction: str = "in"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seq: int = 0
    prev: str = FIRST_PREV

    @property
    def registered(self) -> RegisteredGate:
        box = X25519PrivateKey.generate().public_key()
        return RegisteredGate(
            self.name, self.station, self.direction, self.key.public_key(), box, revoked=False
        )

    def next_tap(self, account: str, **changes: Any) -> Tap:
        """The tap that would come next; it is not part of the chain until it is signed."""
        return Tap.model_validate(
            {
                "tap_id": str(uuid7()),
                "gate": self.name,
                "station": self.station,
                "direction": self.direction,
                "at": format_utc(NOON),
                "account": account,
                "medium": "face",
                "evidence": EVIDENCE,
                "seq": self.seq + 1,
                "prev": self.prev,
                **changes,
            }
        )

    def sign(self, tap: Tap) -> str:
        """Sign ``tap`` and go on from it."""
        signed = sign_tap(tap, self.key)
        self.seq, self.prev = tap.seq, tap_hash(signed)
        return signed

    def tap(self, account: str, **changes: Any) -> str:
        """The next signed tap of this gate."""
        return self.sign(self.next_tap(account, **changes))


@dataclass
class Town:
    """A ledger with one gate and as many accounts as asked for."""

    data: DataDirectory
    ledger: Ledger
    clock: Clock
    gate: TownGate = field(default_factory=TownGate)

    def account(self) -> str:
        account_id = uuid4().hex
        open_account(self.ledger, account_id)
        return account_id

    def find(self, name: str) -> RegisteredGate | None:
        return self.gate.registered if name == self.gate.name else None

    def charge(self, *signed: str) -> list[Answer]:
        return charge_taps(self.ledger, self.gate.name, signed, self.find)

    def rides(self, count: int, account: str | None = None) -> str:
        """Let one rider through the gate ``count`` times; return the account."""
        account = account or self.account()
        for _ in range(count):
            self.clock.forward(1)
            (answer,) = self.charge(self.gate.tap(account))
            assert isinstance(answer, Accepted), answer
        return account

    def reopened(self) -> Town:
        return replace(self, ledger=Ledger.open(self.data, self.clock))


@cache
def _empty_fares() -> bytes:
    """The fares database of a new ledger, made once by all its migrations and then copied."""
    with TemporaryDirectory() as folder:
        data = DataDirectory(Path(folder) / "data")
        make_directories(data)
        make_database(data)
        return data.fares_db.read_bytes()


def make_town(path: Path, change_settings: Callable[[str], str] = lambda text: text) -> Town:
    """A new data directory at ``path`` with an open ledger."""
    data = DataDirectory(path)
    make_directories(data)
    data.fares_db.write_bytes(_empty_fares())
    make_keys(data)
    settings = TEMPLATE.format(operator="Test Town", origin=ORIGIN)
    data.settings_file.write_text(change_settings(settings), encoding="utf-8")
    open_sqlite(data.access_db, AccessTable.metadata, create=True).dispose()
    clock = Clock()
    town = Town(data, Ledger.open(data, clock), clock)
    open_drawers(town.ledger, *CLERKS)
    return town


def open_drawers(ledger: Ledger, *clerks: str) -> None:
    """Let these clerks take cash, all in one transaction; empty drawers make no entries."""
    with writing(ledger.engine) as session:
        for clerk in clerks:
            session.add(
                DrawerRow(
                    drawer_id=str(uuid4()),
                    clerk=clerk,
                    currency=ledger.settings.currency,
                    opened_at=ledger.clock(),
                    opened_size=0,
                    opening_minor=0,
                )
            )
