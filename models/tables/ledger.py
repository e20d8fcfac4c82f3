"""Tables of the fares database: entries that are only added, and what is looked up by them.

The schema keeps the rules and the program only reports them: an entry's number is the next
one, its predecessor is the entry before it, its id is unique, a tap is recorded once, and
one gate has one tap per number. Triggers refuse every change of an entry or posting except
taking the account (or the member of staff) away, which is how a rider is forgotten.

On PostgreSQL several requests charge at once. Each leaves its entries in the *inbox*, in
the transaction that decides about them, and the sequencer gives them their numbers from
there (``ledger.sequencer``). On SQLite there is one writer, and its inbox stays empty.

There is no index over hashes: they fall all over such an index, and writing it would cost
more with every entry. The trigger that compares ``prev`` with the entry before says more
than its being unique would.

The tables are made by ``ledger/migrations``, which holds the triggers too; a test compares
what they make with what is said here.

Amounts follow the accountant's sign: debit positive, credit negative.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData, text
from sqlmodel import Field, SQLModel

from models.tables.columns import UtcTime

# Written out, not bound: only then does SQLite see that the partial indexes below serve it.
NOT_A_FORK = text("chain <> 'fork'")
NO_ENTRY = text("entry_seq IS NULL")
NOT_CHARGED = text("outcome IN ('quarantined', 'refused')")
A_CORRECTION = text("corrects IS NOT NULL")
AFTER_A_GAP = text("chain = 'gap'")
TO_CLOSE = text("closes_at IS NOT NULL")
IN_FORCE = text("lifted_at IS NULL")
UNANSWERED = text("answered_at IS NULL")

# SQLite only takes a plain INTEGER for the row's own number.
Whole = BigInteger().with_variant(Integer, "sqlite")


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
    balance_minor: int = Field(default=0, sa_type=BigInteger, index=True)
    opened_at: datetime = Field(sa_type=UtcTime)
    changed_at: datetime = Field(sa_type=UtcTime)


class EntryRow(LedgerTable, table=True):
    """One entry: the exact bytes that were hashed, and columns to search by.

    ``seq`` is the entry's leaf index in the tree. ``account_id`` and ``made_by`` are not
    in the bytes, which only hold keyed commitments to them.
    """

    __tablename__ = "entry"
    __table_args__ = (
        Index("entry_that_corrects", "corrects",
              sqlite_where=A_CORRECTION, postgresql_where=A_CORRECTION),
    )  # fmt: skip

    seq: int = Field(sa_type=Whole, primary_key=True, sa_column_kwargs={"autoincrement": False})
    entry_id: str = Field(unique=True)
    kind: str
    body: bytes = Field(sa_type=LargeBinary)
    leaf_hash: bytes = Field(sa_type=LargeBinary)
    prev: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=UtcTime, index=True)
    occurred_at: datetime = Field(sa_type=UtcTime)
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str
    gate: str | None = None
    station: str | None = None
    direction: str | None = None
    medium: str | None = None
    rule: str | None = None
    tap_hash: str | None = None
    corrects: str | None = None
    account_id: str | None = Field(default=None, index=True)
    made_by: str | None = None


class PostingRow(LedgerTable, table=True):
    """One line of an entry. ``account`` is the name in the bytes; a rider's has an account_id."""

    __tablename__ = "posting"
    __table_args__ = {"sqlite_with_rowid": False}

    entry_seq: int = Field(sa_type=Whole, primary_key=True, foreign_key="entry.seq")
    line: int = Field(primary_key=True)
    account: str
    account_id: str | None = None
    minor: int = Field(sa_type=BigInteger)
    currency: str


class NodeRow(LedgerTable, table=True):
    """The root of a full subtree of 256, 65536, … entries: ``level`` is 8, 16, …"""

    __tablename__ = "node"

    level: int = Field(primary_key=True)
    position: int = Field(sa_type=Whole, primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)


class InboxRow(LedgerTable, table=True):
    """A decided entry that has no number yet; ``contents`` is all else that its bytes will say.

    ``accepted_at`` and ``place`` are only a fair order to take them in: any order is right,
    and none is missed, because a taken row is deleted in the transaction that numbers it.
    """

    __tablename__ = "inbox"

    entry_id: str = Field(primary_key=True)
    accepted_at: datetime = Field(sa_type=UtcTime, index=True)
    place: int
    contents: str
    account_id: str | None = None
    made_by: str | None = None


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
              sqlite_where=NOT_CHARGED, postgresql_where=NOT_CHARGED),
        Index("tap_after_a_gap", "received_at",
              sqlite_where=AFTER_A_GAP, postgresql_where=AFTER_A_GAP),
    )  # fmt: skip

    tap_id: str = Field(primary_key=True)
    signed: str | None
    hash: str
    prev: str
    gate: str
    gate_seq: int = Field(sa_type=BigInteger)
    chain: str  # ok | gap | fork
    outcome: str  # accepted | waiting (its entry is in the inbox) | quarantined | refused
    entry_seq: int | None = Field(default=None, sa_type=Whole, foreign_key="entry.seq", unique=True)
    answer: str
    account_id: str | None = None
    received_at: datetime = Field(sa_type=UtcTime)


