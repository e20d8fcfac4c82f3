"""What is kept of each witness: the newest checkpoint it cosigned, and what went wrong since.

DATA/log/witnessed/<name and key id>            the cosigned checkpoint
DATA/log/witnessed/<name and key id>.trouble    why the last submission failed, in words
DATA/log/witnessed/<name and key id>.contradiction    how it contradicts our log, in words

A contradiction stays until the witness cosigns again: that it is away since mends nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ledger.kept import replace_file
from ledger.ledger import Ledger
from models.log.cosignatures import Cosigner, find_cosignature
from models.log.notes import Checkpoint, NoteRefused, Signature, check_checkpoint, parse_note
from models.settings import WitnessSettings


@dataclass(frozen=True, slots=True)
class Standing:
    """Up to where a witness cosigned, when, and why it went no further (empty: all is well).

    ``contradicts`` says that it has seen another history of this log than ours.
    """

    name: str
    size: int
    at: datetime | None
    trouble: str
    contradicts: bool = False


class WitnessFiles:
    """What is kept of one witness."""

    def __init__(self, ledger: Ledger, settings: WitnessSettings) -> None:
        self._ledger = ledger
        self.cosigner = Cosigner.parse(settings.key)
        folder = ledger.checkpoint_file.with_name("witnessed")
        plain = re.sub(r"[^A-Za-z0-9.-]", "_", self.cosigner.name)
        self._path = folder / f"{plain}-{self.cosigner.key_id.hex()}"
        self._trouble = self._path.with_name(f"{self._path.name}.trouble")
        self._contradiction = self._path.with_name(f"{self._path.name}.contradiction")

    def note(self) -> str:
        """The cosigned checkpoint; empty where there is none."""
        return _text(self._path)

    def cosigned(self) -> tuple[Checkpoint, int] | None:
        """The checkpoint it cosigned last and when; both signatures are verified."""
        note = self.note()
        if not note:
            return None
        origin, public = self._ledger.settings.origin, self._ledger.log_key.public_key()
        try:
            checkpoint = check_checkpoint(note, origin, public)
            parsed = parse_note(note)
            return checkpoint, find_cosignature(parsed.body, parsed.signatures, self.cosigner)[1]
        except NoteRefused:
            return None  # of another log or key: as good as none; the witness itself knows

    def standing(self) -> Standing:
        """Up to where it cosigned, and what is wrong."""
        contradiction = _text(self._contradiction)
        trouble = contradiction or _text(self._trouble)
        found = self.cosigned()
        if found is None:
            return Standing(self.cosigner.name, 0, None, trouble, bool(contradiction))
        checkpoint, time_s = found
        at = datetime.fromtimestamp(time_s, UTC)
        return Standing(self.cosigner.name, checkpoint.size, at, trouble, bool(contradiction))

    def keep(self, note: str, cosignature: Signature) -> None:
        """Keep the cosigned checkpoint; all is well."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(self._path, note + cosignature.line())
        self._trouble.unlink(missing_ok=True)
        self._contradiction.unlink(missing_ok=True)

    def complain(self, trouble: str, *, contradicts: bool) -> bool:
        """Keep the reason why the witness did not cosign; whether it is another than before."""
        path = self._contradiction if contradicts else self._trouble
        if _text(path) == trouble:
            return False
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, trouble)
        return True


def _text(path: Path) -> str:
    """What is in the file; empty where it is gone, also while it is being looked at."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
