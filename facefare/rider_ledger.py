"""What the ledger tells a rider about their own account: the adapter behind the rider's pages.

Each function looks an entry up by its id *and* the account, so that an id that somebody else
wrote down opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy import select
from sqlmodel import Session, col

from enrollment.rider_money import (
    MOVEMENTS_MAX,
    AccountShown,
    Farewell,
    Movement,
    NotNow,
    NotThere,
    RiderMoney,
)
from facefare.rider_cards import rider_cards
from facefare.rider_export import export_account
from facefare.rider_words import say
from ledger.accounts import find_account, key_name
from ledger.adjustments import DISPUTE
from ledger.console.words import label, reason
from ledger.entries import commitment, decode
from ledger.given_back import FARES, charge_of, given_back
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.postings import RIDER
from ledger.processors.protocol import Processor
from ledger.proving import NothingToProve, receipt
from ledger.requests import Asked, adjust
from ledger.standings import account_standing
from ledger.wanted import Wanted
from models.database import reading
from models.money import Money
from models.tables.ledger import AutoTopUpRow, EntryRow, FareStateRow
from models.tables.reconcile import CardRow

DISPUTES_OPEN_MAX = 3
BY_THE_RIDER = "the rider"
"""Who made an entry on the rider's own page; no name of staff has a space in it."""

WHY = ("not-me", "wrong-fare", "not-travelled", "twice")
"""Why a ride is disputed; goes into the entry as the case, with no text about anybody."""


def rider_money(ledger: Ledger, processor: Processor | None) -> RiderMoney:
    """The functions for the rider's pages; those about a card only with a processor."""
    return RiderMoney(
        account=lambda account: _account(ledger, account),
        movements=lambda account, before: _movements(ledger, account, before),
        ride=lambda account, entry_id: _ride(ledger, account, entry_id),
        receipt=lambda account, entry_id: _receipt(ledger, account, entry_id),
        dispute=lambda account, ride_id, why: _dispute(ledger, account, ride_id, why),
        export=lambda account: export_account(ledger, account),
        leaving=lambda account: _leaving(ledger, account),
        farewell_receipt=lambda entry_id: _farewell_receipt(ledger, entry_id),
        cards=None if processor is None else rider_cards(ledger, processor),
    )


def _account(ledger: Ledger, account_id: str) -> AccountShown:
    standing = account_standing(ledger, account_id)
    with reading(ledger.engine) as session:
        row = find_account(session, account_id, ledger.settings.currency)
        state = session.get(FareStateRow, account_id)
        card = session.get(CardRow, account_id) is not None
        wish = session.get(AutoTopUpRow, account_id)
    held = 0 if state is None else state.held_minor
    return AccountShown(
        balance=Money(row.balance_minor, row.currency),
        held=Money(held, row.currency),
        state=standing.state,
        words=_said(standing.reason, standing.words),
        card=card,
        stopped="" if wish is None else wish.paused or "",
    )


def _movements(ledger: Ledger, account_id: str, before: int | None) -> list[Movement]:
    seq = col(EntryRow.seq)
    query = select(EntryRow).where(col(EntryRow.account_id) == account_id)
    if before is not None:
        query = query.where(seq < before)
    with reading(ledger.engine) as session:
        rows = session.execute(query.order_by(seq.desc()).limit(MOVEMENTS_MAX)).scalars().all()
        return [_movement(ledger, session, row) for row in rows]


def _ride(ledger: Ledger, account_id: str, entry_id: str) -> Movement:
    with reading(ledger.engine) as session:
        return _movement(ledger, session, _mine(session, account_id, entry_id))


def _receipt(ledger: Ledger, account_id: str, entry_id: str) -> str:
    with reading(ledger.engine) as session:
        _mine(session, account_id, entry_id)
    return _proved(ledger, entry_id)


def _farewell_receipt(ledger: Ledger, entry_id: str) -> str:
    with reading(ledger.engine) as session:
        row = _found(session, col(EntryRow.kind) == "close", col(EntryRow.entry_id) == entry_id)
    return _proved(ledger, row.entry_id)


def _mine(session: Session, account_id: str, entry_id: str) -> EntryRow:
    mine = col(EntryRow.account_id) == account_id
    return _found(session, mine, col(EntryRow.entry_id) == entry_id)


def _found(session: Session, *conditions: Any) -> EntryRow:
    row: EntryRow | None = session.execute(select(EntryRow).where(*conditions)).scalar()
    if row is None:
        raise NotThere(_("There is no such entry."))
    return row


def _proved(ledger: Ledger, entry_id: str) -> str:
    try:
        return receipt(ledger, entry_id).text()
    except NothingToProve as error:
        raise NotNow(_("This is not signed for yet; try again in a few seconds.")) from error


