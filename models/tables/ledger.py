"""Tables of the fares database: entries that are only added, and what is looked up by them.

The schema keeps the rules and the program only reports them: an entry's number is the next
one, its predecessor is the entry before it, its id is unique, a tap is recorded once, and
one gate has one tap per number. Triggers refuse every change of an entry or posting except
taking the account (or the member of staff) away, which is how a rider is forgotten.

There is no index over hashes: they fall all over such an index, and writing it would cost
more with every entry. The trigger that compares ``prev`` with the entry before says more
than its being unique would.

Amounts follow the accountant's sign: debit positive, credit negative.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DDL, Index, Integer, LargeBinary, MetaData, event, text
from sqlmodel import Field, SQLModel

from models.tables.columns import UtcTime

# Written out, not bound: only then does SQLite see that the partial indexes below serve it.
NOT_A_FORK = text("chain <> 'fork'")
NO_ENTRY = text("entry_seq IS NULL")


class LedgerTable(SQLModel):
    """Base of the fares database's tables."""

    metadata = MetaData()


class AccountRow(LedgerTable, table=True):
    """A rider's account: a pseudonym and a balance, positive when we owe the rider.

    The balance is a projection of the postings, moved in the same transaction as they are
    added; verification adds the postings up again.
    """

    __tablename__ = "account"

    account_id: str = Field(primary_key=True)
    currency: str
    balance_minor: int = Field(default=0, index=True)
    opened_at: datetime = Field(sa_type=UtcTime)
    changed_at: datetime = Field(sa_type=UtcTime)


class EntryRow(LedgerTable, table=True):
    """One entry: the exact bytes that were hashed, and columns to search by.

    ``seq`` is the entry's leaf index in the tree. ``account_id`` and ``made_by`` are not
    in the bytes, which only hold keyed commitments to them.
    """

    __tablename__ = "entry"

    seq: int = Field(sa_type=Integer, primary_key=True, sa_column_kwargs={"autoincrement": False})
    entry_id: str = Field(unique=True)
    kind: str
    body: bytes = Field(sa_type=LargeBinary)
    leaf_hash: bytes = Field(sa_type=LargeBinary)
    prev: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=UtcTime, index=True)
    occurred_at: datetime = Field(sa_type=UtcTime)
    amount_minor: int
    currency: str
    gate: str | None = None
    station: str | None = None
    direction: str | None = None
    medium: str | None = None
    rule: str | None = None
    tap_hash: str | None = None
    corrects: str | None = Field(default=None, index=True)
    account_id: str | None = Field(default=None, index=True)
    made_by: str | None = None


class PostingRow(LedgerTable, table=True):
    """One line of an entry. ``account`` is the name in the bytes; a rider's has an account_id."""

    __tablename__ = "posting"

    entry_seq: int = Field(primary_key=True, foreign_key="entry.seq")
    line: int = Field(primary_key=True)
    account: str
    account_id: str | None = None
    minor: int
    currency: str


class NodeRow(LedgerTable, table=True):
    """The root of a full subtree of 256, 65536, … entries: ``level`` is 8, 16, …"""

    __tablename__ = "node"

    level: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)


class TapRow(LedgerTable, table=True):
    """A tap with a good signature, what became of it, and the answer the gate got.

    ``signed`` names the account, so erasure empties it; ``hash`` stays and still joins the
    gate's chain and the entry.
    """

    __tablename__ = "tap"
    __table_args__ = (
        Index("tap_once_per_number", "gate", "gate_seq", unique=True,
              sqlite_where=NOT_A_FORK, postgresql_where=NOT_A_FORK),
        Index("tap_without_entry", "account_id",
              sqlite_where=NO_ENTRY, postgresql_where=NO_ENTRY),
        Index("tap_not_charged", "received_at",
              sqlite_where=NO_ENTRY, postgresql_where=NO_ENTRY),
    )  # fmt: skip

    tap_id: str = Field(primary_key=True)
    signed: str | None
    hash: str
    prev: str
    gate: str
    gate_seq: int
    chain: str  # ok | gap | fork
    outcome: str  # accepted | quarantined | refused
    entry_seq: int | None = Field(default=None, foreign_key="entry.seq", unique=True)
    answer: str
    account_id: str | None = None
    received_at: datetime = Field(sa_type=UtcTime)


class GateChainRow(LedgerTable, table=True):
    """The highest tap number seen from a gate, and that tap's hash."""

    __tablename__ = "gate_chain"

    gate: str = Field(primary_key=True)
    seq: int
    hash: str
    seen_at: datetime = Field(sa_type=UtcTime)


class RefusalRow(LedgerTable, table=True):
    """Something a gate sent as a tap that could not be one. Sent again, it is only counted."""

    __tablename__ = "refusal"

    hash: str = Field(primary_key=True)
    gate: str
    tap_id: str | None = None
    problem: str
    detail: str
    times: int = 1
    first_at: datetime = Field(sa_type=UtcTime)
    last_at: datetime = Field(sa_type=UtcTime)


def _only_added(table: str, may_be_forgotten: tuple[str, ...]) -> list[str]:
    """Triggers that refuse to change or delete a row, but let some columns become NULL."""
    columns = [column.name for column in LedgerTable.metadata.tables[table].columns]
    kept = [f"NEW.{name} IS OLD.{name}" for name in columns if name not in may_be_forgotten]
    kept += [f"(NEW.{name} IS NULL OR NEW.{name} IS OLD.{name})" for name in may_be_forgotten]
    refuse = "BEGIN SELECT RAISE(ABORT, 'entries are only added, never changed'); END"
    return [
        f"CREATE TRIGGER IF NOT EXISTS {table}_is_not_changed BEFORE UPDATE ON {table} "
        f"WHEN NOT ({' AND '.join(kept)}) {refuse}",
        f"CREATE TRIGGER IF NOT EXISTS {table}_is_not_deleted BEFORE DELETE ON {table} {refuse}",
    ]


_FOLLOWS = (
    "CREATE TRIGGER IF NOT EXISTS entry_follows_the_one_before BEFORE INSERT ON entry "
    "WHEN NEW.seq <> (SELECT COALESCE(MAX(seq) + 1, 0) FROM entry) OR NEW.prev <> COALESCE("
    "(SELECT leaf_hash FROM entry WHERE seq = NEW.seq - 1), zeroblob(32)) "
    "BEGIN SELECT RAISE(ABORT, 'an entry has the next number and names the one before'); END"
)

for _statement in (
    *_only_added("entry", ("account_id", "made_by")),
    *_only_added("posting", ("account_id",)),
    *_only_added("node", ()),
    _FOLLOWS,
):
    event.listen(
        LedgerTable.metadata,
        "after_create",
        DDL(_statement).execute_if(dialect="sqlite"),  # type: ignore[no-untyped-call]
    )
