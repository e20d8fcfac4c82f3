"""The keys that sign passes; they are not the one that signs galleries.

The key can be changed at any time: the retired one is trusted until the last pass it signed
has expired, unless it was lost. The private half lies in the riders database, sealed under
a data key of the vault, and is deleted when the key retires.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Engine as Database
from sqlmodel import Session, col, select

from enrollment.gallery import move_gallery_version
from models.database import writing
from models.tables.riders import PassKey
from models.vault import Vault, seal, unseal
from models.wire.keys import key_id, raw_public

VALID_FOR = timedelta(days=365)
"""How long a pass is good, and so how long the key that signed the last one is trusted."""

_KEYS_IN_VAULT = "pass keys"


def trusted_keys(session: Session, now: datetime) -> list[PassKey]:
    """The keys whose passes are good at ``now``, the one that signs first."""
    rows = session.exec(select(PassKey).order_by(col(PassKey.made_at).desc())).all()
    return [key for key in rows if key.trusted_until is None or key.trusted_until > now]


def rotate_pass_key(riders: Database, vault: Vault, now: datetime, *, lost: bool = False) -> str:
    """Sign passes with a new key from now on; return its id.

    The old one stays trusted until its last pass has expired. If it was ``lost``, it is not
    trusted any more, and every pass it signed has to be replaced.
    """
    with writing(riders) as session:
        for old in trusted_keys(session, now):
            if lost or old.trusted_until is None:
                old.trusted_until = now if lost else now + VALID_FOR
            old.sealed = None
            session.add(old)
        session.flush()
        return key_id(_make_key(vault, session, now).public_key())


def signing_key(vault: Vault, session: Session, now: datetime) -> Ed25519PrivateKey:
    for key in trusted_keys(session, now):
        if key.sealed is not None:
            wrapping = vault.key(_KEYS_IN_VAULT)
            return Ed25519PrivateKey.from_private_bytes(unseal(wrapping, key.sealed, key.key_id))
    return _make_key(vault, session, now)


def _make_key(vault: Vault, session: Session, now: datetime) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    name = key_id(key.public_key())
    wrapping = vault.create(_KEYS_IN_VAULT)
    session.add(
        PassKey(
            key_id=name,
            public_key=raw_public(key.public_key()),
            sealed=seal(wrapping, key.private_bytes_raw(), name),
            made_at=now,
        )
    )
    move_gallery_version(session)
    return key


def public_half(key: PassKey) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key.public_key)
