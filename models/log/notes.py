"""Signed notes and checkpoints (C2SP ``signed-note`` and ``tlog-checkpoint``).

A checkpoint says how long a log is and what its root is, and is signed by the log's key:

    fares.example/city
    3
    m9xq0P2hRmQ0vTzGQ7m0l6y3yqf8o3b0n1c0mJv1s2w=

    — fares.example/city AbCdEfGh…base64 of key id and signature…

The first line is the log's *origin*, a name without a scheme. The key id is the first
four bytes of SHA-256(name || 0x0A || 0x01 || public key); 0x01 stands for Ed25519.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from models.errors import FacefareError
from models.wire.keys import raw_public

_DASH = "\N{EM DASH}"
_ED25519 = b"\x01"


class NoteRefused(FacefareError):
    """A note or checkpoint that is malformed, or not signed by the expected key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size (number of entries) and root (32 bytes) of the log named ``origin``."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


def note_key_id(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a signature line names its key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw_public(key)).digest()[:4]


def verifier_key(name: str, key: Ed25519PublicKey) -> str:
    """The key as other C2SP tools take it: ``name+hash+base64(0x01 || key)``."""
    encoded = base64.b64encode(_ED25519 + raw_public(key)).decode("ascii")
    return f"{name}+{note_key_id(name, key).hex()}+{encoded}"


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Return the checkpoint as a signed note."""
    body = checkpoint.body()
    signature = note_key_id(checkpoint.origin, key.public_key()) + key.sign(body.encode())
    line = f"{_DASH} {checkpoint.origin} {base64.b64encode(signature).decode('ascii')}"
    return f"{body}\n{line}\n"


def check_checkpoint(note: str, origin: str, key: Ed25519PublicKey) -> Checkpoint:
    """Verify a checkpoint of the log ``origin`` and return it; raise ``NoteRefused`` otherwise.

    Signatures by other keys (witnesses) are passed over, as the format asks.
    """
    body, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise NoteRefused("the checkpoint is not a signed note: its signatures are missing")
    body += "\n"
    checkpoint = _parse_body(body)
    if checkpoint.origin != origin:
        raise NoteRefused(f"the checkpoint is of the log {checkpoint.origin!r}, not {origin!r}")
    wanted = note_key_id(origin, key)
    for line in signatures.splitlines():
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != _DASH or not name or not encoded:
            raise NoteRefused("the checkpoint has a signature line that cannot be read")
        signature = _decode(encoded)
        if name != origin or signature[:4] != wanted:
            continue
        try:
            key.verify(signature[4:], body.encode())
        except InvalidSignature as error:
            raise NoteRefused("the checkpoint's signature does not verify") from error
        return checkpoint
    raise NoteRefused("the checkpoint is not signed by this log's key")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteRefused("the checkpoint holds text that is not base64") from error


def _parse_body(body: str) -> Checkpoint:
    lines = body.split("\n")
    if len(lines) < 4 or not lines[0] or lines[-1]:
        raise NoteRefused("the checkpoint has fewer than three lines")
    size_text, root = lines[1], _decode(lines[2])
    if not (size_text.isascii() and size_text.isdigit()) or str(int(size_text)) != size_text:
        raise NoteRefused(f"the checkpoint's size {size_text!r} is not a plain whole number")
    if len(root) != hashlib.sha256().digest_size:
        raise NoteRefused("the checkpoint's root is not 32 bytes")
    if len(lines) > 4:
        raise NoteRefused("the checkpoint carries extension lines, which this log never writes")
    return Checkpoint(lines[0], int(size_text), root)
