"""The start code: how a rider chooses their PIN at home, without staff or a queue looking on.

    k7pm-x3qd        eight letters and digits (2^39), on a paper of the rider's own

It is drawn at the desk, shown once, good once and for two weeks; here lies its argon2id hash.
Whoever has the paper and the reference on it can choose the PIN, so a code that is drawn anew
ends the one before, the PIN before, every session and every passkey: whoever got hold of one
of them is out. Guesses are counted with those at the PIN (``enrollment.rider_sign_in``).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlmodel import Session, col, delete

from enrollment.form import EnrollmentRefused
from enrollment.pins import hash_pin
from enrollment.rider_sign_in import pin_matches, rider_of, riders_at, subject_of
from enrollment.store import Enrollment
from models.access.attempts import begin_attempt, forget_failures
from models.database import reading, writing
from models.errors import FacefareError
from models.tables.riders import Passkey, Rider, RiderSession
from models.tables.riders import StartCode as StartCodeRow

START_PATH = "/me/start"
"""Where on the server the rider uses the code."""
GOOD_FOR = timedelta(days=14)
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # as a reference: nothing that is read two ways
_LENGTH = 8
_BETWEEN = re.compile(r"[\s-]+")


@dataclass(frozen=True, slots=True)
class StartCode:
    """A new code, on its way to the rider's paper and nowhere else."""

    code: str
    until: datetime


class StartRefused(FacefareError):
    """A start that failed. The message is the same for every reason."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "Not started: the reference or the start code is wrong, used, or older than two "
                "weeks. After five failures there is a wait that grows each time. The desk can "
                "give you a new code."
            )
        )


def new_start_code(enrollment: Enrollment, rider_id: str, now: datetime) -> StartCode:
    """Draw a code for this rider; the one before, PIN, sessions and passkeys end."""
    code = "".join(secrets.choice(_ALPHABET) for _place in range(_LENGTH))
    row = StartCodeRow(rider_id=rider_id, code_hash=hash_pin(code), until=now + GOOD_FOR)
    with writing(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            raise EnrollmentRefused(
                _("There is no rider %(reference)s; check the reference.", reference=rider_id)
            )
        _set_pin(session, rider, None)
        session.exec(delete(StartCodeRow).where(col(StartCodeRow.until) < now))
        session.merge(row)
    return StartCode(f"{code[:4]}-{code[4:]}", now + GOOD_FOR)


def choose_pin(
    enrollment: Enrollment, who: str, code: str, pin: str, address: str | None, now: datetime
) -> str:
    """Spend the code, set the PIN and return the rider's reference; raise ``StartRefused``."""
    where, given = riders_at(address), _BETWEEN.sub("", code).lower()
    rider = rider_of(enrollment, who, now)
    subject = None if rider is None else subject_of(rider.rider_id)
    with writing(enrollment.access) as session:
        may_try = begin_attempt(session, subject, where, now)
    known = None if rider is None or not may_try else _good_hash(enrollment, rider.rider_id, now)
    if not pin_matches(known, given) or rider is None:
        raise StartRefused
    with writing(enrollment.riders) as session:
        row, found = session.get(StartCodeRow, rider.rider_id), session.get(Rider, rider.rider_id)
        if row is None or found is None or row.code_hash != known:
            raise StartRefused  # spent or drawn anew meanwhile
        session.delete(row)
        _set_pin(session, found, hash_pin(pin))
    with writing(enrollment.access) as session:
        forget_failures(session, subject, where, now)
    return rider.rider_id


def set_pin(enrollment: Enrollment, rider_id: str, pin: str) -> None:
    """Give the rider the PIN they typed at the desk; sessions, passkeys, a start code end."""
    pin_hash = hash_pin(pin)
    with writing(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            raise EnrollmentRefused(
                _("There is no rider %(reference)s; check the reference.", reference=rider_id)
            )
        session.exec(delete(StartCodeRow).where(col(StartCodeRow.rider_id) == rider_id))
        _set_pin(session, rider, pin_hash)


def _set_pin(session: Session, rider: Rider, pin_hash: str | None) -> None:
    """Whoever is signed in is so no more, nor has a passkey to come back with."""
    rider.pin_hash = pin_hash
    session.add(rider)
    for table in (RiderSession, Passkey):
        session.exec(delete(table).where(col(table.rider_id) == rider.rider_id))


def _good_hash(enrollment: Enrollment, rider_id: str, now: datetime) -> str | None:
    with reading(enrollment.riders) as session:
        row = session.get(StartCodeRow, rider_id)
        return row.code_hash if row is not None and now <= row.until else None
