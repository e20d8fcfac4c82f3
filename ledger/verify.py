"""Read the whole log again and find the first entry that is not what was recorded.

``verify`` never answers with a bool: it raises ``LogBroken`` with the first bad index, or
returns a report that also says what it could *not* exclude. A hash chain alone is "valid"
after its tail was cut off or all of it was replaced; only a checkpoint that was kept
outside the database shows that. So without one the report says: prefix only.

Each entry's bytes are hashed again, chained, put into the tree and compared with every
column, posting, tap and tree node beside them. The log is cut into stretches that are
nodes of the tree (``ledger.stretch``). Of a long log on SQLite, several processes walk
them side by side and all see the same state of the database (``ledger.walkers``); the
answers are taken in order, so the first bad entry is the first one everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from ledger.accounts import key_name
from ledger.beside import LogBroken
from ledger.careful import OWN_COLUMNS
from ledger.nodes import frontier_at
from ledger.store import table
from ledger.stretch import Setup, Walked, walk
from ledger.topups import staff_key_name
from ledger.totals import check_totals, count_rows, what_is_wrong
from ledger.walkers import Parts, can_share, walkers
from ledger.whole import Whole
from models.database import reading
from models.log.notes import Checkpoint, NoteRefused, check_checkpoint
from models.tables.ledger import EntryRow
from models.vault import Vault

__all__ = ["LogBroken", "ShowProgress", "VerifyReport", "verify"]

PROCESSES = 2
STRETCH = 1 << 14
SHARE_FROM = 8 * STRETCH
"""A shorter log is walked before other processes have started."""

ShowProgress = Callable[[int, int], None]
"""Called with the entries that were walked, and all there are."""

_PREFIX_ONLY = (
    "prefix only: truncation is not excluded, because no checkpoint from outside was given"
)
_UNVOUCHED = {
    "taps without an entry": "nothing in the log vouches for quarantined, refused and waiting ones",
    "entries in the inbox": "they have no number yet, so the log does not cover them",
}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified, and what could not be excluded."""

    entries: int
    root: str
    checkpoint_size: int | None
    kept_size: int | None
    erased: int
    unproved: int
    not_excluded: tuple[str, ...]


def verify(
    engine: Engine,
    origin: str,
    key: Ed25519PublicKey,
    checkpoint: str | None = None,
    vault: Vault | None = None,
    progress: ShowProgress = lambda done, size: None,
    processes: int | None = None,
    kept: str | None = None,
) -> VerifyReport:
    """Verify every entry against itself, its columns and a ``checkpoint`` kept elsewhere.

    ``kept`` is the one beside the database, read before: the log must continue it as well, but
    whoever changed the log may have changed it too. ``vault`` allows to check whose rides they
    are, where the accounts' keys still exist. ``processes`` is chosen by the log's size where
    it is None. Raises ``LogBroken``.
    """
    expected = _read_checkpoint(checkpoint, origin, key)
    own = _read_checkpoint(kept, origin, key)
    setup = Setup(
        long=STRETCH,
        others=tuple(c.name for c in table(EntryRow).c if c.name not in OWN_COLUMNS),
        checkpoint_size=None if expected is None else expected.size,
        vault=vault,
        rider_key=key_name(""),
        staff_key=staff_key_name(""),
    )
    with reading(engine) as session:
        if processes is None:
            processes = PROCESSES if _size(session) >= SHARE_FROM and can_share(engine) else 1
        if processes == 1:
            alone = partial(_one_by_one, session, setup)
            return _verify(session, alone, setup, expected, own, progress)
    with walkers(engine, processes, setup) as (session, parts):
        return _verify(session, parts, setup, expected, own, progress)


def _verify(
    session: Session,
    parts: Parts,
    setup: Setup,
    expected: Checkpoint | None,
    own: Checkpoint | None,
    progress: ShowProgress,
) -> VerifyReport:
    size = _size(session)
    whole = Whole(session, expected, setup.long)
    if expected is not None and expected.size == 0:
        whole.compare_root(0, [])
    progress(0, size)
    with closing(parts(size)) as found:  # other processes set off; meanwhile this one adds up
        rows, wrong = count_rows(session), what_is_wrong(session)
        for part in found:
            whole.add(part)
            progress(part.end, size)
    check_totals(whole.size, whole.counts, rows)
    whole.compare_answers()
    if wrong:
        raise LogBroken(None, wrong)
    _compare_kept(session, whole.size, own)
    return _report(whole, expected, own, rows)


def _compare_kept(session: Session, size: int, own: Checkpoint | None) -> None:
    """Compare the checkpoint beside the database with the tree at rest, which is verified now."""
    if own is None:
        return
    if size < own.size:
        raise LogBroken(size, f"it is missing: the checkpoint kept here covers {own.size} entries")
    if frontier_at(session, own.size).root() != own.root:
        raise LogBroken(
            None, f"its first {own.size} entries are not those of the checkpoint kept here"
        )


def _read_checkpoint(note: str | None, origin: str, key: Ed25519PublicKey) -> Checkpoint | None:
    if note is None:
        return None
    try:
        return check_checkpoint(note, origin, key)
    except NoteRefused as error:
        raise LogBroken(None, str(error)) from error


def _size(session: Session) -> int:
    """The number of entries, if none is missing."""
    seq = col(EntryRow.seq)
    first, last = session.execute(select(func.min(seq), func.max(seq))).one()
    if last is None:
        return 0
    if first != 0:
        raise LogBroken(0, f"it is missing; the next one here is {first}")
    return int(last) + 1


def _one_by_one(session: Session, setup: Setup, size: int) -> Generator[Walked, None, None]:
    with closing(session.connection().connection.cursor()) as cursor:
        for start in range(0, size, setup.long):
            yield walk(cursor, start, min(start + setup.long, size), setup)


def _report(
    whole: Whole, expected: Checkpoint | None, own: Checkpoint | None, rows: Mapping[str, int]
) -> VerifyReport:
    size, unproved = whole.size, whole.counts["unproved"]
    if expected is not None and size < expected.size:
        raise LogBroken(size, f"it is missing: the checkpoint covers {expected.size} entries")
    not_excluded = []
    if expected is None:
        not_excluded.append(_PREFIX_ONLY)
    elif size > expected.size:
        not_excluded.append(
            f"entries from {expected.size} on are newer than the checkpoint: "
            "the log may have had more or other ones there"
        )
    if unproved:
        not_excluded.append(
            f"whose entries they are: {unproved} commitments could not be checked, "
            "because their keys are not here"
        )
    for name, what in _UNVOUCHED.items():
        if rows[name]:
            not_excluded.append(f"what {name} say ({rows[name]}): {what}")
    return VerifyReport(
        entries=size,
        root=whole.root().hex(),
        checkpoint_size=None if expected is None else expected.size,
        kept_size=None if own is None else own.size,
        erased=whole.counts["erased"],
        unproved=unproved,
        not_excluded=tuple(not_excluded),
    )
