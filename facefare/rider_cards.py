"""The rider's card: the adapter between the rider's pages, the ledger and the processor."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlmodel import Session, col

from enrollment.rider_cards import Attempt, Automatic, CardDesk, CardShown, RiderCards
from enrollment.rider_money import NotNow
from ledger.autotopup import set_auto_top_up, stop_auto_top_up, taken_in_a_week
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.processors.cards import top_up_by_card
from ledger.processors.keeping import ask_about_page, is_open, open_page, remove_card
from ledger.processors.protocol import OutcomeUnknown, Processor, ProcessorUnusable
from ledger.processors.state import note_answer, note_trouble
from models.database import reading
from models.money import Money
from models.tables.ledger import AutoTopUpRow
from models.tables.reconcile import CardRow, ProcessorCallRow

ATTEMPTS_SHOWN = 10
TOP_UPS_WAITING_MAX = 3


def rider_cards(ledger: Ledger, processor: Processor) -> RiderCards:
    """The functions for the card page, for this processor."""
    return RiderCards(
        desk=lambda account: _desk(ledger, processor, account),
        add=lambda *what: _add(ledger, processor, *what),
        came_back=lambda account, page_id: _came_back(ledger, processor, account, page_id),
        remove=lambda account: _remove(ledger, account),
        top_up=lambda *what: _top_up(ledger, *what),
        automatic=lambda *what: _automatic(ledger, *what),
        stop=lambda account: stop_auto_top_up(ledger, account),
    )


def _desk(ledger: Ledger, processor: Processor, account_id: str) -> CardDesk:
    now = ledger.clock()
    with reading(ledger.engine) as session:
        card = session.get(CardRow, account_id)
        return CardDesk(
            card=None if card is None else _shown(card, now),
            automatic=_wish(ledger, session, account_id),
            attempts=_attempts(session, account_id),
            can_add=_way_back(ledger, processor) is not None,
        )


def _shown(card: CardRow, now: datetime) -> CardShown:
    if not card.last4:
        return CardShown("", "", "", expired=False)
    expired = (card.exp_year, card.exp_month) < (now.year, now.month)
    return CardShown(
        card.brand, card.last4, f"{card.exp_month:02}/{card.exp_year}", expired=expired
    )


def _wish(ledger: Ledger, session: Session, account_id: str) -> Automatic | None:
    wish = session.get(AutoTopUpRow, account_id)
    if wish is None:
        return None
    currency = ledger.settings.currency
    taken = taken_in_a_week(session, account_id, ledger.clock())
    return Automatic(
        below=Money(wish.below_minor, currency),
        amount=Money(wish.amount_minor, currency),
        week_max=Money(wish.week_max_minor, currency),
        left=Money(max(0, wish.week_max_minor - taken), currency),
        paused=wish.paused or "",
    )


def _attempts(session: Session, account_id: str) -> list[Attempt]:
    calls: Any = select(ProcessorCallRow).where(col(ProcessorCallRow.account_id) == account_id)
    newest = calls.order_by(col(ProcessorCallRow.made_at).desc()).limit(ATTEMPTS_SHOWN)
    return [
        Attempt(
            at=call.made_at,
            kind="refund" if call.kind == "refund" else "automatic" if call.automatic else "top_up",
            amount=Money(call.minor, call.currency),
            outcome={"succeeded": "done", "failed": call.reason or "failed"}.get(
                call.state, "waiting"
            ),
        )
        for call in session.execute(newest).scalars()
    ]


def _way_back(ledger: Ledger, processor: Processor) -> str | None:
    """What goes before our paths: the configured address, never what a request says of us."""
    return ledger.settings.public_url if processor.elsewhere else ""


def _add(
    ledger: Ledger,
    processor: Processor,
    account_id: str,
    page_id: str,
    done_path: str,
    back_path: str,
    language: str,
) -> str:
    base = _way_back(ledger, processor)
    if base is None:
        raise NotNow(_("Cards cannot be added here yet."))
    try:
        page = open_page(
            ledger,
            processor,
            account_id,
            page_id,
            done_url=base + done_path,
            back_url=base + back_path,
            language=language,
        )
    except EntryRefused as error:
        raise NotNow(
            _("You began to add a card several times. Load this page again in an hour.")
        ) from error
    except (OutcomeUnknown, ProcessorUnusable) as error:
        if isinstance(error, ProcessorUnusable):
            note_trouble(ledger, processor.name, str(error))
        raise NotNow(
            _(
                "The payment processor does not answer just now. Nothing was changed; "
                "try again later."
            )
        ) from error
    note_answer(ledger, processor.name)
    return page.url


def _came_back(ledger: Ledger, processor: Processor, account_id: str, page_id: str) -> bool:
    """Ask at once, so that the rider sees the card; a message may have said it before."""
    if not is_open(ledger, account_id, page_id):
        return True
    try:
        return ask_about_page(ledger, processor, page_id)
    except (OutcomeUnknown, ProcessorUnusable):
        return False  # the message that comes, or the next round, will tell


def _remove(ledger: Ledger, account_id: str) -> None:
    if not remove_card(ledger, account_id):
        raise NotNow(_("No card of yours is kept."))


def _top_up(ledger: Ledger, account_id: str, amount: Money, call_id: str) -> None:
    with reading(ledger.engine) as session:
        mine = col(ProcessorCallRow.account_id) == account_id
        waiting = col(ProcessorCallRow.state).in_(("due", "sent"))
        known = col(ProcessorCallRow.call_id) != call_id
        count = select(func.count()).select_from(ProcessorCallRow).where(mine, waiting, known)
        if session.execute(count).scalar_one() >= TOP_UPS_WAITING_MAX:
            raise NotNow(
                _("Several payments of yours are still on their way. Wait for them first.")
            )
        if session.get(CardRow, account_id) is None:
            raise NotNow(_("No card of yours is kept."))
    try:
        top_up_by_card(ledger, account_id, amount, call_id)
    except EntryRefused as error:
        raise NotNow(_("This form was used before. Load the page again.")) from error


def _automatic(
    ledger: Ledger, account_id: str, below: Money, amount: Money, week_max: Money
) -> None:
    with reading(ledger.engine) as session:
        if session.get(CardRow, account_id) is None:
            raise NotNow(_("Add a card first: automatic top-ups are taken from it."))
    set_auto_top_up(ledger, account_id, below, amount, week_max)
