"""Forget a rider: nobody can tell any more whose rides they were, and the log still verifies.

The account's key and every column that names it are deleted; the entries' bytes stay, with
commitments that no key opens. The card that was kept is forgotten, here and at the processor.
A last entry of kind ``close`` takes what was left on the account (to
``liabilities:unclaimed``, or a debt to ``expenses:bad_debt``) and says how many entries were
unlinked, so that nobody can hide rides by unlinking some on the quiet.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from ledger.accounts import key_name
from ledger.entries import Draft
from ledger.holds import HELD
from ledger.ledger import Ledger
from ledger.postings import BAD_DEBT, RIDER, UNCLAIMED, Posting, transfer
from ledger.processors.keeping import let_cards_go
from ledger.store import LogWriter, table
from models.bulk import among
from models.database import forget_old_pages, reading, writing
from models.money import Money
from models.tables.ledger import (
    AccountCategoryRow,
    AccountRow,
    AutoTopUpRow,
    BlockRow,
    EntryRow,
    FareStateRow,
    PassageRow,
    PostingRow,
    TapRow,
    TopUpRequestRow,
)
from models.tables.reconcile import ProcessorCallRow

_ABOUT_THE_RIDER = (
    PassageRow, FareStateRow, AccountCategoryRow, BlockRow, AutoTopUpRow,
    TopUpRequestRow, AccountRow,
)  # fmt: skip
"""Tables whose rows of the account go as a whole."""

_ASKED_AT_ONCE = 1000


def erase_account(ledger: Ledger, account_id: str) -> int:
    """Erase the account and return how many entries were unlinked from it.

    Doing it again is allowed and erases whatever is left: that is how to go on after a
    crash in between.
    """
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        account = session.get(AccountRow, account_id)
        unlinked = 0 if account is None else _close(ledger, session, writer, account)
        let_cards_go(session, account_id, ledger.clock())
        _unlink(session, account_id)
    ledger.vault.erase(key_name(account_id))
    ledger.fares.forget(account_id)
    forget_old_pages(ledger.engine)
    return unlinked


def forget_erased(ledger: Ledger) -> None:
    """Let this program's memory go of riders whom another one erased, soon after that."""
    kept, account_id = ledger.fares.kept(), col(AccountRow.account_id)
    for start in range(0, len(kept), _ASKED_AT_ONCE):
        some = kept[start : start + _ASKED_AT_ONCE]
        with reading(ledger.engine) as session:
            query = select(account_id).where(among(session, account_id, some))
            here = set(session.execute(query).scalars())
        for gone in set(some) - here:
            ledger.fares.forget(gone)


def _close(ledger: Ledger, session: Session, writer: LogWriter, account: AccountRow) -> int:
    mine = col(EntryRow.account_id) == account.account_id
    entries = session.execute(select(func.count()).select_from(EntryRow).where(mine)).scalar_one()
    left = Money(account.balance_minor, account.currency)
    state = session.get(FareStateRow, account.account_id)
    held = Money(0 if state is None else state.held_minor, account.currency)
    total = left + held
    writer.append(
        Draft(
            kind="close",
            entry_id=str(uuid4()),
            occurred_at=ledger.clock(),
            amount=total if total.minor > 0 else -total,
            postings=_settle(left, held),
            facts={"unlinked": entries + 1},  # this entry is the account's last one
            account_key=ledger.vault.key(key_name(account.account_id)),
        )
    )
    writer.save()
    return int(entries) + 1


def _settle(left: Money, held: Money) -> tuple[Posting, ...]:
    """Bring the account to zero, with what was held for a journey nobody can end any more."""
    if held.minor == 0 and left.minor >= 0:
        return transfer(left, debit=RIDER, credit=UNCLAIMED)
    total = left + held
    rest = UNCLAIMED if total.minor >= 0 else BAD_DEBT
    lines = ((HELD, held), (RIDER, left), (rest, -total))
    postings = [Posting(account, part) for account, part in lines if part.minor]
    return tuple(sorted(postings, key=lambda posting: posting.amount.minor < 0))  # debits first


def _unlink(session: Session, account_id: str) -> None:
    entries, postings, taps = table(EntryRow), table(PostingRow), table(TapRow)
    mine = select(entries.c.seq).where(entries.c.account_id == account_id)
    gone, calls = {"account_id": None}, table(ProcessorCallRow)
    for statement in (
        update(postings).where(postings.c.entry_seq.in_(mine)).values(gone),
        update(taps).where(taps.c.entry_seq.in_(mine)).values({**gone, "signed": None}),
        update(taps)
        .where(taps.c.entry_seq.is_(None), taps.c.account_id == account_id)
        .values({**gone, "signed": None}),
        update(entries).where(entries.c.account_id == account_id).values(gone),
        # A charge that was never sent is dropped; one that may have been is seen through.
        update(calls)
        .where(calls.c.account_id == account_id, calls.c.kind == "charge", calls.c.state == "due")
        .values(state="failed", reason="erased"),
        update(calls)
        .where(calls.c.account_id == account_id, calls.c.state.in_(("succeeded", "failed")))
        .values(customer="", method=""),
        update(calls).where(calls.c.account_id == account_id).values(gone),
    ):
        session.execute(statement)
    for row in _ABOUT_THE_RIDER:
        session.execute(delete(table(row)).where(table(row).c.account_id == account_id))
