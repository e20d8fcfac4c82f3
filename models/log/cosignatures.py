"""Cosignatures: a witness says that it saw this checkpoint, and none that contradicts it.

C2SP ``tlog-cosignature``, Ed25519. The line is one more signature under the log's own:

    — witness.example/w1 jWbPPwAAAABkGFDL…base64 of key id, time and signature…

What is signed is the time in seconds and the checkpoint's text:

    cosignature/v1
    time 1679315147
    fares.example/city
    3
    m9xq0P2hRmQ0vTzGQ7m0l6y3yqf8o3b0n1c0mJv1s2w=

The key id is made with type 0x04, so a cosigning key is never taken for a log's key. One
key belongs to one witness: the signed text does not name it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from models.log.notes import (
    NoteRefused,
    Signature,
    note_key_id,
    parse_verifier_key,
    verifier_key,
)

COSIGNATURE = b"\x04"
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's name and public key."""

    name: str
    key: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> Cosigner:
        """Read ``name+hash+base64(0x04 || key)``; raise ``NoteRefused`` for anything else."""
        return cls(*parse_verifier_key(text, COSIGNATURE))

    @property
    def key_id(self) -> bytes:
        """The four bytes by which its signature lines name the key."""
        return note_key_id(self.name, self.key, COSIGNATURE)

    def text(self) -> str:
        """The key as it is given to logs."""
        return verifier_key(self.name, self.key, COSIGNATURE)


def cosign(body: str, name: str, key: Ed25519PrivateKey, time_s: int) -> Signature:
    """The cosignature of the checkpoint with the text ``body`` at ``time_s`` (POSIX)."""
    key_id = note_key_id(name, key.public_key(), COSIGNATURE)
    signature = time_s.to_bytes(_TIME_BYTES, "big") + key.sign(_message(body, time_s))
    return Signature(name, key_id, signature)


def find_cosignature(
    body: str, signatures: Iterable[Signature], by: Cosigner
) -> tuple[Signature, int]:
    """The cosignature of ``body`` made ``by`` this witness, and its time.

    Lines of other keys are passed over. Raises ``NoteRefused`` where there is none, and
    where its own line does not verify.
    """
    for signature in signatures:
        if (signature.name, signature.key_id) == (by.name, by.key_id):
            return signature, _check(body, signature.signature, by)
    raise NoteRefused(f"there is no cosignature of the witness {by.name}")


def _check(body: str, signed: bytes, by: Cosigner) -> int:
    time_s = int.from_bytes(signed[:_TIME_BYTES], "big")
    try:
        by.key.verify(signed[_TIME_BYTES:], _message(body, time_s))
    except InvalidSignature as error:
        raise NoteRefused(f"the cosignature of {by.name} does not verify") from error
    if time_s >= 2**63:
        raise NoteRefused(f"the cosignature of {by.name} is of no time at all")
    return time_s


def _message(body: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{body}".encode()
