"""Where activated feeds are kept: one directory per feed, whole or not there at all.

    fares/2026-01-05-1f0c9a…/feed/*.txt, manifest.json

A feed is checked, written beside the others under a hidden name, and renamed into place: that
rename is the activation. A feed that is refused leaves everything as it was, and no feed is
ever removed, for journeys made under it may still be re-rated.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import date
from pathlib import Path

from ledger.fares.book import FareBook
from ledger.fares.feedfiles import FeedFiles, read_files
from ledger.fares.gtfs import OPTIONAL, REQUIRED, feed_files, read_tables
from ledger.fares.ownfiles import FILES
from ledger.fares.problems import FareError
from ledger.fares.tables import FareTables

MANIFEST = "manifest.json"


class ShelfDamaged(FareError):
    """A kept feed is not what its manifest says."""


def activate(shelf: Path, feed: Path, effective: date, own: Path | None = None) -> FareTables:
    """Check ``feed`` and keep it, in force from the service day ``effective``.

    Raises ``FeedUnreadable``, ``FeedRefused`` or, where the book would mix currencies or time
    zones, ``NoFares``; the shelf is then as before. The same feed from the same day again
    changes nothing.
    """
    files = feed_files(feed, own)
    tables = read_tables(files, effective)
    FareBook.of(*kept(shelf), tables)
    place = shelf / f"{effective.isoformat()}-{tables.sha256[:16]}"
    if not place.exists():
        _write(shelf, place, files, effective)
    return tables


def _write(shelf: Path, place: Path, files: FeedFiles, effective: date) -> None:
    shelf.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=".incoming-", dir=shelf))
    try:
        (hidden / "feed").mkdir()
        for name, body in files.data.items():
            _write_durably(hidden / "feed" / name, body)
        manifest = {
            "effective": effective.isoformat(),
            "name": files.name,
            "number": len(_places(shelf)) + 1,
            "sha256": files.sha256,
        }
        _write_durably(hidden / MANIFEST, json.dumps(manifest, indent=1).encode())
        hidden.rename(place)
        _sync(shelf)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)  # gone already where the rename succeeded


def _write_durably(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def kept(shelf: Path) -> list[FareTables]:
    """The tables of every kept feed, in the order of their days and then of their activation."""
    manifests = {place: json.loads((place / MANIFEST).read_text()) for place in _places(shelf)}
    order = sorted(manifests, key=lambda p: (manifests[p]["effective"], manifests[p]["number"]))
    return [_read(place) for place in order]


def _places(shelf: Path) -> list[Path]:
    return sorted(path.parent for path in shelf.glob(f"[!.]*/{MANIFEST}"))


def _read(place: Path) -> FareTables:
    manifest = json.loads((place / MANIFEST).read_text())
    found = read_files(place / "feed", (*REQUIRED, *OPTIONAL, *FILES))
    files = FeedFiles(manifest["name"], found.data)
    if files.sha256 != manifest["sha256"]:
        raise ShelfDamaged(f"the feed kept in {place} was changed; restore it from a backup")
    return read_tables(files, date.fromisoformat(manifest["effective"]))


def open_book(shelf: Path) -> FareBook:
    """The book of all kept feeds; raise ``NoFares`` where there is none."""
    return FareBook.of(*kept(shelf))
