"""Times on the wire: RFC 3339 in UTC with milliseconds, ``2026-11-22T18:49:07.250Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from models.errors import FacefareError


class TimeFormatError(FacefareError, ValueError):
    """A time that is not written the one way this project writes times.

    A ``ValueError`` too, so that a model with such a field reports it among its other faults.
    """


def format_utc(moment: datetime) -> str:
    """Write an aware ``moment``; anything finer than a millisecond is dropped."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be put on the wire")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def parse_utc(text: str) -> datetime:
    """Read what ``format_utc`` wrote; raise ``TimeFormatError`` for every other spelling."""
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
        reason = None
    except (ValueError, TypeError) as error:
        reason = error
    raise TimeFormatError(f"{text!r} is not a time like 2026-11-22T18:49:07.250Z") from reason


# Hour 24 and second 60 are times of day to some, but not spellings of ours.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
)
