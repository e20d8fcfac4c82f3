"""Cases: why a member of staff looks at a rider, asked once and remembered for ten minutes.

The reason comes from a short list, with a note where it says too little. It goes into the
access log with every look, in the words the rider will read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from sqlalchemy import Engine as Database
from sqlmodel import col, delete

from models.database import reading, writing
from models.errors import FacefareError
from models.tables.access_log import OpenCase

REMEMBERED_FOR = timedelta(minutes=10)
NOTE_CHARACTERS_MAX = 200

REASONS: dict[str, LazyString] = {
    "question": _l("The rider is here and asks something"),
    "change": _l("The rider wants something changed"),
    "lost": _l("A pass was lost or a face is not recognised"),
    "complaint": _l("A complaint or a wrong charge"),
    "erasure": _l("The rider takes the consent back"),
    "check": _l("A check of our own work"),
    "other": _l("Something else (write what)"),
}
ENROLLED_NOW = "enrollment"
LOOKS_ALIKE = "duplicate"
TWIN = "twin"
_OWN_REASONS: dict[str, LazyString] = {
    ENROLLED_NOW: _l("The rider was just enrolled"),
    LOOKS_ALIKE: _l("A face that was to be enrolled looks like this rider"),
    TWIN: _l("Staff said that the other face is somebody else's"),
}

_PAGES: dict[str, LazyString] = {
    "search": _l("found in a search"),
    "rider": _l("record opened"),
    "help": _l("standing and rides looked at by the service desk"),
    "enroll": _l("named while another face was enrolled"),
    "renewals": _l("listed as to be photographed anew"),
    "pass": _l("pass issued or revoked"),
    "medium": _l("way of riding changed"),
    "category": _l("fare category looked at or changed"),
    "stations": _l("stations looked at or changed"),
    "photos": _l("new photos"),
    "freeze": _l("frozen or let ride again"),
    "pin": _l("new PIN"),
    "erase": _l("erased"),
}


class NoReason(FacefareError):
    """A look at a rider for which no usable reason was given."""


@dataclass(frozen=True, slots=True)
class Case:
    """Why: one of ``REASONS``, and what the member of staff wrote beside it."""

    reason: str
    note: str = ""


def read_case(reason: str, note: str) -> Case:
    """Check what was chosen and written; raise ``NoReason`` with what to do."""
    tidy = " ".join(note.split())
    if reason not in REASONS:
        raise NoReason(_("Choose why you look at the rider's record."))
    if reason == "other" and not tidy:
        raise NoReason(_("Write why you look at the rider's record."))
    if len(tidy) > NOTE_CHARACTERS_MAX or not tidy.isprintable():
        raise NoReason(_("Write at most %(max)s characters.", max=NOTE_CHARACTERS_MAX))
    return Case(reason, tidy)


def reason_words(reason: str) -> str:
    """The reason in the language of the request."""
    return str(REASONS.get(reason) or _OWN_REASONS.get(reason, reason))


def page_words(page: str) -> str:
    """What was shown, in the language of the request."""
    return str(_PAGES.get(page, page))


def open_cases(
    riders: Database, staff: str, rider_ids: Iterable[str], case: Case, now: datetime
) -> None:
    """Remember why ``staff`` looks at these riders; old cases are swept away."""
    with writing(riders) as session:
        session.exec(delete(OpenCase).where(col(OpenCase.until) < now))
        for rider_id in rider_ids:
            session.merge(
                OpenCase(
                    staff=staff,
                    rider_id=rider_id,
                    reason=case.reason,
                    note=case.note,
                    until=now + REMEMBERED_FOR,
                )
            )


def case_for(riders: Database, staff: str, rider_id: str, now: datetime) -> Case | None:
    """Why ``staff`` looks at this rider, or None: then they have to be asked."""
    with reading(riders) as session:
        found = session.get(OpenCase, (staff, rider_id))
        if found is None or now > found.until:
            return None
        return Case(found.reason, found.note)
