"""How much one member of staff may give away alone.

The limit holds for all that the same person gave the same rider within a day, whatever it
was called: ten small refunds are a large one. It is looked at in the transaction that
records the entry, so many at once cannot slip through together. Whatever is above it takes
a second person (``ledger.requests``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from ledger.entries import Draft
from ledger.once import EntryRefused
from ledger.store import total
from models.money import Money
from models.tables.ledger import EntryRow

WITHIN = timedelta(days=1)
COUNTED = ("refund", "goodwill", "write_off", "card_refund_asked")
CREDITING_RULES = ("paid_after_all", "not_refunded")
"""Reasons of resolutions that give a rider money: a statement is soon written."""


class AboveLimit(EntryRefused):
    """One person may not give that much alone; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` to one rider by one person within a day, of what is counted together."""

    amount: Money
    kinds: tuple[str, ...] = COUNTED
    rules: tuple[str, ...] = CREDITING_RULES

    def check(self, session: Session, draft: Draft) -> None:
        """Raise ``AboveLimit`` where ``draft`` would go beyond it, with what came before."""
        row = col(EntryRow.recorded_at)
        given = session.execute(
            select(func.coalesce(total(col(EntryRow.amount_minor)), 0)).where(
                col(EntryRow.account_id) == draft.account_id,
                col(EntryRow.made_by) == draft.made_by,
                or_(col(EntryRow.kind).in_(self.kinds), col(EntryRow.rule).in_(self.rules)),
                row > draft.occurred_at - WITHIN,
            )
        ).scalar_one()
        if int(given) + draft.amount.minor > self.amount.minor:
            raise AboveLimit(
                f"{draft.amount.text()} is above the limit: one person gives one rider at most "
                f"{self.amount.text()} a day alone. Send it for approval"
            )


NO_LIMIT = None
"""For what two persons have decided."""
