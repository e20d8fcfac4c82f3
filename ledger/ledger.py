"""The ledger of one operator: its database, keys, settings and clock, opened together.

DATA/fares.sqlite           entries, postings, taps, accounts; or on PostgreSQL (fares_url)
DATA/keys/log.pem           the key that signs checkpoints
DATA/vault/accounts.sqlite  the accounts' commitment keys, wrapped by
DATA/vault/accounts.key     the ledger's master key; enrollment has its own
DATA/log/checkpoint         the newest signed checkpoint
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, MetaData, event
from sqlmodel import select

from ledger.inforce import FaresInForce
from ledger.kept import keep_empty_checkpoint
from ledger.rollback import guarded
from ledger.schema import check_schema, upgrade
from models.access.introductions import Introductions
from models.database import DatabaseUnusable, open_postgres, open_sqlite, reading
from models.log.notes import verifier_key
from models.settings import DataDirectory, Settings
from models.tables.ledger import EntryRow, LedgerTable
from models.vault import Vault, make_master_key
from models.wire.keys import load_signing_key, save_private_key

LOG_KEY = "log.pem"
VAULT = "accounts.sqlite"
MASTER_KEY = "accounts.key"


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


def create(data: DataDirectory) -> None:
    """Make the ledger's files in a new data directory; existing keys are never overwritten."""
    make_keys(data)
    make_database(data)


def make_keys(data: DataDirectory) -> None:
    """Make the log's key and the vault of the accounts' keys."""
    save_private_key(data.keys / LOG_KEY, Ed25519PrivateKey.generate())
    make_master_key(data.vault / MASTER_KEY)
    Vault(data.vault / VAULT, data.vault / MASTER_KEY)


def make_database(data: DataDirectory) -> None:
    """Make the fares database with the schema of this program."""
    engine = open_sqlite(data.fares_db, MetaData(), create=True)
    upgrade(engine)
    engine.dispose()


def open_fares(data: DataDirectory, settings: Settings) -> Engine:
    """The fares database: PostgreSQL where the settings name one, else the SQLite file.

    Whether its schema is the right one is the caller's question (``ledger.schema``).
    """
    if settings.fares_url is not None:
        return open_postgres(settings.fares_url)
    return open_sqlite(data.fares_db, LedgerTable.metadata)


def _is_empty(engine: Engine) -> bool:
    with reading(engine) as session:
        return session.exec(select(EntryRow.seq).limit(1)).first() is None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the use cases are handed."""

    engine: Engine
    vault: Vault
    log_key: Ed25519PrivateKey
    settings: Settings
    checkpoint_file: Path
    fares: FaresInForce
    introductions: Introductions
    clock: Callable[[], datetime] = utc_now
    accepted: Event = field(default_factory=Event)
    """Set after a commit that left entries in the inbox: this program's sequencer wakes."""

    @classmethod
    def open(cls, data: DataDirectory, clock: Callable[[], datetime] = utc_now) -> Ledger:
        """Open the ledger in ``data``, or raise the ``FacefareError`` that says what is missing.

        A log without any entry gets its first checkpoint here. One with entries and no
        checkpoint does not: it may have lost some, and is not signed before a person looked.
        """
        settings = data.settings()
        engine = open_fares(data, settings)
        try:
            check_schema(engine)
        except DatabaseUnusable:
            engine.dispose()
            raise
        fares = FaresInForce(settings)
        # A server that comes back may be another one, which lacks the newest commits.
        event.listen(engine, "invalidate", lambda *_broken: fares.forget_all())
        opened = cls(
            engine=guarded(engine, data.checkpoint_file),
            vault=Vault(data.vault / VAULT, data.vault / MASTER_KEY),
            log_key=load_signing_key(data.keys / LOG_KEY),
            settings=settings,
            checkpoint_file=data.checkpoint_file,
            fares=fares,
            introductions=Introductions(data.access_db),
            clock=clock,
        )
        if not data.checkpoint_file.exists() and _is_empty(opened.engine):
            keep_empty_checkpoint(data.checkpoint_file, opened.settings.origin, opened.log_key)
        return opened

    @property
    def verifier_key(self) -> str:
        """The log's public key as C2SP tools take it."""
        return verifier_key(self.settings.origin, self.log_key.public_key())
