"""Forget a rider: nobody can tell any more whose rides they were, and the log still verifies.

The account's key and every column that names it are deleted; the entries' bytes stay, with
commitments that no key opens. A last entry of kind ``close`` takes what was left on the
account (to ``liabilities:unclaimed``, or a debt to ``expenses:bad_debt``) and says how many
entries were unlinked, so that nobody can hide rides by unlinking some on the quiet.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from ledger.accounts import key_name
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.postings import BAD_DEBT, RIDER, UNCLAIMED, Posting, transfer
from ledger.store import LogWriter, table
from models.database import forget_old_pages, writing
from models.money import Money
from models.tables.ledger import AccountRow, EntryRow, PostingRow, TapRow


def erase_account(ledger: Ledger, account_id: str) -> int:
    """Erase the account and return how many entries were unlinked from it.

    Doing it again is allowed and erases whatever is left: that is how to go on after a
    crash in between.
    """
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        account = session.get(AccountRow, account_id)
        unlinked = 0 if account is None else _close(ledger, session, writer, account)
        _unlink(session, account_id)
    ledger.vault.erase(key_name(account_id))
    forget_old_pages(ledger.engine)
    return unlinked


def _close(ledger: Ledger, session: Session, writer: LogWriter, account: AccountRow) -> int:
    mine = col(EntryRow.account_id) == account.account_id
    entries = session.execute(select(func.count()).select_from(EntryRow).where(mine)).scalar_one()
    left = Money(account.balance_minor, account.currency)
    writer.append(
        Draft(
            kind="close",
            entry_id=str(uuid4()),
            occurred_at=ledger.clock(),
            amount=left if left.minor > 0 else -left,
            postings=_settle(left),
            facts={"unlinked": entries + 1},  # this entry is the account's last one
            account_key=ledger.vault.key(key_name(account.account_id)),
        )
    )
    writer.save()
    return int(entries) + 1


def _settle(left: Money) -> tuple[Posting, ...]:
    if left.minor >= 0:
        return transfer(left, debit=RIDER, credit=UNCLAIMED)
    return transfer(-left, debit=BAD_DEBT, credit=RIDER)


def _unlink(session: Session, account_id: str) -> None:
    entries, postings, taps = table(EntryRow), table(PostingRow), table(TapRow)
    mine = select(entries.c.seq).where(entries.c.account_id == account_id)
    gone = {"account_id": None}
    for statement in (
        update(postings).where(postings.c.entry_seq.in_(mine)).values(gone),
        update(taps).where(taps.c.entry_seq.in_(mine)).values({**gone, "signed": None}),
        update(taps)
        .where(taps.c.entry_seq.is_(None), taps.c.account_id == account_id)
        .values({**gone, "signed": None}),
        update(entries).where(entries.c.account_id == account_id).values(gone),
        delete(table(AccountRow)).where(table(AccountRow).c.account_id == account_id),
    ):
        session.execute(statement)
