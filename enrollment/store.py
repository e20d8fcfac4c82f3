"""Where enrollment keeps things, and what it is handed by whoever starts it.

Enrollment opens its own databases, vault and signing key. It does not know the ledger:
``open_account`` is how a fare account comes to be, and the fare log's public key arrives
as text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine as Database

from enrollment.access_log import AccessLog, create_access_log
from enrollment.category_port import Categories
from models.access.staff import StaffRegister
from models.access.totp import read_key
from models.database import open_sqlite
from models.faces.engine import Engine
from models.faces.liveness_pair import LivenessPair
from models.settings import DataDirectory, Settings
from models.tables.access import AccessTable
from models.tables.riders import RidersTable
from models.vault import Vault, make_master_key
from models.wire.keys import load_signing_key, save_private_key


def no_pair() -> LivenessPair | None:
    """Nothing looks for prints: its weights were never fetched."""
    return None


def utc_now() -> datetime:
    """The time of day, as the default clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Enrollment:
    """What the use cases and pages of enrollment work with.

    ``engine_id`` and ``dimensions`` say which templates are in use; ``load_engine`` is called
    when the first photo arrives, not before, and ``looking`` lets one request at a time use
    it; so is ``load_pair``, which tells prints and screens from people where it is there.
    ``scanning`` lets one request at a time look for a pass in a photo.
    ``open_account(account_id, category)`` opens a fare account, ``close_account(account_id)``
    unlinks it from everything; both do nothing the second time; ``categories`` changes what it
    pays. ``access_log`` is written before a rider is shown. ``log_verifier_key`` is the fare
    log's public key as ``models.log.notes.verifier_key`` writes it.
    """

    riders: Database
    access: Database
    staff: StaffRegister
    vault: Vault
    access_log: AccessLog
    signing_key: Ed25519PrivateKey
    settings: Settings
    engine_id: str
    dimensions: int
    load_engine: Callable[[], Engine]
    open_account: Callable[[str, str], None]
    close_account: Callable[[str], None]
    categories: Categories
    log_verifier_key: str
    clock: Callable[[], datetime] = utc_now
    load_pair: Callable[[], LivenessPair | None] = no_pair
    looking: Lock = field(default_factory=Lock)
    scanning: Lock = field(default_factory=Lock)

    @classmethod
    def open(
        cls,
        data: DataDirectory,
        engine_id: str,
        dimensions: int,
        load_engine: Callable[[], Engine],
        open_account: Callable[[str, str], None],
        close_account: Callable[[str], None],
        categories: Categories,
        log_verifier_key: str,
        clock: Callable[[], datetime] = utc_now,
        load_pair: Callable[[], LivenessPair | None] = no_pair,
    ) -> Enrollment:
        """Open what ``create_stores`` made; raise a ``FacefareError`` with what is missing."""
        settings = data.settings()
        access = open_sqlite(data.access_db, AccessTable.metadata)
        riders = open_sqlite(data.riders_db, RidersTable.metadata)
        vault = open_vault(data)
        return cls(
            riders=riders,
            access=access,
            staff=StaffRegister(access, read_key(data.staff_key)),
            vault=vault,
            access_log=AccessLog.open(data, settings, riders, vault),
            signing_key=load_signing_key(signing_key_file(data)),
            settings=settings,
            engine_id=engine_id,
            dimensions=dimensions,
            load_engine=cache(load_engine),
            open_account=open_account,
            close_account=close_account,
            categories=categories,
            log_verifier_key=log_verifier_key,
            clock=clock,
            load_pair=cache(load_pair),
        )


def create_stores(data: DataDirectory, fare_origin: str) -> None:
    """Make enrollment's databases, vault and keys inside a new data directory.

    ``fare_origin`` is the fare log's name, from which the access log takes its own.
    An existing key is never overwritten: that raises ``FileExistsError``.
    """
    make_master_key(_master_key_file(data))
    make_master_key(data.staff_key)
    save_private_key(signing_key_file(data), Ed25519PrivateKey.generate())
    open_vault(data)
    create_access_log(data, fare_origin)
    open_sqlite(data.riders_db, RidersTable.metadata, create=True).dispose()
    open_sqlite(data.access_db, AccessTable.metadata, create=True).dispose()


def open_vault(data: DataDirectory) -> Vault:
    """The riders' data keys."""
    return Vault(_vault_file(data), _master_key_file(data))


def signing_key_file(data: DataDirectory) -> Path:
    """The Ed25519 key that signs galleries."""
    return data.keys / "enrollment.pem"


def _vault_file(data: DataDirectory) -> Path:
    return data.vault / "data-keys.sqlite"


def _master_key_file(data: DataDirectory) -> Path:
    return data.vault / "master.key"
