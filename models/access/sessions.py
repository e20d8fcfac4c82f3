"""Sessions of staff, kept by the server: a row for each browser, gone when it is signed out.

The browser holds a random token, the database its hash. Roles are read with the session
at every request, so that a change of roles or a disabled account counts at once.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlmodel import col, delete

from models.access.staff import SignedIn
from models.database import reading, writing
from models.tables.access import Staff, StaffSession

IDLE_MAX = timedelta(minutes=30)
LIFETIME_MAX = timedelta(hours=12)
CONFIRMED_FOR = timedelta(minutes=5)
_SEEN_EVERY = timedelta(minutes=1)  # not every page needs a write


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that is good now, and until when its owner counts as freshly confirmed."""

    token: str
    staff: SignedIn
    confirmed_until: datetime


def begin_session(database: Engine, name: str, now: datetime) -> str:
    """Sign ``name`` in and return the new session's token; old sessions are swept away."""
    token = secrets.token_urlsafe(32)
    with writing(database) as session:
        session.exec(delete(StaffSession).where(col(StaffSession.seen_at) < now - IDLE_MAX))
        session.add(
            StaffSession(
                token_hash=_hash(token), staff=name, started_at=now, seen_at=now, confirmed_at=now
            )
        )
    return token


def find_session(database: Engine, token: str, now: datetime) -> LiveSession | None:
    """The session of this token, or None where it is over."""
    with reading(database) as session:
        row = session.get(StaffSession, _hash(token))
        if row is None or now - row.seen_at > IDLE_MAX or now - row.started_at > LIFETIME_MAX:
            return None
        staff = session.get(Staff, row.staff)
        if staff is None or staff.disabled_at is not None:
            return None
        signed_in = SignedIn(staff.name, frozenset(staff.roles.split()), staff.language)
        live = LiveSession(token, signed_in, row.confirmed_at + CONFIRMED_FOR)
        quiet = now - row.seen_at
    if quiet > _SEEN_EVERY:
        _touch(database, token, now)
    return live


def confirm_session(database: Engine, token: str, now: datetime) -> None:
    """The owner has shown a fresh one-time code."""
    with writing(database) as session:
        row = session.get(StaffSession, _hash(token))
        if row is not None:
            row.confirmed_at = row.seen_at = now
            session.add(row)


def end_session(database: Engine, token: str) -> None:
    """Sign this browser out."""
    with writing(database) as session:
        session.exec(delete(StaffSession).where(col(StaffSession.token_hash) == _hash(token)))


def _touch(database: Engine, token: str, now: datetime) -> None:
    with writing(database) as session:
        row = session.get(StaffSession, _hash(token))
        if row is not None:  # signed out meanwhile
            row.seen_at = now
            session.add(row)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
