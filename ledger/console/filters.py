"""Filters of the queue that members of staff keep: a name and the page's own parameters.

DATA/console/<digest of the name of the member of staff>.json   {"Fees": "kind=fee&owner=finance"}

They are a convenience and no part of the books, so they lie beside the database.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlencode

from ledger.kept import replace_file
from ledger.ledger import Ledger
from models.errors import FacefareError

FIELDS = ("state", "kind", "owner", "severity", "age", "currency", "q")
"""What the queue can be filtered by."""

_NAME_MAX = 60
_KEPT_MAX = 30


class FilterRefused(FacefareError):
    """A filter that cannot be kept."""


def data_folder(ledger: Ledger) -> Path:
    """The data directory of an open ledger."""
    return ledger.checkpoint_file.parents[1]


def saved_filters(ledger: Ledger, staff: str) -> dict[str, str]:
    """The filters of a member of staff by name."""
    try:
        found = json.loads(_file(ledger, staff).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # none were kept, or the file was damaged: they are made again in a minute
    return {str(name): str(query) for name, query in found.items()}


def save_filter(ledger: Ledger, staff: str, name: str, asked: dict[str, str]) -> None:
    """Keep the filter ``asked`` under ``name``, in place of one that had the name."""
    name = name.strip()
    if not 1 <= len(name) <= _NAME_MAX or not name.isprintable():
        raise FilterRefused(f"a filter's name has 1 to {_NAME_MAX} characters")
    kept = saved_filters(ledger, staff)
    if name not in kept and len(kept) >= _KEPT_MAX:
        raise FilterRefused(f"{_KEPT_MAX} filters are kept already; delete one first")
    wanted = {field: asked[field] for field in FIELDS if asked.get(field)}
    _write(ledger, staff, {**kept, name: urlencode(wanted)})


def forget_filter(ledger: Ledger, staff: str, name: str) -> None:
    """Keep the filter ``name`` no longer."""
    kept = saved_filters(ledger, staff)
    _write(ledger, staff, {other: query for other, query in kept.items() if other != name})


def _write(ledger: Ledger, staff: str, filters: dict[str, str]) -> None:
    path = _file(ledger, staff)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, json.dumps(filters, ensure_ascii=False))


def _file(ledger: Ledger, staff: str) -> Path:
    digest = hashlib.sha256(staff.encode()).hexdigest()[:32]
    return data_folder(ledger) / "console" / f"{digest}.json"
