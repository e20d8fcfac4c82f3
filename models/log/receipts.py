"""A receipt: one text file that shows, without us, that an entry is in the log.

It is a C2SP ``tlog-proof`` whose ``extra`` line carries the entry's exact bytes:

    c2sp.org/tlog-proof@v1
    extra eyJhbW91bnQiOnsi…
    index 2
    7x0k…the sibling hashes from the leaf to the root, one per line…

    fares.example/city
    3
    m9xq0P2hRmQ0vTzGQ7m0l6y3yqf8o3b0n1c0mJv1s2w=

    — fares.example/city AbCdEfGh…

Whoever holds the log's public key can check it: the bytes hash to a leaf, the leaf leads
to the root, the root is signed. ``docs/verify/verify_facefare.py`` does it in one file.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from models.log.notes import Checkpoint, check_checkpoint
from models.log.proofs import ProofRefused, check_inclusion
from models.log.tree import leaf_hash

_HEADER = "c2sp.org/tlog-proof@v1"
_PROOF_HASHES_MAX = 64


@dataclass(frozen=True, slots=True)
class Receipt:
    """An entry's bytes, its place, the path to the root, and the signed checkpoint."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    def text(self) -> str:
        """The receipt as a file."""
        hashes = "".join(f"{_encode(value)}\n" for value in self.path)
        head = f"{_HEADER}\nextra {_encode(self.entry)}\nindex {self.index}\n"
        return f"{head}{hashes}\n{self.checkpoint}"


_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")


def read_receipt(text: str) -> Receipt:
    """Read a receipt; raise ``ProofRefused`` unless it is written the one way."""
    head, separator, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or len(lines) < 3 or lines[0] != _HEADER:
        raise ProofRefused("this is not a receipt: it does not begin like a tlog-proof")
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise ProofRefused("the receipt lacks the entry or its index")
    number = lines[2].removeprefix("index ")
    if not _INDEX.fullmatch(number):
        raise ProofRefused(f"the receipt's index {number[:40]!r} is not a plain whole number")
    if len(lines) - 3 > _PROOF_HASHES_MAX:
        raise ProofRefused("the receipt's proof is longer than any tree is high")
    entry = _decode(lines[1].removeprefix("extra "))
    path = tuple(_decode(line) for line in lines[3:])
    return Receipt(entry, int(number), path, checkpoint)


def check_receipt(text: str, origin: str, key: Ed25519PublicKey) -> tuple[bytes, Checkpoint]:
    """Return the entry's bytes and the checkpoint they are proved to be under.

    Raises ``ProofRefused`` or ``NoteRefused`` for anything else.
    """
    receipt = read_receipt(text)
    checkpoint = check_checkpoint(receipt.checkpoint, origin, key)
    leaf = leaf_hash(receipt.entry)
    check_inclusion(leaf, receipt.index, checkpoint.size, receipt.path, checkpoint.root)
    return receipt.entry, checkpoint


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofRefused("the receipt holds a line that is not base64") from error
    if _encode(data) != text:
        raise ProofRefused("the receipt holds a line of base64 with stray bits")
    return data
