"""Import a statement: keep its lines once, and book what they say, in one transaction.

What the processor confirms moves from our claims to our balance there, less its fees; a
payout moves on, and what the bank received arrives:

    a charge of 20.00, fee 0.53    assets:psp_clearing       -2000    no longer only our claim
                                   assets:psp_balance        +1947
                                   expenses:psp_fees           +53
    its payout                     assets:psp_balance        -1947
                                   assets:payouts_in_transit +1947
    at the bank                    assets:payouts_in_transit -1947
                                   assets:bank               +1947

One entry for each day and currency of the file, dated on that day while it is open. The
entry names the file's digest, so the log vouches for which file was booked. All three
clearing accounts come back to zero; what stays is a difference or still on its way.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlmodel import Session

from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.postings import Posting
from ledger.reconcile.closed import booking_day, today
from ledger.reconcile.matching import days_between
from ledger.reconcile.statements.lines import Line, Statement, StatementRefused
from ledger.reconcile.statements.profiles import read_statement
from ledger.rollups import PAYOUTS, PSP_BALANCE, PSP_CLEARING, SETTLEMENT, books_zone
from ledger.store import LogWriter, table
from models.bulk import among, change_rows, insert_rows
from models.database import reading, writing
from models.money import Money
from models.tables.reconcile import StatementLineRow, StatementRow

BANK = "assets:bank"
PSP_FEES = "expenses:psp_fees"

_NAMESPACE = UUID("7b0c3a52-5d6f-5f0e-9f44-6f2f6a6e1c11")
_LINE = ("line_id", "digest", "line_no", "source", "kind", "own_id", "reference", "payout_id",
         "gross_minor", "fee_minor", "net_minor", "currency", "day", "booked", "words", "open",
         "unpaid")  # fmt: skip
_PIECE = 10_000

DAYS_BACK_MAX = 800
DAYS_AHEAD_MAX = 7
"""Banks and processors date some lines a few days ahead."""

Movements = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: ``new`` lines were kept, ``seen_before`` lay here already."""

    digest: str
    profile: str
    lines: int
    new: int
    seen_before: int
    entries: int
    replayed: bool = False


def import_statement(
    ledger: Ledger, data: bytes, name: str, profile: str | None = None
) -> Imported:
    """Import the file ``data``; the same bytes again change nothing and say so.

    Raises ``StatementRefused`` for a file that cannot be read whole, or that contradicts a
    line of an earlier file; nothing is kept of it then.
    """
    digest = hashlib.sha256(data).hexdigest()
    with reading(ledger.engine) as session:
        earlier = session.get(StatementRow, digest)
        zone = books_zone(session)
    if earlier is not None:
        return _replayed(earlier)
    statement = read_statement(data, zone, profile)
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        earlier = session.get(StatementRow, digest)
        if earlier is not None:
            return _replayed(earlier)
        _check_days(statement, today(session, writer.recorded_at))
        new = _new_lines(session, statement)
        _keep(session, digest, name, statement, new, writer)
        entries = _book(session, writer, digest, statement, new)
    return Imported(digest, statement.profile, len(statement.lines), len(new),
                    len(statement.lines) - len(new), entries)  # fmt: skip


def _replayed(row: StatementRow) -> Imported:
    return Imported(row.digest, row.profile, row.lines, 0, row.lines, 0, replayed=True)


def _check_days(statement: Statement, current: str) -> None:
    """Refuse days that can only be a slip: they would be booked, and hard to find again."""
    faults = [
        (line.line_no, f"its day {line.day} is not within the last {DAYS_BACK_MAX} days")
        for line in statement.lines
        if not -DAYS_AHEAD_MAX <= days_between(line.day, current) <= DAYS_BACK_MAX
    ]
    if faults:
        raise StatementRefused(faults)


