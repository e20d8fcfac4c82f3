"""What a log sends to a witness (C2SP ``tlog-witness``, ``add-checkpoint``).

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
    …consistency proof from the old size to the checkpoint's, one hash per line…

    …the signed checkpoint…

``old`` is the size of the checkpoint that the witness cosigned last, 0 for none.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from models.log.notes import NoteRefused, parse_size

SIZE_TYPE = "text/x.tlog.size"
"""The media type of the answer that says which size the witness saw last."""

PROOF_LINES_MAX = 63


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint, as a signed note, and the proof that it continues the one of size ``old``."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """The body of the request."""
        lines = "".join(f"{base64.b64encode(value).decode('ascii')}\n" for value in self.proof)
        return f"old {self.old}\n{lines}\n{self.note}"


def read_submission(text: str) -> Submission:
    """Read a request's body; raise ``NoteRefused`` unless it is written the one way."""
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if not separator or not first.startswith("old "):
        raise NoteRefused("a submission begins with a line 'old SIZE'")
    if len(lines) > PROOF_LINES_MAX:
        raise NoteRefused(f"a consistency proof has at most {PROOF_LINES_MAX} lines")
    return Submission(parse_size(first.removeprefix("old ")), tuple(map(_hash, lines)), note)


def _hash(line: str) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteRefused("a line of the consistency proof is not base64") from error
    if len(value) != 32 or base64.b64encode(value).decode("ascii") != line:
        raise NoteRefused("a line of the consistency proof is not a hash of 32 bytes")
    return value
