"""Charge a tap that was kept and not charged, because two persons decided so.

It goes the way of every tap (``ledger.charge``), from the moment it was priced: its entry has
the tap's own id, so it is charged once at most, and the gate, asked again, is answered with it.
Its place in the chain stays what it was.
"""

from __future__ import annotations

from sqlmodel import Session

from ledger.accounts import account_keys
from ledger.answers import Accepted
from ledger.arrivals import read_kept
from ledger.deciding import Decisions
from ledger.histories import earliest_taps
from ledger.ledger import Ledger
from ledger.pricing import Pricing
from ledger.saving import save_decisions
from ledger.store import LogWriter
from models.tables.ledger import TapRow


def charge_kept_tap(ledger: Ledger, session: Session, writer: LogWriter, tap_id: str) -> int | None:
    """Charge the tap within the transaction of ``writer``; return its entry's number.

    None where the tap does not say any more whose it is, or the account is not there.
    """
    row = session.get(TapRow, tap_id)
    if row is None or row.signed is None:
        return None
    arrival = read_kept(row.signed)
    keys = account_keys(ledger.vault, {arrival.tap.account})
    pricing = Pricing(ledger, session, writer, earliest_taps([arrival], keys), keys, {})
    decisions = Decisions(session, [arrival], pricing)
    answer = decisions.decide_kept(arrival, writer.recorded_at)
    if not isinstance(answer, Accepted):
        return None
    writer.save()
    save_decisions(session, decisions, writer.recorded_at)
    pricing.save()
    return answer.entry
