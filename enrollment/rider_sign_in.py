"""Riders sign in to their own pages: with the pass and a PIN, or with a passkey.

The pass says who, the PIN that it is really they. What says who may be the text of the
pass's code, the number of the pass, or the reference that staff read aloud; none of the
three opens anything without the PIN. How often somebody may guess is the rule for staff
(``models.access.attempts``); a rider's name there is ``rider REFERENCE``, which is no name of
staff, and their address ``riders ADDRESS``, which is not where staff sign in. A sign-in that
fails says one sentence, whatever was wrong.

Sessions of riders are rows of their own, in the riders database, and die with the rider.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask_babel import gettext as _
from sqlmodel import Session, col, delete

from enrollment.pass_keys import public_half, trusted_keys
from enrollment.store import Enrollment
from models.access.attempts import (
    begin_attempt,
    forget_account,
    forget_failures,
    network_of,
)
from models.database import forget_old_pages, reading, writing
from models.errors import FacefareError
from models.tables.riders import Pass, Rider, RiderSession
from models.wire.pass_text import QR_CHARACTERS_MAX, is_pass_text, unpack_pass
from models.wire.passes import PassRefused, check_pass

IDLE_MAX = timedelta(minutes=30)
LIFETIME_MAX = timedelta(hours=12)
PIN_CHARACTERS_MAX = 64
_SEEN_EVERY = timedelta(minutes=1)
_NUMBER = re.compile(r"[A-Za-z0-9_-]{16}")
_OPENS_THE_PAGES = (None, "frozen")
"""A pass revoked for any other reason says nothing about who holds it now."""


class RiderSignInRefused(FacefareError):
    """A sign-in that failed. The message is the same for every reason."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "Not signed in: the pass or the PIN is wrong. After five failures there is a "
                "wait that grows each time. The desk can give you a new PIN."
            )
        )


@dataclass(frozen=True, slots=True)
class SignedInRider:
    """The rider of this request, and the token of their session."""

    rider: Rider
    token: str


def sign_in_by_pin(
    enrollment: Enrollment, pass_text: str, pin: str, address: str | None, now: datetime
) -> str:
    """Check pass and PIN and return the rider's reference; raise ``RiderSignInRefused``."""
    where = riders_at(address)
    rider = rider_of(enrollment, pass_text, now)
    subject = None if rider is None else subject_of(rider.rider_id)
    with writing(enrollment.access) as session:
        may_try = begin_attempt(session, subject, where, now)
    known_hash = None if rider is None or not may_try else rider.pin_hash
    matches = pin_matches(known_hash, pin)
    if rider is None or not may_try or not matches:
        raise RiderSignInRefused
    with writing(enrollment.access) as session:
        forget_failures(session, subject, where, now)
    return rider.rider_id


def confirm_pin(
    enrollment: Enrollment, rider: Rider, pin: str, address: str | None, now: datetime
) -> None:
    """Ask a rider who is signed in once more, before what cannot be undone."""
    sign_in_by_pin(enrollment, rider.rider_id, pin, address, now)


def subject_of(rider_id: str) -> str:
    """How the attempts of a rider are counted."""
    return f"rider {rider_id}"


def riders_at(address: str | None) -> str:
    """How the attempts of all riders at one address are counted, apart from those of staff."""
    return f"riders {network_of(address)}"


def forget_guesses(enrollment: Enrollment, rider_id: str) -> None:
    """Not even how often somebody guessed is kept of a rider who is erased."""
    with writing(enrollment.access) as session:
        forget_account(session, subject_of(rider_id))
    forget_old_pages(enrollment.access)


def pin_matches(pin_hash: str | None, pin: str) -> bool:
    """Compare in about the same time whether or not there is a hash."""
    given = pin.strip()[:PIN_CHARACTERS_MAX].encode(errors="replace")
    try:
        right = PasswordHasher().verify(pin_hash or _nobody_hash(), given)
    except VerificationError:
        return False
    return right and pin_hash is not None


@cache
def _nobody_hash() -> str:
    return PasswordHasher().hash(secrets.token_hex(32))


def rider_of(enrollment: Enrollment, text: str, now: datetime) -> Rider | None:
    """Whose pass, pass number or reference this is; None where nobody can tell.

    It says who, and proves nothing.
    """
    given = text.strip()[: QR_CHARACTERS_MAX + 1]
    with reading(enrollment.riders) as session:
        if is_pass_text(given):
            number = _number_in(enrollment, session, given, now)
            return None if number is None else _holder(session, number)
        if _NUMBER.fullmatch(given):
            return _holder(session, given)
        rider = session.get(Rider, given.lower().replace(" ", ""))
        return None if rider is None or rider.status == "left" else rider


def _number_in(enrollment: Enrollment, session: Session, text: str, now: datetime) -> str | None:
    keys = {key.key_id: public_half(key) for key in trusted_keys(session, now)}
    try:
        return check_pass(unpack_pass(text), keys, enrollment.settings.origin, now).pass_id
    except PassRefused:
        return None


def _holder(session: Session, pass_id: str) -> Rider | None:
    known = session.get(Pass, pass_id)
    if known is None or known.rider_id is None or known.reason not in _OPENS_THE_PAGES:
        return None
    return session.get(Rider, known.rider_id)


def begin_rider_session(enrollment: Enrollment, rider_id: str, now: datetime) -> str:
    """Sign the rider in and return the new session's token; old sessions are swept away."""
    token = secrets.token_urlsafe(32)
    row = RiderSession(token_hash=_hash(token), rider_id=rider_id, started_at=now, seen_at=now)
    with writing(enrollment.riders) as session:
        session.exec(delete(RiderSession).where(col(RiderSession.seen_at) < now - IDLE_MAX))
        session.add(row)
    return token


def find_rider_session(enrollment: Enrollment, token: str, now: datetime) -> SignedInRider | None:
    """The rider of this session, or None where it is over."""
    with reading(enrollment.riders) as session:
        row = session.get(RiderSession, _hash(token))
        if row is None or now - row.seen_at > IDLE_MAX or now - row.started_at > LIFETIME_MAX:
            return None
        rider = session.get(Rider, row.rider_id)
        quiet = now - row.seen_at
        if rider is not None:
            session.expunge(rider)
    if rider is None or rider.status == "left":
        return None
    if quiet > _SEEN_EVERY:
        _touch(enrollment, token, now)
    return SignedInRider(rider, token)


def end_rider_session(enrollment: Enrollment, token: str) -> None:
    """Sign this browser out."""
    with writing(enrollment.riders) as session:
        session.exec(delete(RiderSession).where(col(RiderSession.token_hash) == _hash(token)))


def _touch(enrollment: Enrollment, token: str, now: datetime) -> None:
    with writing(enrollment.riders) as session:
        row = session.get(RiderSession, _hash(token))
        if row is not None:  # signed out meanwhile
            row.seen_at = now
            session.add(row)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
