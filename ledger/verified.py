"""When the log was last verified, and how that ended: kept for the console.

DATA/log/verified   {"at":"2026-11-22T18:49:07.250Z","entries":1200,"trouble":""}

Only a note of the operator's own; whoever wants to be sure verifies.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ledger.kept import replace_file
from ledger.ledger import Ledger
from models.wire.times import TimeFormatError, format_utc, parse_utc


@dataclass(frozen=True, slots=True)
class Verified:
    """When ``facefare ledger verify`` ran last, over how many entries, and what it found."""

    at: datetime
    entries: int
    trouble: str


def keep_verified(ledger: Ledger, entries: int, trouble: str = "") -> None:
    """Remember that the log was verified now; ``trouble`` is empty where all was well."""
    value = {"at": format_utc(ledger.clock()), "entries": entries, "trouble": trouble}
    with suppress(OSError):  # whoever may only read the data directory can still verify
        replace_file(_file(ledger), json.dumps(value))


def last_verified(ledger: Ledger) -> Verified | None:
    """The last time, or None where it never was, or nothing readable says so."""
    try:
        value = json.loads(_file(ledger).read_text(encoding="utf-8"))
        return Verified(parse_utc(value["at"]), int(value["entries"]), str(value["trouble"]))
    except (OSError, ValueError, KeyError, TypeError, TimeFormatError):
        return None  # as good as never: the page says "not yet"


def _file(ledger: Ledger) -> Path:
    return ledger.checkpoint_file.with_name("verified")
