"""Tables of finance: roll-ups of the entries, statements, what was paired, and what was not.

They lie beside the entries and share their transactions. Three kinds of table:

* *Roll-ups* (posting_total, taking, movement) repeat what entries say, added up. They move
  with the entries (``ledger.rollups``) and can be counted again from nothing.
* *Evidence* (statement, statement_line, pairing, difference_note, period_close,
  period_reopening) is only added; triggers refuse changes, as they do for entries.
* *Work in hand* (processor_call, card, card_page, card_leaving, processor_trouble, drawer,
  difference) has a state that moves.

``open`` is 1 where a movement or line still waits for its counterpart, so that what waits
is found without reading what is done.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, text
from sqlmodel import Field

from models.tables.columns import UtcTime
from models.tables.ledger import LedgerTable, Whole

OPEN = text("open = 1")
UNPAID = text("unpaid = 1")
UNSETTLED = text("state IN ('due', 'sent')")
UNRESOLVED = text("state = 'open'")
NOT_CLOSED = text("closed_at IS NULL")


class BooksRow(LedgerTable, table=True):
    """The one row that says in which time zone the books count their days."""

    __tablename__ = "books"

    one: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    zone: str


class PostingTotalRow(LedgerTable, table=True):
    """What was posted to an account on a day of the books."""

    __tablename__ = "posting_total"

    account: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    lines: int = Field(sa_type=BigInteger)
    minor: int = Field(sa_type=BigInteger)


class TakingRow(LedgerTable, table=True):
    """How many entries of one sort a day had, and what they came to. Unknown is ''."""

    __tablename__ = "taking"

    day: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    network: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    station: str = Field(primary_key=True)
    gate: str = Field(primary_key=True)
    product: str = Field(primary_key=True)
    category: str = Field(primary_key=True)
    medium: str = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    entries: int = Field(sa_type=BigInteger)
    minor: int = Field(sa_type=BigInteger)
    capped_minor: int = Field(sa_type=BigInteger)
    offline: int = Field(sa_type=BigInteger)
    late: int = Field(sa_type=BigInteger)


class MovementRow(LedgerTable, table=True):
    """A claim on the processor, which its report must have, or cash that the bank must get."""

    __tablename__ = "movement"
    __table_args__ = (
        Index("movement_open", "account", "day", sqlite_where=OPEN, postgresql_where=OPEN),
    )

    entry_seq: int = Field(
        sa_type=Whole, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    line: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    entry_id: str = Field(index=True)
    kind: str
    account: str
    minor: int = Field(sa_type=BigInteger)
    currency: str
    day: str = Field(index=True)
    occurred_at: datetime = Field(sa_type=UtcTime)
    corrects: str | None = None
    open: int


class StatementRow(LedgerTable, table=True):
    """An imported file, known by the digest of its bytes."""

    __tablename__ = "statement"

    digest: str = Field(primary_key=True)
    profile: str
    source: str  # processor | bank
    name: str
    lines: int
    first_day: str
    last_day: str
    imported_at: datetime = Field(sa_type=UtcTime)


class StatementLineRow(LedgerTable, table=True):
    """One line of a statement, amounts in minor units as they change our balance there.

    ``unpaid`` is 1 at the processor until its payout has come with all its lines. ``booked``
    is the day its file's entry was booked on: ``day``, unless that was closed.
    """

    __tablename__ = "statement_line"
    __table_args__ = (
        Index("statement_line_open", "source", "day", sqlite_where=OPEN, postgresql_where=OPEN),
        Index("statement_line_unpaid", "day", sqlite_where=UNPAID, postgresql_where=UNPAID),
    )

    line_id: str = Field(primary_key=True)
    digest: str = Field(foreign_key="statement.digest")
    line_no: int
    source: str
    kind: str  # charge | refund | chargeback | fee | payout | receipt | other
    own_id: str | None = Field(default=None, index=True)
    reference: str | None = None
    payout_id: str | None = Field(default=None, index=True)
    gross_minor: int = Field(sa_type=BigInteger)
    fee_minor: int = Field(sa_type=BigInteger)
    net_minor: int = Field(sa_type=BigInteger)
    currency: str
    day: str
    booked: str = Field(index=True)
    words: str
    open: int
    unpaid: int


class PairingRow(LedgerTable, table=True):
    """Two things that are one and the same money, by which rule, and how sure."""

    __tablename__ = "pairing"

    left_id: str = Field(primary_key=True)
    right_id: str = Field(primary_key=True, index=True)
    leg: str  # processor | payout | bank
    rule: str
    confidence_percent: int
    day: str


class DifferenceRow(LedgerTable, table=True):
    """Something the three books do not agree on, or a gate's chain of taps lacks or contradicts.

    ``minor`` is what it leaves on ``account``, for taps nothing.
    ``said`` is a code with values, as ``ledger.reconcile.said`` writes it.
    """

    __tablename__ = "difference"
    __table_args__ = (
        Index("difference_open", "day", sqlite_where=UNRESOLVED, postgresql_where=UNRESOLVED),
    )

    difference_id: str = Field(primary_key=True)
    kind: str
    subject: str = Field(index=True)
    other: str | None = None
    account: str
    minor: int = Field(sa_type=BigInteger)
    at_stake_minor: int = Field(sa_type=BigInteger)
    currency: str
    day: str
    severity: str
    owner: str
    said: str
    state: str  # open | resolved | cleared
    version: int
    closed_day: str | None = None
    reason: str | None = None
    entry_id: str | None = None


class DifferenceNoteRow(LedgerTable, table=True):
    """What was said about a difference and done with it, in order; never changed."""

    __tablename__ = "difference_note"

    difference_id: str = Field(primary_key=True, foreign_key="difference.difference_id")
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcTime)
    made_by: str
    what: str  # comment | owner | proposed | resolved | cleared | changed
    words: str  # as a person wrote them; of a run a code, like ``said``


class PeriodCloseRow(LedgerTable, table=True):
    """A closed day or month: its report's exact bytes and the entry that vouches for them."""

    __tablename__ = "period_close"

    period: str = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    entry_id: str
    size: int = Field(sa_type=BigInteger)
    report: bytes = Field(sa_type=LargeBinary)
    closed_at: datetime = Field(sa_type=UtcTime)


