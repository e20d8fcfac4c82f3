"""Reconcile: pair everything open at the end of a day, and keep what differs.

A run reads what is open in the three books, pairs it, marks what was paired as done, and
brings the differences up to date: new ones are added, and those whose money was found after
all are cleared. It books nothing: statements were booked when they were imported, and a
difference is only closed by a person with a reason (``resolve``).

Running a day again finds nothing new, and its report comes out the same, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlmodel import Session, col

from ledger.ledger import Ledger
from ledger.reconcile.differences import (
    OWNERS,
    Books,
    Finding,
    Known,
    PayoutSum,
    find_differences,
    payout_sums,
)
from ledger.reconcile.drawer import Deposit, deposits, deposits_under_way
from ledger.reconcile.gate_taps import tap_findings
from ledger.reconcile.matching import Claim, Matched, claim_name, match_processor
from ledger.reconcile.matching_bank import match_bank
from ledger.reconcile.rules import Rules
from ledger.reconcile.said import said
from ledger.reconcile.statements.lines import Line
from ledger.rollups import PSP_CLEARING
from ledger.store import table
from models.bulk import among, change_rows, insert_rows
from models.database import writing
from models.money import Money
from models.tables.reconcile import (
    OPEN,
    UNPAID,
    UNRESOLVED,
    DifferenceNoteRow,
    DifferenceRow,
    MovementRow,
    PairingRow,
    StatementLineRow,
)

MACHINE = "facefare"
"""Who made a note that no person made."""

_LINE = ("line_no", "line_id", "kind", "gross_minor", "fee_minor", "currency", "day", "own_id",
         "reference", "payout_id", "words")  # fmt: skip
_CLAIM = ("entry_id", "kind", "minor", "currency", "day", "corrects")
_PAIRING = ("left_id", "right_id", "leg", "rule", "confidence_percent", "day")
_CLAIM_KINDS = ("charge", "refund", "chargeback", "other")
_PIECE = 20_000
AGAIN_DAYS = 60
"""For how long a bag that arrived is remembered, so that it is not taken for another."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run did: pairs made, differences found for the first time, and cleared."""

    day: str
    paired: int
    found: int
    cleared: int


def run_day(ledger: Ledger, day: str, rules: Rules) -> Ran:
    """Reconcile everything up to the end of ``day``, a day of the books."""
    with writing(ledger.engine) as session:
        books = _match(session, day)
        findings = find_differences(books, day, rules)
        findings += payout_sums(_settle_payouts(session, day))
        findings += tap_findings(session, day, ledger.settings.currency)
        pairs = books.processor.pairs + books.bank.pairs
        _keep_pairs(session, pairs, day)
        found = _keep_findings(session, findings, ledger.clock())
        cleared = _clear(session, findings, day, ledger)
    return Ran(day, len(pairs), found, cleared)


def _match(session: Session, day: str) -> Books:
    claims, items = open_claims(session, day), open_items(session, "processor", day)
    payouts = [item for item in items if item.kind == "payout"] + open_deposits(session, day)
    items = [item for item in items if item.kind in _CLAIM_KINDS]
    receipts = open_items(session, "bank", day)
    processor, bank = match_processor(claims, items), match_bank(payouts, receipts)
    known = _known(session, items, processor, receipts)
    return Books(claims, items, payouts, receipts, processor, bank, known)


def open_claims(session: Session, day: str) -> list[Claim]:
    """Our claims up to ``day`` that no line of the processor was paired with."""
    rows = table(MovementRow)
    where = (OPEN, rows.c.account == PSP_CLEARING, rows.c.day <= day)
    query = select(*rows.c[_CLAIM]).where(*where).order_by(rows.c.entry_seq)
    return [Claim(*row) for row in session.execute(query)]


def open_deposits(session: Session, day: str) -> list[Line]:
    """Cash carried to the bank up to ``day`` that has not arrived, in the form of payouts."""
    return [_line_of(one) for one in deposits_under_way(session) if one.day <= day]


def _line_of(one: Deposit) -> Line:
    return Line(0, one.entry_id, "deposit", -one.amount.minor, 0, one.amount.currency, one.day,
                payout_id=one.slip)  # fmt: skip


def open_items(session: Session, source: str, day: str) -> list[Line]:
    """The lines of ``source`` up to ``day`` that still wait for their counterpart."""
    rows = table(StatementLineRow)
    where = (OPEN, rows.c.source == source, rows.c.day <= day)
    query = select(*rows.c[_LINE]).where(*where).order_by(rows.c.day, rows.c.line_id)
    return [Line(*row) for row in session.execute(query)]