def _movement(ledger: Ledger, session: Session, row: EntryRow) -> Movement:
    value = decode(row.body)
    rule = value.get("rule", {"code": "", "words": ""})
    change = -sum(p["minor"] for p in value["postings"] if p["account"] == RIDER)
    station = row.station or ""
    charge = _charge(row)
    return Movement(
        entry_id=row.entry_id,
        seq=row.seq,
        kind=row.kind,
        title=label(row.kind),
        at=row.occurred_at,
        station=ledger.settings.stations.get(station, station),
        direction=row.direction or "",
        medium=row.medium or "",
        amount=Money(row.amount_minor, row.currency),
        change=Money(change, row.currency),
        words=_said(rule["code"], rule["words"]),
        given_back=Money(given_back(session, row.entry_id) if charge else 0, row.currency),
        charge=charge,
        dispute=_dispute_state(session, row.entry_id) if charge else "",
    )


def _said(code: str, words: str) -> str:
    """A reason or a rule in the language of the page."""
    return say(reason(code, words), str(get_locale() or "en"))


def _charge(row: EntryRow) -> Money | None:
    """What the entry charged, if it is a fare's; an adjustment may have given back instead."""
    if row.kind not in FARES:
        return None
    charge = Money(charge_of(row), row.currency)
    return charge if row.kind == "ride" or charge.minor else None


def _dispute_id(ride_id: str) -> str:
    """A ride is disputed once, however often the button is pressed."""
    return str(uuid5(UUID(ride_id), "dispute"))


def _dispute_state(session: Session, ride_id: str) -> str:
    """What became of the dispute of a ride: it corrects the ride, and is corrected itself."""
    wanted = _dispute_id(ride_id)
    ids = {wanted: "open", str(uuid5(UUID(wanted), "request")): "asked"}
    ids[str(uuid5(UUID(wanted), "settlement"))] = ""
    query = select(EntryRow.entry_id, EntryRow.kind).where(  # type: ignore[call-overload]
        col(EntryRow.entry_id).in_(ids)
    )
    kinds = {row.entry_id: row.kind for row in session.execute(query)}
    found = set(kinds.values())
    for kind, state in (
        ("dispute_upheld", "upheld"),
        ("dispute_rejected", "rejected"),
        ("adjustment_declined", "rejected"),
        ("refund", "open"),
        ("adjustment_request", "asked"),
    ):
        if kind in found:
            return state
    return ""


def _dispute(ledger: Ledger, account_id: str, ride_id: str, why: str) -> str:
    if why not in WHY:
        raise NotNow(_("Choose what is wrong with the ride."))
    with reading(ledger.engine) as session:
        row = _mine(session, account_id, ride_id)
        charge = _charge(row)
        if charge is None:
            raise NotThere(_("There is no such ride."))
        left = charge.minor - given_back(session, ride_id)
        known = _dispute_state(session, ride_id)
        if not known and _open_disputes(session, account_id) >= DISPUTES_OPEN_MAX:
            raise NotNow(_("Several of your disputes are being looked into; ask at the desk."))
    if known:
        return "credited" if known == "open" else known
    if left <= 0:
        raise NotNow(_("What this ride cost was given back already."))
    amount = Money(left, row.currency)
    wanted = Wanted(_dispute_id(ride_id), DISPUTE, ride_id, amount, DISPUTE, f"rider/{why}")
    try:
        done = adjust(ledger, wanted, BY_THE_RIDER)
    except EntryRefused as error:
        raise NotNow(_("This ride cannot be disputed here; ask at the desk.")) from error
    return "asked" if isinstance(done, Asked) else "credited"


def _open_disputes(session: Session, account_id: str) -> int:
    """Credits that the rider gave themself and that nobody has settled."""
    mine = col(EntryRow.account_id) == account_id
    query = select(EntryRow).where(
        mine, col(EntryRow.kind) == "refund", col(EntryRow.rule) == DISPUTE
    )
    credits = session.execute(query).scalars().all()
    return sum(_settlement(session, credit.entry_id) is None for credit in credits)


def _settlement(session: Session, credit_id: str) -> EntryRow | None:
    wanted = str(uuid5(UUID(credit_id), "settlement"))
    found: EntryRow | None = session.execute(
        select(EntryRow).where(col(EntryRow.entry_id) == wanted)
    ).scalar()
    return found


def _leaving(ledger: Ledger, account_id: str) -> Callable[[], Farewell | None]:
    """Take the account's key, which is about to be deleted: it alone finds the last entry."""
    key, since = ledger.vault.key(key_name(account_id)), ledger.clock()

    def find() -> Farewell | None:
        query = select(EntryRow).where(
            col(EntryRow.recorded_at) >= since, col(EntryRow.kind) == "close"
        )
        with reading(ledger.engine) as session:
            for row in session.execute(query).scalars():
                value = decode(row.body)
                if value["rider"] == commitment(key, row.entry_id):
                    return Farewell(row.entry_id, value["unlinked"])
        return None

    return find
