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

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from ledger.accounts import key_name
from ledger.beside import LogBroken
from ledger.nodes import KEPT_LEVELS
from ledger.store import table
from ledger.stretch import OWN_COLUMNS, Setup, Walked, walk
from ledger.topups import staff_key_name
from ledger.walkers import Parts, can_share, walkers
from models.database import reading
from models.log.notes import Checkpoint, NoteRefused, check_checkpoint
from models.log.tree import Frontier
from models.tables.ledger import AccountRow, EntryRow, NodeRow, PostingRow, TapRow
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


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified, and what could not be excluded."""

    entries: int
    root: str
    checkpoint_size: int | None
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
) -> VerifyReport:
    """Verify every entry against itself, its columns and a ``checkpoint`` kept elsewhere.

    ``vault`` allows to check whose rides they are, where the accounts' keys still exist.
    ``processes`` is chosen by the log's size where it is None. Raises ``LogBroken``.
    """
    expected = _read_checkpoint(checkpoint, origin, key)
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
            return _verify(session, alone, setup, expected, progress)
    with walkers(engine, processes, setup) as (session, parts):
        return _verify(session, parts, setup, expected, progress)


def _verify(
    session: Session,
    parts: Parts,
    setup: Setup,
    expected: Checkpoint | None,
    progress: ShowProgress,
) -> VerifyReport:
    size = _size(session)
    whole = _Whole(session, expected, setup.long)
    if expected is not None and expected.size == 0:
        whole.compare_root(0, [])
    progress(0, size)
    with closing(parts(size)) as found:  # other processes set off; meanwhile this one adds up
        rows, wrong_balance = _count_rows(session), _wrong_balance(session)
        for part in found:
            whole.add(part)
            progress(part.end, size)
    _check_totals(whole, rows)
    if wrong_balance:
        raise LogBroken(None, wrong_balance)
    return _report(whole, expected)


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


@dataclass(slots=True)
class _Whole:
    """The stretches put together: the tree over them, and sums of their counts.

    ``above`` is the tree whose leaves are the roots of full stretches; ``edge`` holds the
    roots within the last stretch, which may be shorter.
    """

    session: Session
    expected: Checkpoint | None
    long: int
    size: int = 0
    above: Frontier = field(default_factory=Frontier)
    edge: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, part: Walked) -> None:
        """Put the next stretch beside the ones before; raise ``LogBroken`` if it is broken."""
        if part.at_checkpoint is not None and self.expected is not None:
            self.compare_root(self.expected.size, part.at_checkpoint)
        if part.broken is not None:
            raise LogBroken(*part.broken)
        self.counts.update(part.counts)
        self.size = part.end
        if part.end - part.start < self.long:
            self.edge = part.peaks
            return
        completed = self.above.append(part.peaks[0])
        for level, root in enumerate(completed, self.long.bit_length() - 1):
            if level % KEPT_LEVELS == 0 and level > KEPT_LEVELS:  # that one was checked within
                self._check_node(level, root)

    def _check_node(self, level: int, root: bytes) -> None:
        position = (self.size >> level) - 1
        kept = self.session.execute(
            select(col(NodeRow.hash)).where(
                col(NodeRow.level) == level, col(NodeRow.position) == position
            )
        ).scalar()
        if kept != root:
            raise LogBroken(self.size - 1, f"the kept tree node of level {level} is wrong")
        self.counts["nodes"] += 1

    def compare_root(self, size: int, edge: list[bytes]) -> None:
        """Compare the tree of ``size`` entries, which ends in ``edge``, with the checkpoint."""
        if self.expected is not None and self._root(size, edge) != self.expected.root:
            raise LogBroken(
                None,
                f"its first {size} entries are not those of the checkpoint: "
                "some were changed and everything after them was made to fit",
            )

    def root(self) -> bytes:
        """The root over everything added so far."""
        return self._root(self.size, self.edge)

    def _root(self, size: int, edge: list[bytes]) -> bytes:
        above = Frontier(self.above.size, self.above.peaks)
        if edge and size % self.long == 0:
            above.append(edge[0])  # a full stretch is a leaf of the tree above
            edge = []
        return Frontier(size, above.peaks + edge).root()


def _count_rows(session: Session) -> dict[str, int]:
    """How many rows stand beside the log."""
    taps = table(TapRow)
    claims = func.count(taps.c.tap_id)
    queries = {
        "postings": select(func.count()).select_from(table(PostingRow)),
        "tree nodes": select(func.count()).select_from(table(NodeRow)),
        "taps with an entry": select(claims).where(taps.c.entry_seq.is_not(None)),
        "accepted taps": select(claims).where(taps.c.outcome == "accepted"),
    }
    return {name: session.execute(query).scalar_one() for name, query in queries.items()}


def _check_totals(whole: _Whole, rows: Mapping[str, int]) -> None:
    """Rows beside the log that belong to no entry; accounts taken away unannounced."""
    counts = whole.counts
    for name, seen in (
        ("postings", counts["postings"]),
        ("tree nodes", counts["nodes"]),
        ("taps with an entry", counts["taps"]),
        ("accepted taps", counts["taps"]),
    ):
        if rows[name] != seen:
            raise LogBroken(whole.size, f"there are {rows[name]} {name}, the entries have {seen}")
    if counts["erased"] != counts["unlinked"]:
        raise LogBroken(
            None,
            f"{counts['erased']} entries lost their account, but the closing entries of erased "
            f"riders unlinked {counts['unlinked']}",
        )


def _wrong_balance(session: Session) -> str:
    """An account whose balance is not the sum of its postings, in words; empty if none is."""
    accounts, postings = table(AccountRow), table(PostingRow)
    summed = (
        select(postings.c.account_id, (-func.sum(postings.c.minor)).label("owed"))
        .where(postings.c.account_id.is_not(None))
        .group_by(postings.c.account_id)
        .subquery()
    )
    both = summed.outerjoin(accounts, accounts.c.account_id == summed.c.account_id)
    lost = select(summed.c.account_id).select_from(both).where(accounts.c.account_id.is_(None))
    other = (
        select(accounts.c.account_id)
        .select_from(accounts.outerjoin(summed, accounts.c.account_id == summed.c.account_id))
        .where(accounts.c.balance_minor != func.coalesce(summed.c.owed, 0))
    )
    for query, reason in (
        (lost, "has postings but no account"),
        (other, "has another balance than the sum of its postings"),
    ):
        account = session.execute(query.limit(1)).scalar()
        if account is not None:
            return f"the account {account} {reason}"
    return ""


def _report(whole: _Whole, expected: Checkpoint | None) -> VerifyReport:
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
    return VerifyReport(
        entries=size,
        root=whole.root().hex(),
        checkpoint_size=None if expected is None else expected.size,
        erased=whole.counts["erased"],
        unproved=unproved,
        not_excluded=tuple(not_excluded),
    )
