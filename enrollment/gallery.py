"""Templates at rest, and how often the galleries changed.

At rest a template is sealed under its rider's own data key, bound to account and engine.
It is open only in memory: while a duplicate is looked for, and while a gallery is being
sealed again for one gate (``enrollment.gallery_feed``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from models.tables.riders import GalleryVersion, Rider, Template
from models.vault import Vault, seal, unseal

log = logging.getLogger(__name__)

EVERY_STATION = "*"
ANY_CHANGE = ""  # not a station: counts each change once, whatever it concerns

TemplateVector = npt.NDArray[np.float32]
"""(dimensions,), unit length."""


def data_key_name(rider_id: str) -> str:
    """The rider's data key in the vault."""
    return f"rider:{rider_id}"


def seal_template(key: bytes, vector: TemplateVector, account_id: str, engine_id: str) -> bytes:
    """Seal ``vector`` as little-endian float32 for this account and engine only."""
    return seal(key, vector.astype("<f4").tobytes(), _context(account_id, engine_id))


def open_templates(
    vault: Vault, found: Iterable[tuple[Rider, Template]]
) -> Iterator[tuple[Rider, bytes]]:
    """Each rider with the template's little-endian float32 bytes.

    A rider whose data key is gone was erased and is left out, whatever rows a restored
    backup brought back. Raises ``VaultError`` where a template does not open.
    """
    rows = list(found)
    keys = vault.keys([data_key_name(rider.rider_id) for rider, _ in rows])
    for rider, template in rows:
        key = keys.get(data_key_name(rider.rider_id))
        if key is None:
            log.warning("a template without a data key is left out: its rider was erased")
            continue
        yield rider, open_template(key, template.sealed, rider.account_id, template.engine_id)


def open_template(key: bytes, sealed: bytes, account_id: str, engine_id: str) -> bytes:
    """The template's little-endian float32 bytes; raises ``VaultError`` if it does not open."""
    return unseal(key, sealed, _context(account_id, engine_id))


def _context(account_id: str, engine_id: str) -> str:
    return f"template {account_id} {engine_id}"


def seal_digits(key: bytes, digits: str, account_id: str) -> bytes:
    """Seal the last four digits of a telephone number for ``Rider.phone_digits``."""
    return seal(key, digits.encode("ascii"), f"phone digits {account_id}")


def open_digits(key: bytes, sealed: bytes | None, account_id: str) -> str | None:
    """The rider's four digits, or None where none were given."""
    if sealed is None:
        return None
    return unseal(key, sealed, f"phone digits {account_id}").decode("ascii")


def gallery_version(session: Session) -> int:
    """How often any gallery changed so far."""
    row = session.get(GalleryVersion, ANY_CHANGE)
    return 0 if row is None else row.version


def station_counts(session: Session) -> dict[str, int]:
    """How often each station's gallery changed, and under ``*`` every station's at once."""
    return {row.station: row.version for row in session.exec(select(GalleryVersion))}


def station_version(session: Session, station: str) -> int:
    """The version of one station's gallery: its own changes and those of every station."""
    counts = station_counts(session)
    return counts.get(station, 0) + counts.get(EVERY_STATION, 0)


def move_gallery_version(session: Session, stations: Iterable[str] = (EVERY_STATION,)) -> None:
    """Count one change of the galleries; belongs into the transaction that makes the change.

    Without ``stations`` it concerns every gate: a rider erased or frozen, a pass revoked.
    """
    for station in dict.fromkeys((ANY_CHANGE, *stations)):
        row = session.get(GalleryVersion, station) or GalleryVersion(station=station, version=0)
        row.version += 1
        session.add(row)


def templates_of(
    session: Session, engine_id: str, *conditions: ColumnElement[bool]
) -> Iterator[tuple[Rider, Template]]:
    """Riders with their template for one engine, by account."""
    query = (
        select(Rider, Template)
        .where(col(Rider.rider_id) == col(Template.rider_id), Template.engine_id == engine_id)
        .where(*conditions)
        .order_by(Rider.account_id)
    )
    yield from session.exec(query)
