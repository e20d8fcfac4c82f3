"""Automatic top-ups: the rider's wish, and the rows that ask a processor to fulfil it.

The ledger asks and does not take. Whoever speaks to the payment processor takes unanswered
requests (``unanswered``), makes the top-up under the request's own id, which also makes the
processor's idempotency key, and says what came of it (``answer``). An account has one
unanswered request at a time; the schema sees to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, exists, select
from sqlmodel import Session, col

from ledger.accounts import find_account
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.store import table
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import UNANSWERED, AccountRow, AutoTopUpRow, TopUpRequestRow

DONE = "done"
RETRY_AFTER = timedelta(days=1)


def set_auto_top_up(ledger: Ledger, account_id: str, below: Money, amount: Money) -> None:
    """Ask for ``amount`` whenever the balance is less than ``below``.

    Raises ``EntryRefused`` for amounts that make no sense, ``AccountError`` for no account.
    """
    if amount.minor <= 0 or below.minor < 0:
        raise EntryRefused("an automatic top-up is more than zero, below a balance not negative")
    with writing(ledger.engine) as session:
        find_account(session, account_id, amount.currency)
        find_account(session, account_id, below.currency)
        session.merge(
            AutoTopUpRow(
                account_id=account_id,
                below_minor=below.minor,
                amount_minor=amount.minor,
                changed_at=ledger.clock(),
            )
        )


def stop_auto_top_up(ledger: Ledger, account_id: str) -> None:
    """No more automatic top-ups; a request that is on its way stays."""
    with writing(ledger.engine) as session:
        row = session.get(AutoTopUpRow, account_id)
        if row is not None:
            session.delete(row)


def ask_for_top_ups(ledger: Ledger) -> int:
    """Make a request for every account that fell below its threshold; return how many.

    After a request that failed, the next one waits for a day.
    """
    now = ledger.clock()
    with reading(ledger.engine) as session:
        if not session.execute(_due(now).limit(1)).first():
            return 0
    with writing(ledger.engine) as session:
        due = session.execute(_due(now)).all()
        session.add_all(
            TopUpRequestRow(
                request_id=str(uuid4()),
                account_id=row.account_id,
                amount_minor=row.amount_minor,
                currency=row.currency,
                asked_at=now,
            )
            for row in due
        )
    return len(due)


def _due(now: datetime) -> Select[Any]:
    request, wish = table(TopUpRequestRow).c, table(AutoTopUpRow).c
    account = table(AccountRow).c
    asked = exists().where(
        request.account_id == wish.account_id,
        request.answered_at.is_(None)
        | ((request.outcome != DONE) & (request.asked_at > now - RETRY_AFTER)),
    )
    return (
        select(wish.account_id, wish.amount_minor, account.currency)
        .join_from(table(AutoTopUpRow), table(AccountRow), account.account_id == wish.account_id)
        .where(account.balance_minor < wish.below_minor, ~asked)
        .order_by(wish.account_id)
    )


def unanswered(session: Session) -> Sequence[TopUpRequestRow]:
    """What a processor is asked for, the oldest first."""
    query = select(TopUpRequestRow).where(UNANSWERED)
    return list(session.execute(query.order_by(col(TopUpRequestRow.asked_at))).scalars())


def answer(ledger: Ledger, request_id: str, outcome: str) -> None:
    """Note what came of a request: ``DONE``, or the processor's word for why not.

    The first answer stays. Raises ``EntryRefused`` where there is no such request.
    """
    with writing(ledger.engine) as session:
        row = session.get(TopUpRequestRow, request_id)
        if row is None:
            raise EntryRefused(f"there is no request for a top-up with the id {request_id!r}")
        if row.answered_at is None:
            row.answered_at, row.outcome = ledger.clock(), outcome
            session.add(row)
