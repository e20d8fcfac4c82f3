"""Activated feeds: rows of the fares database, added and never changed or removed.

A feed is checked whole and becomes one row in one transaction: that commit is the
activation, for every server that works on this database. A refused feed leaves everything
as it was. No feed is ever removed, for journeys made under it may still be re-rated.

A feed comes into force at 04:30 of a day on which nobody has been charged yet, so that no
ride that was charged is ever priced by other tables.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from ledger.fares.book import FareBook, NoFares
from ledger.fares.calendars import day_starts, service_day
from ledger.fares.feedfiles import FeedFiles
from ledger.fares.gtfs import read_tables
from ledger.fares.problems import FareError
from ledger.fares.tables import FareTables
from models.database import writing
from models.tables.ledger import FeedRow, PassageRow

_MADE = (1980, 1, 1, 0, 0, 0)  # the same files are always the same ZIP


class FeedDamaged(FareError):
    """A kept feed is not what was activated."""


class FeedTooEarly(FareError):
    """A feed from a day on which somebody has been charged already."""


def activate(
    engine: Engine, files: FeedFiles, effective: date, currency: str, by: str, now: datetime
) -> FareTables:
    """Check the feed and put it in force from the service day ``effective``.

    Raises ``FeedRefused`` with every fault, ``NoFares`` for another currency or time zone
    than the ledger's, ``FeedTooEarly``. The same feed from the same day changes nothing.
    """
    tables = read_tables(files, effective)
    if tables.currency != currency:
        raise NoFares(
            f"{tables.name} is in {tables.currency}, the accounts of this ledger are kept in "
            f"{currency}; set the currency in facefare.toml before the first account is opened"
        )
    with writing(engine) as session:
        rows = feed_rows(session)
        FareBook.of(*map(tables_of, rows), tables)
        if any((row.sha256, row.effective) == (tables.sha256, str(effective)) for row in rows):
            return tables
        first = first_free_day(session, tables.zone)
        if effective < first:
            raise FeedTooEarly(
                f"riders were charged on {first - timedelta(days=1)}; a feed can be in force "
                f"from {first} on"
            )
        session.add(
            FeedRow(
                number=max((row.number for row in rows), default=0) + 1,
                effective=str(effective),
                name=files.name,
                sha256=tables.sha256,
                files=pack(files),
                activated_at=now,
                activated_by=by,
            )
        )
    return tables


def first_free_day(session: Session, zone: ZoneInfo) -> date:
    """The first service day after the last one on which somebody rode."""
    newest = session.execute(select(func.max(col(PassageRow.at)))).scalar()
    if newest is None:
        return date.min
    return date.fromordinal(service_day(newest, zone) + 1)


# The table's column, not the row class's: every tap's request asks, and that takes half the time.
_NEWEST = select(func.coalesce(func.max(FeedRow.__table__.c.number), 0))  # type: ignore[attr-defined]


def newest_number(session: Session) -> int:
    """The number of the newest feed, 0 where there is none."""
    return int(session.execute(_NEWEST).scalar_one())


def feed_rows(session: Session) -> Sequence[FeedRow]:
    """All feeds in the order they were activated."""
    return list(session.execute(select(FeedRow).order_by(col(FeedRow.number))).scalars())


def tables_of(row: FeedRow) -> FareTables:
    """The tables of a kept feed; raise ``FeedDamaged`` where its files were changed."""
    files = unpack(row.name, row.files)
    if files.sha256 != row.sha256:
        raise FeedDamaged(f"the kept feed {row.number} was changed; restore it from a backup")
    return read_tables(files, date.fromisoformat(row.effective))


def starts(tables: FareTables) -> datetime:
    """The moment the tables come into force."""
    return day_starts(tables.effective.toordinal(), tables.zone)


def pack(files: FeedFiles) -> bytes:
    """The files as a ZIP."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files.data):
            archive.writestr(zipfile.ZipInfo(name, _MADE), files.data[name], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(name: str, packed: bytes) -> FeedFiles:
    """The files again; raise ``FeedDamaged`` where the ZIP cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return FeedFiles(name, {n: archive.read(n) for n in archive.namelist()})
    except zipfile.BadZipFile as error:
        raise FeedDamaged(f"the kept feed {name} cannot be read: {error}") from error
