"""Once a day a time-stamping authority (RFC 3161) signs that our checkpoint existed by then.

A witness says that the log only ever grew; the authority, who knows nothing of logs, says
since when. Both files are kept beside the checkpoint, one pair for each day (UTC):

    DATA/log/timestamps/2026-11-22.checkpoint   what was stamped, as it was signed
    DATA/log/timestamps/2026-11-22.tsr          the authority's answer, DER

They can be checked without us, for as long as the authority's certificate is known:

    openssl ts -verify -in 2026-11-22.tsr -data 2026-11-22.checkpoint -CAfile authority.pem
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from ledger.beside import LogBroken
from ledger.checkpoints import kept_checkpoint
from ledger.kept import replace_file
from ledger.ledger import Ledger
from ledger.nodes import frontier_at
from models.database import reading
from models.errors import FacefareError
from models.log.notes import NoteRefused, check_checkpoint
from models.settings import TimestampSettings

QUERY_TYPE = "application/timestamp-query"
REPLY_BYTES_MAX = 65_536

Ask = Callable[[str, bytes], bytes]
"""Send a query to a URL and return the reply; raises ``TimestampTrouble``."""


class TimestampTrouble(FacefareError):
    """The checkpoint was not stamped."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The authority saw the checkpoint over ``size`` entries at the moment ``at``."""

    day: str
    size: int
    at: datetime


def stamped_today(ledger: Ledger) -> bool:
    """Whether this day (UTC) has its stamp."""
    return _files(ledger, _today(ledger))[1].exists()


def stamp(ledger: Ledger, settings: TimestampSettings, ask: Ask) -> Stamp:
    """Have the kept checkpoint stamped and keep the answer as this day's.

    Raises ``TimestampTrouble`` for every answer that does not stamp exactly this checkpoint.
    """
    public = ledger.log_key.public_key()
    kept, note = kept_checkpoint(ledger.checkpoint_file, ledger.settings.origin, public)
    query = TimestampRequestBuilder(note.encode(), HashAlgorithm.SHA256).build()
    reply = ask(settings.url, query.as_bytes())
    try:
        answer = decode_timestamp_response(reply)
        _check(answer, note.encode(), _roots(ledger, settings), query.nonce)
    except (ValueError, VerificationError) as error:
        raise TimestampTrouble(f"{settings.url} did not stamp the checkpoint: {error}") from error
    day = _today(ledger)
    checkpoint_file, answer_file = _files(ledger, day)
    checkpoint_file.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(checkpoint_file, note)
    replace_file(answer_file, reply)  # last: a day counts as stamped once this is there
    return Stamp(day, kept.size, answer.tst_info.gen_time.astimezone(UTC))


def check_stamps(ledger: Ledger, settings: TimestampSettings) -> list[Stamp]:
    """Check every kept stamp against the authority, the log's key and a log that was verified.

    Raises ``LogBroken`` for a stamp that is not good, or whose checkpoint the log contradicts.
    """
    roots = _roots(ledger, settings)
    return [_check_kept(ledger, answer, roots) for answer in kept_stamps(ledger)]


def kept_stamps(ledger: Ledger) -> list[Path]:
    """The authority's answers that are kept, the oldest first."""
    return sorted(_folder(ledger).glob("*.tsr"))


def _check_kept(ledger: Ledger, answer_file: Path, roots: list[x509.Certificate]) -> Stamp:
    day, public = answer_file.stem, ledger.log_key.public_key()
    try:
        note = _files(ledger, day)[0].read_text(encoding="utf-8")
        answer = decode_timestamp_response(answer_file.read_bytes())
        _check(answer, note.encode(), roots, None)
        stamped = check_checkpoint(note, ledger.settings.origin, public)
    except (OSError, ValueError, VerificationError, NoteRefused) as error:
        raise LogBroken(None, f"the time-stamp of {day} is not good: {error}") from error
    with reading(ledger.engine) as session:
        if frontier_at(session, stamped.size).root() != stamped.root:
            raise LogBroken(
                None, f"its first {stamped.size} entries are not those that were stamped on {day}"
            )
    return Stamp(day, stamped.size, answer.tst_info.gen_time.astimezone(UTC))


def _check(
    answer: TimeStampResponse, data: bytes, roots: list[x509.Certificate], nonce: int | None
) -> None:
    VerifierBuilder(roots=roots, nonce=nonce).build().verify_message(answer, data)


def _roots(ledger: Ledger, settings: TimestampSettings) -> list[x509.Certificate]:
    path = ledger.checkpoint_file.parent.parent / settings.certificate
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TimestampTrouble(
            f"the time-stamping authority's certificate {path} cannot be read: {error}"
        ) from error


def _folder(ledger: Ledger) -> Path:
    return ledger.checkpoint_file.with_name("timestamps")


def _files(ledger: Ledger, day: str) -> tuple[Path, Path]:
    folder = _folder(ledger)
    return folder / f"{day}.checkpoint", folder / f"{day}.tsr"


def _today(ledger: Ledger) -> str:
    return ledger.clock().astimezone(UTC).date().isoformat()
