"""Recovery codes: ten slips of paper for the day the authenticator is lost.

    4-k7mq-x2fp-9dha      the code's number, then 12 characters out of 31 (59 bits)

The number picks the row, so that a guess costs one argon2id hash and not ten. A code is
good once; making new ones voids the old.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlmodel import Session, col, delete, select

from models.tables.access import RecoveryCode

CODES = 10
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0/o, 1/i/l
# A code is 59 random bits, which no hash has to slow down as it does a chosen password.
_HASHER = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)  # KiB
_CODE = re.compile(rf"([0-9])([{_ALPHABET}]{{12}})")


@dataclass(frozen=True, slots=True)
class DrawnCodes:
    """New codes in the clear, to be shown once, and the hashes to be kept."""

    codes: tuple[str, ...]
    hashes: tuple[str, ...]


def draw_codes() -> DrawnCodes:
    """Draw and hash new codes: slow work, to be done before a transaction begins."""
    secrets_drawn = ["".join(secrets.choice(_ALPHABET) for _ in range(12)) for _ in range(CODES)]
    return DrawnCodes(
        tuple(f"{n}-{s[:4]}-{s[4:8]}-{s[8:]}" for n, s in enumerate(secrets_drawn)),
        tuple(map(_HASHER.hash, secrets_drawn)),
    )


def keep_codes(session: Session, name: str, drawn: DrawnCodes) -> None:
    """Replace the recovery codes of ``name``."""
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.staff) == name))
    for number, code_hash in enumerate(drawn.hashes):
        session.add(RecoveryCode(staff=name, number=number, code_hash=code_hash))


def codes_left(session: Session, name: str) -> int:
    """How many codes of ``name`` are unused."""
    unused = select(RecoveryCode).where(
        RecoveryCode.staff == name, col(RecoveryCode.used_at).is_(None)
    )
    return len(session.exec(unused).all())


def read_code(given: str) -> tuple[int, str] | None:
    """(number, secret) where ``given`` has the form of a recovery code, else None."""
    match = _CODE.fullmatch("".join(given.lower().split()).replace("-", ""))
    return None if match is None else (int(match[1]), match[2])


def matches(code_hash: str, secret: str) -> bool:
    """Whether ``secret`` is the one that was hashed."""
    try:
        return _HASHER.verify(code_hash, secret)
    except VerifyMismatchError:
        return False


def spend_code(session: Session, name: str, number: int, code_hash: str, now: datetime) -> bool:
    """Mark the code used; False where it was used or replaced meanwhile."""
    row = session.get(RecoveryCode, (name, number))
    if row is None or row.used_at is not None or row.code_hash != code_hash:
        return False
    row.used_at = now
    session.add(row)
    return True