class GateChainRow(LedgerTable, table=True):
    """The highest tap number seen from a gate, and that tap's hash."""

    __tablename__ = "gate_chain"

    gate: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
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


class FeedRow(LedgerTable, table=True):
    """An activated fare feed: its files as a ZIP, and the service day it is in force from.

    Of two feeds from the same day the one with the higher number replaces the other.
    """

    __tablename__ = "feed"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    effective: str
    name: str
    sha256: str
    files: bytes = Field(sa_type=LargeBinary)
    activated_at: datetime = Field(sa_type=UtcTime)
    activated_by: str


class PassageRow(LedgerTable, table=True):
    """A charged tap as fares see it: where and when a rider went through a gate.

    The key keeps a rider's passages together, so their history is one range of the table.
    ``version`` is that of the rider's fares with this passage: whoever keeps the history of an
    earlier version lacks the passages with higher ones, and no others.
    """

    __tablename__ = "passage"
    __table_args__ = {"sqlite_with_rowid": False}

    account_id: str = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcTime, primary_key=True)
    tap_id: str = Field(primary_key=True)
    gate: str
    station: str
    direction: str
    received_at: datetime = Field(sa_type=UtcTime)
    version: int = Field(default=0, sa_type=Whole)


class FareStateRow(LedgerTable, table=True):
    """Whoever prices a rider's taps holds this row, so that one does it at a time.

    ``version`` counts what changed the rider's fares, ``held_minor`` is what is held for
    journeys without their other tap, ``closes_at`` the moment the first of those is charged,
    and ``as_of`` up to when that was done.
    """

    __tablename__ = "fare_state"
    __table_args__ = (
        Index("fare_state_to_close", "closes_at",
              sqlite_where=TO_CLOSE, postgresql_where=TO_CLOSE),
    )  # fmt: skip

    account_id: str = Field(primary_key=True)
    version: int = Field(default=0, sa_type=Whole)
    held_minor: int = Field(default=0, sa_type=BigInteger)
    closes_at: datetime | None = Field(default=None, sa_type=UtcTime)
    as_of: datetime | None = Field(default=None, sa_type=UtcTime)


class AccountCategoryRow(LedgerTable, table=True):
    """The rider category of an account for the service days ``first_day`` to ``last_day``.

    The row with the latest first day that covers a day says what holds on it.
    """

    __tablename__ = "account_category"

    account_id: str = Field(primary_key=True)
    first_day: str = Field(primary_key=True)
    last_day: str
    category: str
    recorded_at: datetime = Field(sa_type=UtcTime)
    made_by: str | None = None


class DayCloseRow(LedgerTable, table=True):
    """A service day whose journeys are all charged."""

    __tablename__ = "day_close"

    day: str = Field(primary_key=True)
    closed_at: datetime = Field(sa_type=UtcTime)


class BlockRow(LedgerTable, table=True):
    """Staff blocked an account, for a reason, and perhaps lifted that again."""

    __tablename__ = "block"
    __table_args__ = (
        Index("block_in_force", "account_id", unique=True,
              sqlite_where=IN_FORCE, postgresql_where=IN_FORCE),
    )  # fmt: skip

    block_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    reason: str
    note: str
    blocked_at: datetime = Field(sa_type=UtcTime)
    blocked_by: str
    lifted_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lifted_by: str | None = None
    lift_note: str | None = None


class StandingFeedRow(LedgerTable, table=True):
    """A version of the gates' deny list: the SHA-256 of what it said."""

    __tablename__ = "standing_feed"

    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    digest: str
    changed_at: datetime = Field(sa_type=UtcTime)


class AutoTopUpRow(LedgerTable, table=True):
    """A rider's wish: below ``below_minor``, take ``amount_minor`` through the processor.

    Never more than ``week_max_minor`` in seven days. ``paused`` says why it stopped by itself.
    """

    __tablename__ = "auto_top_up"

    account_id: str = Field(primary_key=True)
    below_minor: int = Field(sa_type=BigInteger)
    amount_minor: int = Field(sa_type=BigInteger)
    week_max_minor: int = Field(sa_type=BigInteger)
    paused: str | None = None
    changed_at: datetime = Field(sa_type=UtcTime)


class TopUpRequestRow(LedgerTable, table=True):
    """Ask the processor for this top-up; ``request_id`` becomes the id of its entry.

    An account has one unanswered request at a time. ``outcome`` is the processor's.
    """

    __tablename__ = "top_up_request"
    __table_args__ = (
        Index("top_up_request_unanswered", "account_id", unique=True,
              sqlite_where=UNANSWERED, postgresql_where=UNANSWERED),
    )  # fmt: skip

    request_id: str = Field(primary_key=True)
    account_id: str
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str
    asked_at: datetime = Field(sa_type=UtcTime)
    answered_at: datetime | None = Field(default=None, sa_type=UtcTime)
    outcome: str | None = None
