"""Templates at rest and on their way to a gate.

At rest a template is sealed under its rider's own data key, bound to account and engine.
It is open only in memory: while a duplicate is looked for, and while a gallery is being
sealed again for one gate.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from enrollment.store import Enrollment
from models.access.gates import RegisteredGate
from models.database import reading
from models.tables.riders import Consent, GalleryVersion, Rider, RiderStation, Template
from models.vault import KeyErased, Vault, seal, unseal
from models.wire.gallery import GalleryRider, GallerySnapshot, seal_gallery
from models.wire.times import format_utc

log = logging.getLogger(__name__)

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
    for rider, template in found:
        try:
            key = vault.key(data_key_name(rider.rider_id))
        except KeyErased:
            log.warning("a template without a data key is left out: its rider was erased")
            continue
        yield rider, unseal(key, template.sealed, _context(rider.account_id, template.engine_id))


def _context(account_id: str, engine_id: str) -> str:
    return f"template {account_id} {engine_id}"


def gallery_version(session: Session) -> int:
    """How often the galleries changed so far."""
    row = session.get(GalleryVersion, 1)
    return 0 if row is None else row.version


def move_gallery_version(session: Session) -> int:
    """Count one change of the galleries; belongs into the transaction that makes the change."""
    row = session.get(GalleryVersion, 1) or GalleryVersion(version=0)
    row.version += 1
    session.add(row)
    return row.version


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


def gallery_for(
    enrollment: Enrollment, gate: RegisteredGate, have: int | None, now: datetime
) -> bytes | None:
    """The sealed gallery of ``gate``, or None where it ``have``-s the current version.

    In it are the riders who chose this gate's station, go hands-free, are active and have not
    withdrawn their consent.
    """
    with reading(enrollment.riders) as session:
        version = gallery_version(session)
        if have == version:
            return None
        found = templates_of(session, enrollment.engine_id, *_searched_at(gate.station))
        rows = list(found)
        images = {rider.account_id: template.images for rider, template in rows}
        riders = tuple(
            GalleryRider(account=rider.account_id, template=vector, images=images[rider.account_id])
            for rider, vector in open_templates(enrollment.vault, rows)
        )
    snapshot = GallerySnapshot(
        engine_id=enrollment.engine_id,
        dimensions=enrollment.dimensions,
        version=version,
        gate=gate.name,
        issued_at=format_utc(now),
        riders=riders,
    )
    return seal_gallery(snapshot, gate.box_key, enrollment.signing_key)


def _searched_at(station: str) -> tuple[ColumnElement[bool], ...]:
    here = select(RiderStation.rider_id).where(RiderStation.station == station)
    consenting = select(Consent.rider_id).where(col(Consent.withdrawn_at).is_(None))
    return (
        col(Rider.medium) == "face",
        col(Rider.status) == "active",
        col(Rider.rider_id).in_(here),
        col(Rider.rider_id).in_(consenting),
    )
