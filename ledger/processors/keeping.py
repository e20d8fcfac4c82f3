"""The cards riders keep: added on the processor's own page, shown, removed, forgotten there.

    a rider wants to add one    card_page      our id goes along; the number never comes here
    it was typed in             card           learnt by asking, after a message or a return
    replaced, removed, left     card_leaving   until the processor has forgotten it too

A page is decided once and its row deleted: a message that comes late or again finds nothing.
Of two pages the one opened later counts, whatever order they are heard of in. Pages whose
riders do not want the card any more, or are gone, are still followed, so that no card stays
behind at the processor.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from ledger.accounts import find_account
from ledger.ledger import Ledger
from ledger.once import EntryConflict, EntryRefused, check_entry_id
from ledger.processors.protocol import Card, CardPage, CardPageOrder, Failed, Pending, Processor
from ledger.store import table
from models.database import forget_old_pages, reading, writing
from models.tables.ledger import AutoTopUpRow
from models.tables.reconcile import CardLeavingRow, CardPageRow, CardRow

PAGE_LIFE = timedelta(hours=1)
ASK_AFTER = timedelta(minutes=10)
"""So long after a page has closed it is asked about, whether a message came or not."""

PAGES_MAX = 5
AT_ONCE = 20
WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 30, 60, 360))


def keep_card(ledger: Ledger, account_id: str, processor: str, card: Card) -> None:
    """Keep the card a rider tops up with; the one it replaces is forgotten."""
    with writing(ledger.engine) as session:
        find_account(session, account_id, ledger.settings.currency)
        now = ledger.clock()
        _keep(session, account_id, processor, card, asked_at=now, now=now)


def open_page(
    ledger: Ledger,
    processor: Processor,
    account_id: str,
    page_id: str,
    *,
    done_url: str,
    back_url: str,
    language: str,
) -> CardPage:
    """Open a page on which the rider adds a card; the same ``page_id`` opens the same page.

    Raises ``EntryRefused`` for a bad id or too many open pages, ``EntryConflict`` where the id
    is another rider's, ``OutcomeUnknown`` and ``ProcessorUnusable`` where it could not be opened.
    """
    made_at = _begin(ledger, processor.name, account_id, page_id)
    page = processor.open_card_page(
        CardPageOrder(
            page_id=page_id,
            currency=ledger.settings.currency,
            language=language,
            done_url=done_url,
            back_url=back_url,
            until=made_at + PAGE_LIFE,
        )
    )
    with writing(ledger.engine) as session:  # before the rider learns the address
        row = session.get(CardPageRow, page_id)
        if row is None:
            raise EntryRefused("the card was removed meanwhile; begin again")
        row.session = page.session
        session.add(row)
    return page


def _begin(ledger: Ledger, processor: str, account_id: str, page_id: str) -> datetime:
    check_entry_id(page_id)
    now = ledger.clock()
    with writing(ledger.engine) as session:
        find_account(session, account_id, ledger.settings.currency)
        known = session.get(CardPageRow, page_id)
        if known is not None:
            if known.account_id != account_id:
                raise EntryConflict(f"the id {page_id} was used before; load the page again")
            return known.made_at
        mine = col(CardPageRow.account_id) == account_id
        count = session.execute(select(func.count()).select_from(CardPageRow).where(mine))
        if count.scalar_one() >= PAGES_MAX:
            raise EntryRefused("you began to add a card several times; try again in an hour")
        session.add(
            CardPageRow(
                page_id=page_id,
                account_id=account_id,
                processor=processor,
                made_at=now,
                next_at=now + PAGE_LIFE + ASK_AFTER,
            )
        )
    return now


def is_open(ledger: Ledger, account_id: str, page_id: str) -> bool:
    """Whether this is a page of this rider that is not decided yet."""
    with reading(ledger.engine) as session:
        row = session.get(CardPageRow, page_id)
        return row is not None and row.account_id == account_id


def ask_about_page(ledger: Ledger, processor: Processor, page_id: str) -> bool:
    """Learn what came of a page; return whether it is decided. An unknown page is.

    Raises ``OutcomeUnknown`` and ``ProcessorUnusable`` where the processor does not tell.
    """
    with reading(ledger.engine) as session:
        row = session.get(CardPageRow, page_id)
    if row is None:
        return True
    if row.session is None:  # its address was never learnt, so nobody was sent there
        found: Card | Pending | Failed = Failed("never_opened")
        if ledger.clock() < row.made_at + PAGE_LIFE:
            return False
    else:
        found = processor.find_card(page_id, row.session)
    if isinstance(found, Pending):
        return False
    _decide(ledger, page_id, found)
    return True


def _decide(ledger: Ledger, page_id: str, found: Card | Failed) -> None:
    now = ledger.clock()
    with writing(ledger.engine) as session:
        row = session.get(CardPageRow, page_id)
        if row is None:
            return  # decided meanwhile
        session.delete(row)
        if isinstance(found, Failed):
            return
        if row.account_id is None:
            _let_go(session, row.processor, found.customer, found.method, now)
        else:
            _keep(session, row.account_id, row.processor, found, asked_at=row.made_at, now=now)


def _keep(
    session: Session, account_id: str, processor: str, card: Card, *, asked_at: datetime,
    now: datetime,
) -> None:  # fmt: skip
    kept = session.get(CardRow, account_id)
    if kept is not None and kept.asked_at > asked_at:
        _let_go(session, processor, card.customer, card.method, now)  # an older one, heard of late
        return
    if kept is not None and kept.method != card.method:
        _let_go(session, kept.processor, kept.customer, kept.method, now)
    session.merge(
        CardRow(
            account_id=account_id,
            processor=processor,
            customer=card.customer,
            method=card.method,
            brand=card.brand,
            last4=card.last4,
            exp_month=card.exp_month,
            exp_year=card.exp_year,
            asked_at=asked_at,
        )
    )


def remove_card(ledger: Ledger, account_id: str) -> bool:
    """Forget the rider's card, and with it the automatic top-up; whether there was one."""
    with writing(ledger.engine) as session:
        there = session.get(CardRow, account_id) is not None
        let_cards_go(session, account_id, ledger.clock())
        wish = session.get(AutoTopUpRow, account_id)
        if wish is not None:
            session.delete(wish)
    return there