def _known(
    session: Session, items: Sequence[Line], processor: Matched, receipts: Sequence[Line]
) -> Known:
    """Look up the ids that unpaired lines name and that are not open any more."""
    left = [item for item in items if item.line_id not in processor.right]
    own_ids = {claim_name(item.kind, item.gross, item.own_id) for item in left}
    named = {name for name in (*own_ids, *(item.reference for item in left)) if name}
    movements, pairings, lines = table(MovementRow), table(PairingRow), table(StatementLineRow)
    payouts = {name for one in receipts for name in (one.payout_id, one.reference) if name}
    return Known(
        _found(session, pairings.c.left_id, named),
        _found(session, movements.c.entry_id, named),
        _found(session, lines.c.payout_id, payouts, lines.c.kind == "payout"),
        _settled_deposits(session, receipts),
    )


def _settled_deposits(session: Session, receipts: Sequence[Line]) -> tuple[Line, ...]:
    """The bags that arrived before and that one of these receipts could have again."""
    if not receipts:
        return ()
    first = date.fromisoformat(min(receipt.day for receipt in receipts))
    since = (first - timedelta(days=AGAIN_DAYS)).isoformat()
    settled = (col(MovementRow.open) == 0, col(MovementRow.day) >= since)
    return tuple(map(_line_of, deposits(session, *settled)))


def _found(session: Session, column: Any, names: set[str], *where: Any) -> frozenset[str]:
    if not names:
        return frozenset()
    query = select(column).where(among(session, column, sorted(names)), *where)
    return frozenset(session.execute(query).scalars())


def _settle_payouts(session: Session, day: str) -> list[PayoutSum]:
    """Add up the lines of each payout that came; those that do add up are paid, and done.

    Lines that come after their payout was done, or was resolved, are added up by themselves.
    """
    payouts = _payouts_with_lines(session, day)
    if not payouts:
        return []
    rows = table(StatementLineRow)
    columns = rows.c["payout_id", "line_id", "kind", "net_minor", "currency", "unpaid"]
    query = select(*columns).where(
        among(session, rows.c.payout_id, sorted(payouts)), rows.c.source == "processor"
    )
    totals: dict[str, int] = defaultdict(int)
    waiting: dict[str, list[Any]] = defaultdict(list)
    for row in session.execute(query):
        if row.currency == payouts[row.payout_id].currency:
            totals[row.payout_id] += row.net_minor
            waiting[row.payout_id] += [row] if row.unpaid else []
    left = {name: sum(row.net_minor for row in lines) for name, lines in waiting.items()}
    done = [(0, row.line_id) for name in left if not left[name] for row in waiting[name]]
    change_rows(session, "statement_line", "unpaid = {}", "line_id", done)
    listed = _listed_sums(session)
    return [
        PayoutSum(payouts[name], totals[name], left[name], _about(waiting[name], listed))
        for name in sorted(left)
        if left[name]
    ]


def _payouts_with_lines(session: Session, day: str) -> dict[str, Line]:
    """The payouts up to ``day`` that have lines which are not done, by their ids."""
    rows = table(StatementLineRow)
    unpaid = select(rows.c.payout_id).where(UNPAID, rows.c.payout_id.is_not(None)).correlate(None)
    where = (rows.c.kind == "payout", rows.c.day <= day, rows.c.payout_id.in_(unpaid))
    query = select(*rows.c[_LINE]).where(*where).order_by(rows.c.unpaid, rows.c.line_id)
    return {row.payout_id: Line(*row) for row in session.execute(query)}


def _listed_sums(session: Session) -> set[str]:
    """The lines that open differences about sums of payouts are about."""
    query = select(col(DifferenceRow.subject)).where(
        UNRESOLVED, col(DifferenceRow.kind) == "payout_sum"
    )
    return set(session.execute(query).scalars())


def _about(lines: Sequence[Any], listed: set[str]) -> str:
    """Which of a payout's lines stands for what they leave: the same one in every run."""
    first = min(
        lines, key=lambda one: (one.line_id not in listed, one.kind != "payout", one.line_id)
    )
    return str(first.line_id)


