"""Signed notes and checkpoints (C2SP ``signed-note`` and ``tlog-checkpoint``).

A checkpoint says how long a log is and what its root is, and is signed by the log's key:

    fares.example/city
    3
    m9xq0P2hRmQ0vTzGQ7m0l6y3yqf8o3b0n1c0mJv1s2w=

    — fares.example/city AbCdEfGh…base64 of key id and signature…

The first line is the log's *origin*, a name without a scheme. The key id is the first
four bytes of SHA-256(name || 0x0A || type || public key); type 0x01 stands for Ed25519.
Witnesses add lines of their own (``models.log.cosignatures``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from models.errors import FacefareError
from models.wire.keys import raw_public

ED25519 = b"\x01"
NOTE_CHARS_MAX = 16_384
_DASH = "\N{EM DASH}"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


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


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: who, with which key (by its id of four bytes), and the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line, with its end."""
        encoded = base64.b64encode(self.key_id + self.signature).decode("ascii")
        return f"{_DASH} {self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart; nothing in it is verified yet."""

    body: str
    signatures: tuple[Signature, ...]


def note_key_id(name: str, key: Ed25519PublicKey, kind: bytes = ED25519) -> bytes:
    """The four bytes by which a signature line names its key."""
    return hashlib.sha256(name.encode() + b"\n" + kind + raw_public(key)).digest()[:4]


def verifier_key(name: str, key: Ed25519PublicKey, kind: bytes = ED25519) -> str:
    """The key as other C2SP tools take it: ``name+hash+base64(kind || key)``."""
    encoded = base64.b64encode(kind + raw_public(key)).decode("ascii")
    return f"{name}+{note_key_id(name, key, kind).hex()}+{encoded}"


def parse_verifier_key(text: str, kind: bytes = ED25519) -> tuple[str, Ed25519PublicKey]:
    """The name and the key that ``verifier_key`` wrote; raise ``NoteRefused`` otherwise."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = _decode(encoded, "the key")
    if not is_key_name(name) or len(raw) != 33:
        raise NoteRefused(f"{text[:80]!r} is not a key of the form name+hash+base64")
    if raw[:1] != kind:
        raise NoteRefused(f"the key of {name} is of type {raw[0]}, not {kind[0]}")
    key = Ed25519PublicKey.from_public_bytes(raw[1:])
    if note_key_id(name, key, kind).hex() != key_id:
        raise NoteRefused(f"the hash in the key of {name} does not fit the key; copy it again")
    return name, key


def is_key_name(name: str) -> bool:
    """Whether a signature line can carry this name."""
    return bool(name) and name.isprintable() and not re.search(r"[\s+]", name)


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Return the checkpoint as a signed note."""
    body, name = checkpoint.body(), checkpoint.origin
    signed = Signature(name, note_key_id(name, key.public_key()), key.sign(body.encode()))
    return f"{body}\n{signed.line()}"


def parse_note(note: str) -> Note:
    """Take a note apart; raise ``NoteRefused`` unless it is written the one way."""
    if len(note) > NOTE_CHARS_MAX or _CONTROL.search(note):
        raise NoteRefused("this is not a signed note: it is too long or holds control characters")
    body, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteRefused("the checkpoint is not a signed note: its signatures are missing")
    return Note(f"{body}\n", tuple(map(parse_signature, lines[:-1].split("\n"))))


def parse_signature(line: str) -> Signature:
    """Read a signature line without its end; raise ``NoteRefused`` for anything else."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != _DASH or not is_key_name(name) or not encoded:
        raise NoteRefused("the checkpoint has a signature line that cannot be read")
    raw = _decode(encoded, "a signature")
    return Signature(name, raw[:4], raw[4:])


def check_checkpoint(note: str, origin: str, key: Ed25519PublicKey) -> Checkpoint:
    """Verify a checkpoint of the log ``origin`` and return it; raise ``NoteRefused`` otherwise.

    Signatures by other keys (witnesses) are passed over, as the format asks.
    """
    parsed = parse_note(note)
    checkpoint = parse_checkpoint(parsed.body)
    if checkpoint.origin != origin:
        raise NoteRefused(f"the checkpoint is of the log {checkpoint.origin!r}, not {origin!r}")
    wanted = note_key_id(origin, key)
    for signature in parsed.signatures:
        if signature.name != origin or signature.key_id != wanted:
            continue
        try:
            key.verify(signature.signature, parsed.body.encode())
        except InvalidSignature as error:
            raise NoteRefused("the checkpoint's signature does not verify") from error
        return checkpoint
    raise NoteRefused("the checkpoint is not signed by this log's key")


def parse_checkpoint(body: str) -> Checkpoint:
    """Read the text of a checkpoint, which nobody has verified yet."""
    lines = body.split("\n")
    if len(lines) < 4 or not lines[0] or lines[-1]:
        raise NoteRefused("the checkpoint has fewer than three lines")
    size, root = parse_size(lines[1]), _decode(lines[2], "the checkpoint's root")
    if len(root) != hashlib.sha256().digest_size:
        raise NoteRefused("the checkpoint's root is not 32 bytes")
    if len(lines) > 4:
        raise NoteRefused("the checkpoint carries extension lines, which this log never writes")
    return Checkpoint(lines[0], size, root)


def parse_size(text: str) -> int:
    """Read the size of a log as C2SP formats write it: decimal, no leading zeros."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text):
        raise NoteRefused(f"the checkpoint's size {text[:40]!r} is not a plain whole number")
    return int(text)


def _decode(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteRefused(f"{what} is not base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise NoteRefused(f"{what} is base64 with stray bits")
    return data
