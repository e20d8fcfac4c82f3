"""Staff accounts: password (argon2id) and a one-time code (TOTP), with a lock after failures."""

from __future__ import annotations

from dataclasses import dataclass

ROLES = ("enroller", "service", "finance", "auditor", "admin")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member of staff who has shown password and one-time code."""

    name: str
    roles: frozenset[str]
