"""One-time codes (TOTP, RFC 6238) and their secrets, sealed under a key outside the database.

Whoever copies the access database alone cannot make one-time codes from it. The account's
name is authenticated with the secret, so one account's secret is of no use in another row.
"""

from __future__ import annotations

from datetime import datetime
from hmac import compare_digest
from pathlib import Path

import pyotp

from models.errors import FacefareError
from models.vault import KEY_BYTES, seal, unseal

_STEP_S = 30
_STEPS_OFF_MAX = 1  # how far a telephone's clock may be off, in steps of 30 s


class StaffKeyMissing(FacefareError):
    """The key that seals one-time-code secrets cannot be used."""


def read_key(path: Path) -> bytes:
    """The sealing key in the file at ``path``; raise ``StaffKeyMissing`` where it is unusable."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise StaffKeyMissing(
            f"the key {path} cannot be read, so nobody can sign in: {error}"
        ) from error
    if len(key) != KEY_BYTES:
        raise StaffKeyMissing(f"the key {path} is not {KEY_BYTES} bytes long; restore it")
    return key


def new_secret() -> str:
    """A secret for a new authenticator: 160 bits in base32."""
    return pyotp.random_base32()


def seal_secret(key: bytes, name: str, secret: str) -> bytes:
    """Seal ``secret`` for the account ``name``."""
    return seal(key, secret.encode(), f"totp {name}")


def unseal_secret(key: bytes, name: str, sealed: bytes) -> str:
    """What ``seal_secret`` sealed; raise ``VaultError`` for another key, name or value."""
    return unseal(key, sealed, f"totp {name}").decode()


def provisioning_uri(name: str, secret: str) -> str:
    """The address an authenticator app reads, from a QR code or typed."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Facefare")


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, or None; one step off is forgiven."""
    totp = pyotp.TOTP(secret, interval=_STEP_S)
    given = "".join(code.split()).encode()
    current = int(now.timestamp()) // _STEP_S
    for step in range(current - _STEPS_OFF_MAX, current + _STEPS_OFF_MAX + 1):
        if compare_digest(totp.generate_otp(step).encode(), given):
            return step
    return None
