"""The access log: every look of staff at a rider, written before the page is sent.

It has the form of the fare log (hash chain, RFC 6962 tree, signed checkpoint kept outside
the database), so whoever works here, operators of the database included, cannot take a
look back unseen. One entry's bytes, RFC 8785 canonical JSON:

    {"at":"2026-11-22T18:49:07.250Z","kind":"look","note":"<64 hex>","page":"rider",
     "prev":"<64 hex>","reason":"question","rider":"<64 hex>","seq":0,"staff":"mei","v":1}

``prev`` is the leaf hash of the entry before (64 zeros in the first). ``rider`` and ``note``
are HMAC-SHA256 under a key derived from the rider's data key: with that key anyone can
show whose entry it is and what the note said; once the rider is erased, nobody can, and
every checkpoint still verifies. Two entries of one rider look unrelated: the number of the
entry is hashed in.

Nothing is shown when the entry cannot be written, or when the log is shorter than, or
contradicts, its kept checkpoint.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine as Database
from sqlmodel import Session, col, select, update

from enrollment.cases import Case
from enrollment.gallery import data_key_name
from models.database import reading, writing
from models.kept import (
    CheckpointFile,
    CheckpointMoved,
    CheckpointRefused,
    keep_empty_checkpoint,
)
from models.log.notes import Checkpoint, NoteRefused, check_checkpoint, sign_checkpoint
from models.log.tree import HASH_BYTES, Frontier, leaf_hash
from models.settings import DataDirectory, Settings
from models.tables.access_log import AccessEntry
from models.vault import KeyErased, Vault
from models.wire.canonical import canonical_bytes
from models.wire.keys import load_signing_key, save_private_key
from models.wire.times import format_utc, parse_utc

FIRST_PREV = bytes(HASH_BYTES)
_SWAPS_MAX = 20
_PAGE = 500


@dataclass(frozen=True, slots=True)
class AccessLog:
    """The log's place in the riders database, its key, and its checkpoint outside."""

    riders: Database
    vault: Vault
    origin: str
    key: Ed25519PrivateKey
    checkpoint_file: Path

    @classmethod
    def open(
        cls, data: DataDirectory, settings: Settings, riders: Database, vault: Vault
    ) -> AccessLog:
        """Open what ``create_access_log`` made."""
        key = load_signing_key(data.access_log_key)
        return cls(riders, vault, log_origin(settings.origin), key, data.access_checkpoint_file)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the entries of one page have in common."""

    staff: str
    page: str
    case: Case
    at: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a rider, as the rider reads it."""

    at: datetime
    staff: str
    page: str
    reason: str
    note: str


def log_origin(fare_origin: str) -> str:
    """The log's name in its checkpoints, beside the fare log's."""
    return f"{fare_origin}/access"


def create_access_log(data: DataDirectory, fare_origin: str) -> None:
    """Make the key and the checkpoint of the empty log in a new data directory."""
    key = Ed25519PrivateKey.generate()
    save_private_key(data.access_log_key, key)
    keep_empty_checkpoint(data.access_checkpoint_file, log_origin(fare_origin), key)


def record_looks(
    log: AccessLog, rider_ids: Sequence[str], staff: str, page: str, case: Case, now: datetime
) -> None:
    """Write one entry for each rider. When this returns they are on disk and signed for.

    Raises ``CheckpointRefused`` where the log contradicts its checkpoint: show nothing then.
    """
    if not rider_ids:
        return
    with writing(log.riders) as session:
        last = _last(session)
        _check_kept(session, log, 0 if last is None else last.seq + 1)
        for rider_id in rider_ids:
            last = _append(session, log.vault, last, rider_id, _Seen(staff, page, case, now))
    publish(log)


def who_looked(log: AccessLog, rider_id: str) -> list[Look]:
    """Every look at this rider, newest first: for the rider's own page."""
    query = (
        select(AccessEntry.body, AccessEntry.note)
        .where(AccessEntry.rider_id == rider_id)
        .order_by(col(AccessEntry.seq).desc())
    )
    with reading(log.riders) as session:
        return [_look(json.loads(body), note or "") for body, note in session.exec(query)]


def looks_since(log: AccessLog, staff: str, reason: str, since: datetime) -> int:
    """How many riders ``staff`` was shown for ``reason`` since then."""
    query = select(AccessEntry.body).order_by(col(AccessEntry.seq).desc())
    with reading(log.riders) as session:
        bodies = session.exec(query.execution_options(yield_per=_PAGE))
        seen = takewhile(lambda value: parse_utc(value["at"]) >= since, map(json.loads, bodies))
        return sum(value["staff"] == staff and value["reason"] == reason for value in seen)