def let_cards_go(session: Session, account_id: str, now: datetime) -> None:
    """In this transaction: no card of the account stays, nor one that is being typed in."""
    kept = session.get(CardRow, account_id)
    if kept is not None:
        _let_go(session, kept.processor, kept.customer, kept.method, now)
        session.delete(kept)
    pages = table(CardPageRow)
    mine = pages.c.account_id == account_id
    session.execute(delete(pages).where(mine, pages.c.session.is_(None)))
    session.execute(update(pages).where(mine).values(account_id=None))


def _let_go(session: Session, processor: str, customer: str, method: str, now: datetime) -> None:
    session.merge(
        CardLeavingRow(
            method=method, customer=customer, processor=processor, attempts=0, next_at=now
        )
    )


def pages_to_ask(ledger: Ledger) -> list[str]:
    """Pages that have closed and were not heard of."""
    with reading(ledger.engine) as session:
        query = select(col(CardPageRow.page_id)).where(col(CardPageRow.next_at) <= ledger.clock())
        return list(
            session.execute(query.order_by(col(CardPageRow.next_at)).limit(AT_ONCE)).scalars()
        )


def put_off_page(ledger: Ledger, page_id: str) -> None:
    """Ask about this page again in an hour; before asking, so that a bad one blocks no other."""
    with writing(ledger.engine) as session:
        row = session.get(CardPageRow, page_id)
        if row is not None:
            row.next_at = ledger.clock() + PAGE_LIFE
            session.add(row)


def cards_to_forget(ledger: Ledger) -> list[str]:
    """Cards that the processor has yet to forget, by its names."""
    due = col(CardLeavingRow.next_at) <= ledger.clock()
    query = select(col(CardLeavingRow.method)).where(due).order_by(col(CardLeavingRow.next_at))
    with reading(ledger.engine) as session:
        return list(session.execute(query.limit(AT_ONCE)).scalars())


def forget(ledger: Ledger, processor: Processor, method: str) -> bool:
    """Have the processor forget one card now; return whether it has."""
    with writing(ledger.engine) as session:
        row = session.get(CardLeavingRow, method)
        if row is None or row.next_at > ledger.clock():
            return False
        row.next_at = ledger.clock() + WAITS[min(row.attempts, len(WAITS) - 1)]
        row.attempts += 1
        session.add(row)
        customer = row.customer
    processor.forget_card(customer, method)
    with writing(ledger.engine) as session:
        done = session.get(CardLeavingRow, method)
        if done is not None:
            session.delete(done)
    forget_old_pages(ledger.engine)
    return True
