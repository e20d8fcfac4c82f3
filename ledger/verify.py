"""Read the whole log again and find the first entry that is not what was recorded.

``verify`` never answers with a bool: it raises ``LogBroken`` with the first bad index, or
returns a report that also says what it could *not* exclude. A hash chain alone is "valid"
after its tail was cut off or all of it was replaced; only a checkpoint that was kept
outside the database shows that. So without one the report says: prefix only.

Each entry's bytes are hashed again, chained, put into the tree and compared with every
column, posting, tap and tree node beside them. Memory stays bounded: rows come in chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from ledger.accounts import key_name
from ledger.beside import LogBroken, Row, check_postings, check_tap, chunks
from ledger.entries import FIRST_PREV, EntryUnreadable, commitment, decode, searchable
from ledger.nodes import nodes_to_keep
from ledger.store import table
from ledger.topups import staff_key_name
from models.database import reading
from models.log.notes import Checkpoint, NoteRefused, check_checkpoint
from models.log.tree import Frontier, leaf_hash
from models.tables.ledger import AccountRow, NodeRow, PostingRow, TapRow
from models.vault import KeyErased, Vault

__all__ = ["LogBroken", "VerifyReport", "verify"]

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
) -> VerifyReport:
    """Verify every entry against itself, its columns and a ``checkpoint`` kept elsewhere.

    ``vault`` allows to check whose rides they are, where the accounts' keys still exist.
    Raises ``LogBroken``.
    """
    expected = _read_checkpoint(checkpoint, origin, key)
    with reading(engine) as session:
        walk = _Walk(session, vault, expected)
        walk.all_entries()
        _check_totals(session, walk)
        _check_erasures(walk)
        _check_balances(session)
    return _report(walk, expected)


def _read_checkpoint(note: str | None, origin: str, key: Ed25519PublicKey) -> Checkpoint | None:
    if note is None:
        return None
    try:
        return check_checkpoint(note, origin, key)
    except NoteRefused as error:
        raise LogBroken(None, str(error)) from error


@dataclass(slots=True)
class _Walk:
    """The state between entries: the tree so far and a few counts."""

    session: Session
    vault: Vault | None
    expected: Checkpoint | None
    tree: Frontier = field(default_factory=Frontier)
    prev: bytes = FIRST_PREV
    recorded_at: str = ""
    postings: int = 0
    taps: int = 0
    nodes: int = 0
    erased: int = 0
    unlinked: int = 0
    unproved: int = 0
    keys: dict[str, bytes | None] = field(default_factory=dict)

    def all_entries(self) -> None:
        self._compare_root()
        for entries, postings, taps in chunks(self.session):
            self.keys.clear()  # an erased rider's key is not held longer than a chunk
            for entry in entries:
                seq = self.tree.size
                if entry["seq"] != seq:
                    raise LogBroken(seq, f"it is missing; the next one here is {entry['seq']}")
                try:
                    self._one(entry, postings.pop(seq, []), taps.pop(seq, None))
                except (TypeError, ValueError, LookupError, AttributeError) as error:
                    # A value of another kind than any we write, such as text for bytes.
                    raise LogBroken(seq, f"something about it cannot be read ({error})") from error
                self._compare_root()

    def _one(self, entry: Row, postings: list[Any], tap: Row | None) -> None:
        seq, body = self.tree.size, entry["body"]
        leaf = leaf_hash(body)
        if leaf != entry["leaf_hash"]:
            raise LogBroken(seq, "its bytes do not have the hash that was recorded")
        try:
            value = decode(body)
            columns = searchable(value)
        except EntryUnreadable as error:
            raise LogBroken(seq, str(error)) from error
        self._check_chain(seq, entry, value)
        for name, said in columns.items():
            if entry[name] != said:
                raise LogBroken(
                    seq, f"its column {name} is {entry[name]!r}, its bytes say {said!r}"
                )
        check_postings(seq, entry, value, postings)
        self._check_commitment(seq, value, "rider", entry["account_id"], key_name)
        self._check_commitment(seq, value, "by", entry["made_by"], staff_key_name)
        check_tap(seq, entry, value, tap)
        self.unlinked += value["unlinked"] if value["kind"] == "close" else 0
        self.postings += len(postings)
        self.taps += tap is not None
        self.prev = leaf
        self._check_nodes(self.tree.append(leaf))

    def _check_chain(self, seq: int, entry: Row, value: Row) -> None:
        if entry["prev"] != self.prev or value.get("prev") != self.prev.hex():
            raise LogBroken(seq, "it does not follow the entry before it")
        if value.get("seq") != seq:
            raise LogBroken(seq, f"its bytes say it is entry {value.get('seq')}")
        if entry["recorded_at"] < self.recorded_at:
            raise LogBroken(seq, "it says it was recorded before the entry before it")
        self.recorded_at = entry["recorded_at"]

    def _check_commitment(
        self, seq: int, value: Row, member: str, whose: str | None, name: Any
    ) -> None:
        committed = value.get(member)
        if committed is None:
            if whose is not None:
                raise LogBroken(seq, f"a column names {whose}, its bytes commit to nobody")
            return
        if whose is None:
            self.erased += member == "rider"
            return
        key = self._key(name(whose))
        if key is None:
            self.unproved += 1
        elif commitment(key, value["id"]) != committed:
            raise LogBroken(seq, f"its column names {whose}, its bytes commit to someone else")

    def _key(self, name: str) -> bytes | None:
        if self.vault is None:
            return None
        if name not in self.keys:
            try:
                self.keys[name] = self.vault.key(name)
            except KeyErased:
                self.keys[name] = None
        return self.keys[name]

    def _check_nodes(self, completed: list[bytes]) -> None:
        for node in nodes_to_keep(self.tree.size, completed):
            kept = self.session.execute(
                select(col(NodeRow.hash)).where(
                    col(NodeRow.level) == node["level"], col(NodeRow.position) == node["position"]
                )
            ).scalar()
            if kept != node["hash"]:
                raise LogBroken(
                    self.tree.size - 1, f"the kept tree node of level {node['level']} is wrong"
                )
            self.nodes += 1

    def _compare_root(self) -> None:
        expected = self.expected
        if expected is None or self.tree.size != expected.size:
            return
        if self.tree.root() != expected.root:
            raise LogBroken(
                None,
                f"its first {expected.size} entries are not those of the checkpoint: "
                "some were changed and everything after them was made to fit",
            )


def _check_totals(session: Session, walk: _Walk) -> None:
    """Rows beside the log that belong to no entry."""
    taps = table(TapRow)
    claims = func.count(taps.c.tap_id)
    for name, count, seen in (
        ("postings", select(func.count()).select_from(table(PostingRow)), walk.postings),
        ("tree nodes", select(func.count()).select_from(table(NodeRow)), walk.nodes),
        ("taps with an entry", select(claims).where(taps.c.entry_seq.is_not(None)), walk.taps),
        ("accepted taps", select(claims).where(taps.c.outcome == "accepted"), walk.taps),
    ):
        found = session.execute(count).scalar_one()
        if found != seen:
            raise LogBroken(walk.tree.size, f"there are {found} {name}, the entries have {seen}")


def _check_erasures(walk: _Walk) -> None:
    if walk.erased != walk.unlinked:
        raise LogBroken(
            None,
            f"{walk.erased} entries lost their account, but the closing entries of erased "
            f"riders unlinked {walk.unlinked}",
        )


def _check_balances(session: Session) -> None:
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
            raise LogBroken(None, f"the account {account} {reason}")


def _report(walk: _Walk, expected: Checkpoint | None) -> VerifyReport:
    size = walk.tree.size
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
    if walk.unproved:
        not_excluded.append(
            f"whose entries they are: {walk.unproved} commitments could not be checked, "
            "because their keys are not here"
        )
    return VerifyReport(
        entries=size,
        root=walk.tree.root().hex(),
        checkpoint_size=None if expected is None else expected.size,
        erased=walk.erased,
        unproved=walk.unproved,
        not_excluded=tuple(not_excluded),
    )