def _new_lines(session: Session, statement: Statement) -> list[Line]:
    """The lines that no file had before; a payout told only now is added to those that did."""
    kept = _kept(session, [line.line_id for line in statement.lines])
    faults: list[tuple[int, str]] = []
    told: list[tuple[str, str]] = []
    new: list[Line] = []
    for line in statement.lines:
        row = kept.get(line.line_id)
        if row is None:
            new.append(line)
            continue
        said = (line.kind, line.gross, line.fee, line.currency)
        if said != (row.kind, row.gross_minor, row.fee_minor, row.currency):
            faults.append((line.line_no, f"{line.line_id} was another amount in an earlier file"))
        elif line.day != row.day:
            days = f"on {row.day} in an earlier file and is on {line.day} in this one"
            faults.append((line.line_no, f"{line.line_id} was {days}"))
        elif line.payout_id and row.payout_id is None:
            told.append((line.payout_id, line.line_id))
        elif line.payout_id and line.payout_id != row.payout_id:
            faults.append((line.line_no, f"{line.line_id} was in the payout {row.payout_id}"))
    if faults:
        raise StatementRefused(faults)
    change_rows(session, "statement_line", "payout_id = {}", "line_id", told)
    return new


def _kept(session: Session, ids: Sequence[str]) -> dict[str, Any]:
    lines = table(StatementLineRow)
    columns = lines.c["line_id", "kind", "gross_minor", "fee_minor", "currency", "day", "payout_id"]
    found: dict[str, Any] = {}
    for start in range(0, len(ids), _PIECE):
        piece = among(session, lines.c.line_id, list(ids[start : start + _PIECE]))
        found.update((row.line_id, row) for row in session.execute(select(*columns).where(piece)))
    return found


def _keep(
    session: Session,
    digest: str,
    name: str,
    statement: Statement,
    new: Sequence[Line],
    writer: LogWriter,
) -> None:
    days = [line.day for line in statement.lines] or list(statement.closed)
    session.add(
        StatementRow(
            digest=digest,
            profile=statement.profile,
            source=statement.source,
            name=name[:200],
            lines=len(statement.lines),
            first_day=min(days),
            last_day=max(days),
            imported_at=writer.recorded_at,
        )
    )
    session.flush()
    at_processor = int(statement.source == "processor")
    booked = {day: booking_day(session, day, writer.recorded_at) for day in set(days)}
    for start in range(0, len(new), _PIECE):
        rows = [
            (line.line_id, digest, line.line_no, statement.source, line.kind, line.own_id,
             line.reference, line.payout_id, line.gross, line.fee, line.net, line.currency,
             line.day, booked[line.day], line.words, int(line.kind != "fee"), at_processor)
            for line in new[start : start + _PIECE]
        ]  # fmt: skip
        insert_rows(session, table(StatementLineRow), _LINE, rows)


def _book(
    session: Session, writer: LogWriter, digest: str, statement: Statement, new: Sequence[Line]
) -> int:
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in new:
        groups[line.day, line.currency].append(line)
    settle = _at_bank if statement.source == "bank" else _at_processor
    entries = 0
    for (day, currency), lines in sorted(groups.items()):
        moves = settle(lines)
        if not moves:
            continue
        writer.append(_draft(session, writer, digest, day, currency, moves, len(lines)))
        entries += 1
    writer.save()
    return entries


def _draft(
    session: Session,
    writer: LogWriter,
    digest: str,
    day: str,
    currency: str,
    moves: Movements,
    lines: int,
) -> Draft:
    return Draft(
        kind=SETTLEMENT,
        entry_id=str(uuid5(_NAMESPACE, f"{digest} {day} {currency}")),
        occurred_at=writer.recorded_at,
        amount=Money(sum(minor for _, minor in moves if minor > 0), currency),
        postings=tuple(Posting(account, Money(minor, currency)) for account, minor in moves),
        facts={
            "day": booking_day(session, day, writer.recorded_at),
            "statement": digest,
            "statement_day": day,
            "lines": lines,
        },
    )


def _at_processor(lines: Sequence[Line]) -> Movements:
    gross = sum(line.gross for line in lines if line.kind not in ("fee", "payout"))
    fees = sum(line.fee for line in lines)
    fees -= sum(line.gross for line in lines if line.kind == "fee")
    paid = -sum(line.gross for line in lines if line.kind == "payout")
    moves = ((PSP_CLEARING, -gross), (PSP_BALANCE, gross - fees - paid), (PSP_FEES, fees),
             (PAYOUTS, paid))  # fmt: skip
    return tuple(move for move in moves if move[1])


def _at_bank(lines: Sequence[Line]) -> Movements:
    received = sum(line.net for line in lines)
    return ((PAYOUTS, -received), (BANK, received)) if received else ()
