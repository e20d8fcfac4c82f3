"""Read a CSV file by the names of its columns, so that added columns change nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from ledger.reconcile.statements.lines import LINES_MAX, LineFault, StatementRefused

Row = dict[str, str]


def decode_text(data: bytes) -> str:
    """The text of a file; UTF-8, with or without a byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise StatementRefused([(line, "it is not text in UTF-8")]) from error


def header_of(data: bytes) -> frozenset[str]:
    """The names of the first line, to tell which profile a file is of."""
    first = data[:65_536].split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    try:
        return frozenset(name.strip() for name in next(csv.reader([first]), []))
    except csv.Error:
        return frozenset()


def rows_of(text: str, needed: frozenset[str]) -> Iterator[tuple[int, Row | str]]:
    """Each row with its line number, or the sentence that says why it is none."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise StatementRefused([(1, f"it is not CSV: {error}")]) from error
    missing = sorted(needed - set(names))
    if missing:
        raise StatementRefused([(1, f"the columns {', '.join(missing)} are missing")])
    if len(set(names)) != len(names):
        raise StatementRefused([(1, "two columns have the same name")])
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield start, f"it is not CSV: {error}"
            return
        if cells is None:
            return
        if start > LINES_MAX:
            raise StatementRefused([(start, f"a statement has at most {LINES_MAX} lines")])
        if not cells:
            continue
        if len(cells) != len(names):
            yield start, f"it has {len(cells)} values for {len(names)} columns"
        else:
            yield start, dict(zip(names, cells, strict=True))


@lru_cache(maxsize=4096)
def local_day(written: str, zone: ZoneInfo) -> str:
    """The day of the books of a time in UTC, ``2026-11-22 18:49:07`` or with T and Z."""
    try:
        moment = datetime.fromisoformat(written.strip().removesuffix("Z"))
    except ValueError as error:
        raise LineFault(f"{written!r} is not a time like 2026-11-22 18:49:07") from error
    if moment.tzinfo is not None:
        raise LineFault(f"{written!r} is not a time in UTC")
    return moment.replace(tzinfo=UTC).astimezone(zone).date().isoformat()


@lru_cache(maxsize=4096)
def plain_day(written: str) -> str:
    """A day as it stands, ``2026-11-22``."""
    try:
        found = date.fromisoformat(written.strip())
    except ValueError as error:
        raise LineFault(f"{written!r} is not a day like 2026-11-22") from error
    return found.isoformat()
