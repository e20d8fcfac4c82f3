"""Automatic top-ups: the rider's wish, and the rows that ask a processor to fulfil it.

    below 10.00   take 50.00 from the card, never more than 100.00 in seven days

The ledger asks and does not take. Whoever speaks to the payment processor takes unanswered
requests (``unanswered``), makes the top-up under the request's own id, which also makes the
processor's idempotency key, and says what came of it (``answer``). An account has one
unanswered request at a time; the schema sees to that.

Falling below the threshold asks once: after a top-up that was not enough, nothing is asked
again until something else moved on the account. After a decline the next one waits for a day;
after three in a row, or when the cardholder's bank took a payment back, it stops until the
rider switches it on again. It never runs for an account that staff blocked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Select, exists, func, literal, or_, select
from sqlmodel import Session, col

from ledger.accounts import find_account
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.store import table, total
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import (
    IN_FORCE,
    UNANSWERED,
    AccountRow,
    AutoTopUpRow,
    BlockRow,
    TopUpRequestRow,
)

DONE = "done"
NO_CARD, SWITCHED_OFF, BLOCKED = "no_card", "switched_off", "blocked"
NOT_SENT = (NO_CARD, SWITCHED_OFF, BLOCKED, "card_removed", "erased")
"""Why a request was not carried out at all; none of these is a decline."""

RETRY_AFTER = timedelta(days=1)
WEEK = timedelta(days=7)
DECLINES_MAX = 3
DECLINED, CHARGEBACK = "declined", "chargeback"
"""Why automatic top-ups stopped by themselves."""


def set_auto_top_up(
    ledger: Ledger, account_id: str, below: Money, amount: Money, week_max: Money
) -> None:
    """Ask for ``amount`` whenever the balance is less than ``below``, within ``week_max``.

    What made it stop before is forgotten. Raises ``EntryRefused`` for amounts that make no
    sense, ``AccountError`` for no account.
    """
    if amount.minor <= 0 or below.minor < 0:
        raise EntryRefused("an automatic top-up is more than zero, below a balance not negative")
    if amount.minor > week_max.minor:
        raise EntryRefused("the most in seven days cannot be less than one top-up")
    with writing(ledger.engine) as session:
        for money in (below, amount, week_max):
            find_account(session, account_id, money.currency)
        session.merge(
            AutoTopUpRow(
                account_id=account_id,
                below_minor=below.minor,
                amount_minor=amount.minor,
                week_max_minor=week_max.minor,
                paused=None,
                changed_at=ledger.clock(),
            )
        )


def stop_auto_top_up(ledger: Ledger, account_id: str) -> None:
    """No more automatic top-ups; one that was not sent to the processor yet is not sent."""
    with writing(ledger.engine) as session:
        row = session.get(AutoTopUpRow, account_id)
        if row is not None:
            session.delete(row)


def pause_auto_top_up(session: Session, account_id: str, why: str) -> None:
    """Stop until the rider switches it on again, who is told why."""
    row = session.get(AutoTopUpRow, account_id)
    if row is not None:
        row.paused = why
        session.add(row)


def ask_for_top_ups(ledger: Ledger) -> int:
    """Make a request for every account that fell below its threshold; return how many."""
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
    wish, account = table(AutoTopUpRow).c, table(AccountRow).c
    return (
        select(wish.account_id, wish.amount_minor, account.currency)
        .join_from(table(AutoTopUpRow), table(AccountRow), account.account_id == wish.account_id)
        .where(
            wish.paused.is_(None),
            account.balance_minor < wish.below_minor,
            ~_asked_enough(now),
            ~exists().where(col(BlockRow.account_id) == wish.account_id, IN_FORCE),
            _taken_since(now - WEEK, wish.account_id) + wish.amount_minor <= wish.week_max_minor,
        )
        .order_by(wish.account_id)
    )


def _asked_enough(now: datetime) -> ColumnElement[bool]:
    """One is on its way, or failed within a day, or nothing moved since one was done."""
    request, wish = table(TopUpRequestRow).c, table(AutoTopUpRow).c
    failed = (
        (request.outcome != DONE)
        & (request.asked_at > now - RETRY_AFTER)
        & (request.asked_at >= wish.changed_at)  # switched on again: the rider wants it tried
    )
    done = (request.outcome == DONE) & (request.answered_at >= table(AccountRow).c.changed_at)
    return exists().where(
        request.account_id == wish.account_id, or_(request.answered_at.is_(None), failed, done)
    )


def taken_in_a_week(session: Session, account_id: str, now: datetime) -> int:
    """What automatic top-ups took in the last seven days, or may still take, in minor units."""
    mine = literal(account_id)
    return int(session.execute(select(_taken_since(now - WEEK, mine))).scalar_one())


def _taken_since(since: datetime, account_id: ColumnElement[str]) -> ColumnElement[int]:
    """What was asked for since then and has not failed, in minor units."""
    request = table(TopUpRequestRow).c
    return (
        select(func.coalesce(total(request.amount_minor), 0))
        .where(
            request.account_id == account_id,
            request.asked_at > since,
            or_(request.outcome.is_(None), request.outcome == DONE),
        )
        .scalar_subquery()
    )


def not_wanted(session: Session, account_id: str) -> str | None:
    """Why an automatic top-up must not be taken now after all, or None."""
    wish = session.get(AutoTopUpRow, account_id)
    if wish is None or wish.paused:
        return SWITCHED_OFF
    blocked = select(exists().where(col(BlockRow.account_id) == account_id, IN_FORCE))
    return BLOCKED if session.execute(blocked).scalar_one() else None


def unanswered(session: Session) -> Sequence[TopUpRequestRow]:
    """What a processor is asked for, the oldest first."""
    query = select(TopUpRequestRow).where(UNANSWERED)
    return list(session.execute(query.order_by(col(TopUpRequestRow.asked_at))).scalars())


def answer(session: Session, request_id: str, outcome: str, at: datetime) -> None:
    """Note what came of a request: ``DONE``, or the processor's word for why not.

    Nothing for the id of a top-up that nobody asked for here. What failed may turn out to be
    done after all; what is done stays done.
    """
    request = session.get(TopUpRequestRow, request_id)
    if request is None or request.outcome == DONE:
        return
    request.answered_at, request.outcome = at, outcome
    session.add(request)
    session.flush()
    if outcome not in (DONE, *NOT_SENT) and _declined_too_often(session, request.account_id):
        pause_auto_top_up(session, request.account_id, DECLINED)


def _declined_too_often(session: Session, account_id: str) -> bool:
    """Whether the newest requests since the wish was made were all declined."""
    wish = session.get(AutoTopUpRow, account_id)
    if wish is None:
        return False
    request = table(TopUpRequestRow).c
    newest = session.execute(
        select(request.outcome)
        .where(
            request.account_id == account_id,
            request.asked_at >= wish.changed_at,
            request.outcome.is_not(None),
            request.outcome.not_in(NOT_SENT),
        )
        .order_by(request.asked_at.desc())
        .limit(DECLINES_MAX)
    )
    outcomes = list(newest.scalars())
    return len(outcomes) == DECLINES_MAX and DONE not in outcomes