class PeriodReopeningRow(LedgerTable, table=True):
    """That a closed period was opened again, by whom, and why."""

    __tablename__ = "period_reopening"

    period: str = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    entry_id: str
    reason: str
    asked_by: str
    approved_by: str
    reopened_at: datetime = Field(sa_type=UtcTime)


class CardRow(LedgerTable, table=True):
    """The card a rider tops up with, as the processor names it; deleted with the rider.

    ``asked_at`` is when its rider went to the processor's page to add it.
    """

    __tablename__ = "card"

    account_id: str = Field(primary_key=True)
    processor: str
    customer: str
    method: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    asked_at: datetime = Field(sa_type=UtcTime)


class CardPageRow(LedgerTable, table=True):
    """A page of the processor on which a rider adds a card; deleted once it is decided.

    Without an account the rider does not want the card any more: whatever is added there is
    forgotten. ``session`` is the processor's name of the page.
    """

    __tablename__ = "card_page"

    page_id: str = Field(primary_key=True)
    account_id: str | None = Field(default=None, index=True)
    processor: str
    session: str | None = None
    made_at: datetime = Field(sa_type=UtcTime)
    next_at: datetime = Field(sa_type=UtcTime)


class CardLeavingRow(LedgerTable, table=True):
    """A card that the processor has to forget; it says no more whose it was."""

    __tablename__ = "card_leaving"

    method: str = Field(primary_key=True)
    customer: str
    processor: str
    attempts: int
    next_at: datetime = Field(sa_type=UtcTime)


class ProcessorTroubleRow(LedgerTable, table=True):
    """Why the processor refuses us altogether, until it answers again."""

    __tablename__ = "processor_trouble"

    processor: str = Field(primary_key=True)
    words: str
    since: datetime = Field(sa_type=UtcTime)


class ProcessorCallRow(LedgerTable, table=True):
    """A call to the processor: written down before it is made, settled once.

    ``due`` was never sent; ``sent`` may have been, and is asked about before anything else.
    """

    __tablename__ = "processor_call"
    __table_args__ = (
        Index("processor_call_unsettled", "next_at",
              sqlite_where=UNSETTLED, postgresql_where=UNSETTLED),
    )  # fmt: skip

    call_id: str = Field(primary_key=True)
    kind: str  # charge | refund
    account_id: str | None = None
    minor: int = Field(sa_type=BigInteger)
    currency: str
    corrects: str | None = Field(default=None, index=True)
    customer: str
    method: str
    automatic: int
    state: str  # due | sent | succeeded | failed
    reference: str | None = Field(default=None, index=True)
    reason: str | None = None
    attempts: int
    made_at: datetime = Field(sa_type=UtcTime)
    next_at: datetime = Field(sa_type=UtcTime)


class ProcessorEventRow(LedgerTable, table=True):
    """A webhook that was understood; the same event again changes nothing."""

    __tablename__ = "processor_event"

    processor: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    kind: str
    received_at: datetime = Field(sa_type=UtcTime)


class DrawerRow(LedgerTable, table=True):
    """A clerk's turn at the till, from the opening count to the closing count."""

    __tablename__ = "drawer"
    __table_args__ = (
        Index("drawer_one_per_clerk", "clerk", unique=True,
              sqlite_where=NOT_CLOSED, postgresql_where=NOT_CLOSED),
    )  # fmt: skip

    drawer_id: str = Field(primary_key=True)
    clerk: str
    currency: str
    opened_at: datetime = Field(sa_type=UtcTime)
    opened_size: int = Field(sa_type=BigInteger)
    opening_minor: int = Field(sa_type=BigInteger)
    closed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    expected_minor: int | None = Field(default=None, sa_type=BigInteger)
    counted_minor: int | None = Field(default=None, sa_type=BigInteger)
    entry_id: str | None = None