def _keep_pairs(session: Session, pairs: Sequence[Any], day: str) -> None:
    for start in range(0, len(pairs), _PIECE):
        piece = pairs[start : start + _PIECE]
        rows = [(p.left, p.right, p.leg, p.rule, p.confidence, day) for p in piece]
        insert_rows(session, table(PairingRow), _PAIRING, rows)
        claims = [(0, p.left) for p in piece]  # at the bank: a deposit of ours, or a payout's line
        change_rows(session, "movement", "open = {}", "entry_id", claims)
        lines = {(0, p.right) for p in piece} | {(0, p.left) for p in piece if p.leg == "bank"}
        change_rows(session, "statement_line", "open = {}", "line_id", sorted(lines))


def _id_of(finding: Finding) -> str:
    """A difference's id follows from what it is about: found again, it is the same one."""
    return hashlib.sha256(f"{finding.kind} {finding.subject}".encode()).hexdigest()[:24]


def _keep_findings(session: Session, findings: Sequence[Finding], now: datetime) -> int:
    """Add the differences that are new, mend those that changed; return how many are new."""
    ids = {_id_of(finding): finding for finding in findings}
    there = _found(session, col(DifferenceRow.difference_id), set(ids))
    _mend(session, {name: ids[name] for name in there}, now)
    for difference_id in sorted(ids.keys() - there):
        finding = ids[difference_id]
        severity, owner = OWNERS[finding.kind]
        session.add(
            DifferenceRow(
                difference_id=difference_id,
                kind=finding.kind,
                subject=finding.subject,
                other=finding.other,
                account=finding.account,
                minor=finding.minor,
                at_stake_minor=finding.at_stake,
                currency=finding.currency,
                day=finding.day,
                severity=severity,
                owner=owner,
                said=finding.said,
                state="open",
                version=1,
            )
        )
    session.flush()
    return len(ids) - len(there)


def _mend(session: Session, found: dict[str, Finding], now: datetime) -> None:
    """A later statement may change what a difference leaves: more lines of a payout came."""
    if not found:
        return
    mine = among(session, col(DifferenceRow.difference_id), sorted(found))
    for row in session.execute(select(DifferenceRow).where(mine, UNRESOLVED)).scalars().all():
        finding = found[row.difference_id]
        if row.minor == finding.minor:
            continue
        was = said("found_anew", was=Money(row.minor, row.currency))
        row.minor, row.at_stake_minor, row.said = finding.minor, finding.at_stake, finding.said
        _note(session, row, "changed", was, now)


def _note(session: Session, row: DifferenceRow, what: str, words: str, now: datetime) -> None:
    """Write down what the run itself did with a difference."""
    row.version += 1
    session.add(row)
    session.add(
        DifferenceNoteRow(
            difference_id=row.difference_id,
            version=row.version,
            at=now,
            made_by=MACHINE,
            what=what,
            words=words,
        )
    )


def _clear(session: Session, findings: Sequence[Finding], day: str, ledger: Ledger) -> int:
    """Clear open differences that this run did not find again and whose subject is done.

    One that is another kind of difference by now is cleared as well: money is listed once.
    """
    found = {_id_of(finding) for finding in findings}
    found_now = {(finding.subject, finding.account) for finding in findings}
    query = select(DifferenceRow).where(
        col(DifferenceRow.state) == "open", col(DifferenceRow.day) <= day
    )
    gone = [row for row in session.execute(query).scalars() if row.difference_id not in found]
    still = _still_waiting(session, gone)
    cleared = 0
    for row in gone:
        other_kind = (row.subject, row.account) in found_now
        if row.kind not in _WAITING or (row.subject in still and not other_kind):
            continue
        was = said("found_anew", was=Money(row.minor, row.currency))
        row.state, row.closed_day = "cleared", day
        arrived = said("tap_arrived" if row.kind == "tap_gap" else "counterpart_found")
        words = was if other_kind else arrived
        _note(session, row, "cleared", words, ledger.clock())
        cleared += 1
    return cleared


_WAITING = frozenset(
    ("missing_in_ledger", "missing_at_processor", "missing_at_bank", "chargeback", "unknown",
     "refund_without_charge", "payout_sum", "currency", "duplicate", "tap_gap")
)  # fmt: skip
"""Kinds that are about something unpaired; the others are about a pair or a tap, and stay."""


def _still_waiting(session: Session, rows: Sequence[DifferenceRow]) -> set[str]:
    subjects = {row.subject for row in rows}
    sums = {row.subject for row in rows if row.kind == "payout_sum"}
    movements, lines = table(MovementRow), table(StatementLineRow)
    return {
        *_found(session, movements.c.entry_id, subjects, OPEN),
        *_found(session, lines.c.line_id, subjects, OPEN),
        *_found(session, lines.c.line_id, sums, text("unpaid = 1")),
    }
