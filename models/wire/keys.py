"""Ed25519 keys: made once, kept in a file that only its owner can read, named by a hash.

A key's id is its RFC 7638 thumbprint, so two parties that hold the same public key agree
on its name without asking anyone.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from models.errors import FacefareError
from models.wire.canonical import canonical_bytes

PrivateKey = Ed25519PrivateKey | X25519PrivateKey
PublicKey = Ed25519PublicKey | X25519PublicKey


class KeyFileError(FacefareError):
    """A key file is missing, unreadable or holds another kind of key."""


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def raw_public(key: PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """The key as a JWK (RFC 8037) with its thumbprint as ``kid``."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": base64url(raw_public(key))}
    return {**jwk, "kid": base64url(hashlib.sha256(canonical_bytes(jwk)).digest())}


def key_id(key: Ed25519PublicKey) -> str:
    """The RFC 7638 thumbprint: base64url of SHA-256 over the key's required members."""
    return public_jwk(key)["kid"]


def write_private_file(path: Path, data: bytes) -> None:
    """Create ``path`` readable by its owner only; an existing file is never overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def save_private_key(path: Path, key: PrivateKey) -> None:
    """Write ``key`` as unencrypted PKCS #8 PEM, mode 0600."""
    write_private_file(
        path,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _load(path: Path) -> object:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise KeyFileError(f"the key file {path} is missing; restore it from a backup") from error
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"the key file {path} cannot be read: {error}") from error


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read an Ed25519 private key; raise ``KeyFileError`` with what is wrong."""
    key = _load(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"the key file {path} does not hold an Ed25519 key")
    return key


def load_box_key(path: Path) -> X25519PrivateKey:
    """Read an X25519 private key; raise ``KeyFileError`` with what is wrong."""
    key = _load(path)
    if not isinstance(key, X25519PrivateKey):
        raise KeyFileError(f"the key file {path} does not hold an X25519 key")
    return key


def from_base64url(text: str) -> bytes:
    """Read unpadded base64url; raise ``KeyFileError`` for anything else."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{text!r} is not base64url") from error
