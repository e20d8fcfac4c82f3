"""Verify the access log from its bytes, and compare it with a checkpoint kept elsewhere.

Verifying raises with the first bad entry; it never answers yes or no. The checkpoint in
the data directory shows that the database alone was not changed. Only a checkpoint that
somebody else kept excludes that the whole directory was replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from enrollment.access_log import (
    FIRST_PREV,
    AccessLog,
    commitment,
    kept_checkpoint,
    log_key,
)
from enrollment.gallery import data_key_name
from models.database import reading
from models.errors import FacefareError
from models.log.notes import Checkpoint, check_checkpoint
from models.log.tree import Frontier, leaf_hash
from models.tables.access_log import AccessEntry
from models.tables.riders import Rider
from models.vault import KeyErased
from models.wire.canonical import CanonicalError, parse_canonical

_READ_AT_ONCE = 1000


class AccessLogBroken(FacefareError):
    """The access log is not what was signed; ``seq`` is the first bad entry."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"entry {seq} of the access log: {what}")
        self.seq = seq


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: all entries, and how many of them each checkpoint covers."""

    entries: int
    root: bytes
    kept_size: int
    outside_size: int | None


def verify_access_log(log: AccessLog, outside: str | None = None) -> Verified:
    """Rehash everything; raise ``AccessLogBroken`` at the first fault.

    ``outside`` is a checkpoint that was kept elsewhere; it must be a beginning of the log.
    """
    checkpoints = [kept_checkpoint(log)[0]]
    if outside is not None:
        checkpoints.append(check_checkpoint(outside, log.origin, log.key.public_key()))
    with reading(log.riders) as session:
        tree = _rehash(session, log, checkpoints)
        _refuse_hidden(session, log)
    for checkpoint in checkpoints:
        if checkpoint.size > tree.size:
            raise AccessLogBroken(
                tree.size, f"it is missing; {checkpoint.size} entries were signed"
            )
    sizes = [checkpoint.size for checkpoint in checkpoints]
    return Verified(tree.size, tree.root(), sizes[0], sizes[1] if outside is not None else None)


def _rehash(session: Session, log: AccessLog, checkpoints: list[Checkpoint]) -> Frontier:
    tree, prev = Frontier(), FIRST_PREV
    _compare(tree, checkpoints)
    while rows := _next_rows(session, tree.size):
        for row in rows:
            _check_entry(row, tree.size, prev)
            _check_rider(log, row)
            prev = leaf_hash(row.body)
            tree.append(prev)
            if row.peaks != b"".join(tree.peaks):
                raise AccessLogBroken(row.seq, "the tree kept beside it was changed")
            _compare(tree, checkpoints)
    return tree


def _next_rows(session: Session, start: int) -> list[AccessEntry]:
    seq = col(AccessEntry.seq)
    return list(
        session.exec(select(AccessEntry).where(seq >= start).order_by(seq).limit(_READ_AT_ONCE))
    )


def _check_entry(row: AccessEntry, number: int, prev: bytes) -> None:
    if row.seq != number:
        raise AccessLogBroken(number, "it is missing")
    if not isinstance(row.body, bytes) or not isinstance(row.leaf_hash, bytes):
        raise AccessLogBroken(number, "its bytes were changed")  # SQLite takes text as well
    try:
        value: Any = parse_canonical(row.body)
    except CanonicalError as error:
        raise AccessLogBroken(number, "its bytes are not canonical JSON") from error
    if not isinstance(value, dict) or value.get("seq") != number or value.get("v") != 1:
        raise AccessLogBroken(number, "its bytes are not an entry of this number")
    if value.get("prev") != prev.hex():
        raise AccessLogBroken(number, "it does not follow the entry before it")
    if leaf_hash(row.body) != row.leaf_hash:
        raise AccessLogBroken(number, "its bytes were changed")


def _check_rider(log: AccessLog, row: AccessEntry) -> None:
    """The columns a rider's page is made from say what the bytes commit to."""
    if row.rider_id is None:
        return
    value = parse_canonical(row.body)
    try:
        key = log_key(log.vault.key(data_key_name(row.rider_id)))
    except KeyErased:
        return  # an erasure that stopped half-way; nobody can be shown it
    if value.get("rider") != commitment(key, row.seq, "rider"):
        raise AccessLogBroken(row.seq, "it is shown to another rider than it was written for")
    if value.get("note") != commitment(key, row.seq, f"note {row.note or ''}"):
        raise AccessLogBroken(row.seq, "its note was changed")


def _refuse_hidden(session: Session, log: AccessLog) -> None:
    """No look at a living rider was taken off their page by emptying its column."""
    hidden = select(AccessEntry.seq, AccessEntry.body).where(col(AccessEntry.rider_id).is_(None))
    loose = [(seq, parse_canonical(body).get("rider")) for seq, body in session.exec(hidden)]
    if not loose:
        return
    names = [data_key_name(rider_id) for rider_id in session.exec(select(Rider.rider_id))]
    for key in map(log_key, log.vault.keys(names).values()):
        for seq, rider in loose:
            if rider == commitment(key, seq, "rider"):
                raise AccessLogBroken(seq, "it was taken off the page of its rider")


def _compare(tree: Frontier, checkpoints: list[Checkpoint]) -> None:
    for checkpoint in checkpoints:
        if checkpoint.size == tree.size and checkpoint.root != tree.root():
            raise AccessLogBroken(
                max(tree.size - 1, 0), f"the first {tree.size} entries are not those signed"
            )
