"""How often somebody may guess before having to wait, longer each time.

Three subjects are counted, in the access database, so that several workers and a restart
count together:

    account NAME          guesses from addresses where NAME has never signed in
    known NAME ADDRESS    guesses from an address where NAME has signed in lately
    address ADDRESS       guesses at any name, known or not, from one address

After the free guesses the subject waits a minute, then two, four, up to an hour; a day
without a failure forgets. A guess is counted *before* the password is looked at and
forgiven when it succeeds, so a thousand at once are still five.

What an address has is halved each hour: one address may be very many people, of a mobile
carrier or on a station's Wi-Fi, and some of them always mistype. Riders are counted by the
same rule under names and addresses of their own (``enrollment.rider_sign_in``), so that
their mistakes keep no member of staff waiting.

The trade: a stranger who keeps guessing can keep a member of staff from signing in at a
*new* address, an hour at a time. They cannot lock anybody out of the addresses where that
person has signed in within 30 days; there, only guesses from that address count. Whoever
must sign in from a new address meanwhile asks an admin for a reset, which also forgets
the account's failures.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete

from models.tables.access import KnownAddress, SignInFailures

FAILURES_MAX = 5
ADDRESS_FAILURES_MAX = 20  # many people may share one address, an office's
LOCKED_FOR = timedelta(seconds=60)
LOCKED_FOR_MAX = timedelta(hours=1)
HALVED_EACH = timedelta(hours=1)
FORGOTTEN_AFTER = timedelta(hours=24)
KNOWN_FOR = timedelta(days=30)
_ADDRESS, _ACCOUNT = "address ", "account "


def network_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def begin_attempt(session: Session, name: str | None, address: str, now: datetime) -> bool:
    """Count one failure in advance on every subject; False where one of them has to wait.

    ``name`` is None for an account that does not exist: only the address is counted, so
    that nobody can fill the database with names.
    """
    session.exec(delete(SignInFailures).where(col(SignInFailures.last_at) < now - FORGOTTEN_AFTER))
    subjects = _subjects(session, name, address, now)
    rows = [
        session.get(SignInFailures, subject) or SignInFailures(subject=subject, last_at=now)
        for subject in subjects
    ]
    if any(row.locked_until is not None and now < row.locked_until for row in rows):
        return False
    for row, free in zip(rows, subjects.values(), strict=True):
        if row.subject.startswith(_ADDRESS):
            _halve(row, now)
        else:
            row.last_at = now
        row.failures += 1
        if row.failures >= free:
            row.locked_until = now + _wait(row.failures - free)
        session.add(row)
    return True


def forgive(session: Session, name: str, address: str, now: datetime) -> None:
    """The attempt of a member of staff succeeded: forget the failures and know the address."""
    forget_failures(session, name, address, now)
    known = session.get(KnownAddress, (name, address))
    known = known or KnownAddress(staff=name, address=address, seen_at=now)
    known.seen_at = now
    session.add(known)
    session.exec(delete(KnownAddress).where(col(KnownAddress.seen_at) < now - KNOWN_FOR))


def forget_failures(session: Session, name: str | None, address: str, now: datetime) -> None:
    """The attempt succeeded: forget the account's failures.

    The address loses only the one failure counted in advance: an own account must not
    buy its owner new guesses at others.
    """
    for subject in _subjects(session, name, address, now):
        row = session.get(SignInFailures, subject)
        if row is None:
            continue
        row.locked_until = None
        row.failures = max(0, row.failures - 1) if subject.startswith(_ADDRESS) else 0
        session.add(row)


def forget_account(session: Session, name: str) -> None:
    """Forget the guesses at this account from addresses where it has never signed in."""
    session.exec(delete(SignInFailures).where(col(SignInFailures.subject) == f"{_ACCOUNT}{name}"))


def _subjects(session: Session, name: str | None, address: str, now: datetime) -> dict[str, int]:
    """The subjects of an attempt, each with its free guesses."""
    subjects = {f"{_ADDRESS}{address}": ADDRESS_FAILURES_MAX}
    if name is not None:
        known = session.get(KnownAddress, (name, address))
        lately = known is not None and known.seen_at >= now - KNOWN_FOR
        subjects[f"known {name} {address}" if lately else f"{_ACCOUNT}{name}"] = FAILURES_MAX
    return subjects


def _halve(row: SignInFailures, now: datetime) -> None:
    """Halve the failures once for each hour; ``last_at`` is when the hour that runs began."""
    hours = max(0, (now - row.last_at) // HALVED_EACH)
    row.failures >>= hours
    row.last_at += hours * HALVED_EACH


def _wait(times_before: int) -> timedelta:
    return min(LOCKED_FOR * (1 << min(times_before, 16)), LOCKED_FOR_MAX)