def forget_looks(session: Session, rider_id: str) -> None:
    """Take away what leads from an erased rider to the entries; the entries stay."""
    session.exec(
        update(AccessEntry)
        .where(col(AccessEntry.rider_id) == rider_id)
        .values(rider_id=None, note=None)
    )


def publish(log: AccessLog) -> Checkpoint:
    """Sign and keep a checkpoint over all entries, unless the kept one covers them already."""
    for _ in range(_SWAPS_MAX):
        kept, note = kept_checkpoint(log)
        with reading(log.riders) as session:
            last = _last(session)
        size = 0 if last is None else last.seq + 1
        if last is None or size <= kept.size:
            return kept
        new = Checkpoint(log.origin, size, frontier_after(last).root())
        try:
            CheckpointFile(log.checkpoint_file).swap(note, sign_checkpoint(new, log.key))
        except CheckpointMoved:
            continue  # another worker was faster; its checkpoint may cover ours
        return new
    raise CheckpointRefused("the access log's checkpoint keeps moving; try again")


def kept_checkpoint(log: AccessLog) -> tuple[Checkpoint, str]:
    """The kept checkpoint and its note; refuse one of another log or another key."""
    note = CheckpointFile(log.checkpoint_file).read()
    try:
        return check_checkpoint(note, log.origin, log.key.public_key()), note
    except NoteRefused as error:
        raise CheckpointRefused(
            f"the kept checkpoint was not made by this access log and key ({error}); "
            "no rider is shown"
        ) from error


def frontier_after(entry: AccessEntry) -> Frontier:
    """The tree's right edge after ``entry``, from its row; refuse one that cannot be."""
    places = range(0, len(entry.peaks), HASH_BYTES)
    try:
        return Frontier(entry.seq + 1, [entry.peaks[at : at + HASH_BYTES] for at in places])
    except ValueError as error:
        raise CheckpointRefused(
            f"the tree kept beside entry {entry.seq} of the access log was changed; "
            "run 'facefare access verify'. Until then no rider is shown"
        ) from error


def commitment(key: bytes, seq: int, what: str) -> str:
    """HMAC-SHA256 of ``what`` in entry ``seq`` under a rider's log key; hex."""
    return hmac.digest(key, f"{seq} {what}".encode(), "sha256").hex()


def log_key(data_key: bytes) -> bytes:
    """The key of a rider's commitments, which goes when their data key goes."""
    return hmac.digest(data_key, b"access log", "sha256")


def _append(
    session: Session, vault: Vault, last: AccessEntry | None, rider_id: str, seen: _Seen
) -> AccessEntry:
    try:
        key, linked = log_key(vault.key(data_key_name(rider_id))), True
    except KeyErased:  # being erased: the look is recorded, and linked to nobody
        key, linked = secrets.token_bytes(HASH_BYTES), False
    body = canonical_bytes(_contents(key, last, seen))
    tree = Frontier() if last is None else frontier_after(last)
    tree.append(leaf_hash(body))
    row = AccessEntry(
        seq=tree.size - 1,
        body=body,
        leaf_hash=leaf_hash(body),
        peaks=b"".join(tree.peaks),
        rider_id=rider_id if linked else None,
        note=(seen.case.note or None) if linked else None,
    )
    session.add(row)
    session.flush()
    return row


def _contents(key: bytes, last: AccessEntry | None, seen: _Seen) -> dict[str, Any]:
    seq = 0 if last is None else last.seq + 1
    return {
        "v": 1,
        "kind": "look",
        "seq": seq,
        "prev": (FIRST_PREV if last is None else last.leaf_hash).hex(),
        "at": format_utc(seen.at),
        "staff": seen.staff,
        "page": seen.page,
        "reason": seen.case.reason,
        "rider": commitment(key, seq, "rider"),
        "note": commitment(key, seq, f"note {seen.case.note}"),
    }


def _check_kept(session: Session, log: AccessLog, size: int) -> None:
    """Refuse to go on where the log does not continue what was signed."""
    kept, _ = kept_checkpoint(log)
    if kept.size > size:
        raise CheckpointRefused(
            f"the access log has {size} entries but {kept.size} were signed: entries are "
            "missing; run 'facefare access verify' and restore them. Until then no rider is shown"
        )
    signed = session.get(AccessEntry, kept.size - 1) if kept.size else None
    if kept.size and (signed is None or frontier_after(signed).root() != kept.root):
        raise CheckpointRefused(
            f"the first {kept.size} entries of the access log are not those that were signed; "
            "run 'facefare access verify'. Until then no rider is shown"
        )


def _last(session: Session) -> AccessEntry | None:
    return session.exec(select(AccessEntry).order_by(col(AccessEntry.seq).desc()).limit(1)).first()


def _look(value: dict[str, Any], note: str) -> Look:
    return Look(parse_utc(value["at"]), value["staff"], value["page"], value["reason"], note)
