"""The ledger's categories behind the desk's page: neither room knows the other."""

from __future__ import annotations

from datetime import date

from enrollment.category_port import Categories, CategoryDays, CategoryKept
from ledger.categories import CategoryRefused, categories_ahead, change_category
from ledger.ledger import Ledger


def categories_of(ledger: Ledger) -> Categories:
    """The functions that the desk is handed."""
    return Categories(
        ahead=lambda account: _ahead(ledger, account),
        change=lambda account, category, staff, until: _change(
            ledger, account, category, staff, until
        ),
    )


def _ahead(ledger: Ledger, account: str) -> tuple[CategoryDays, ...]:
    found = categories_ahead(ledger, account)
    return tuple(CategoryDays(one.category, one.first, one.last) for one in found)


def _change(ledger: Ledger, account: str, category: str, staff: str, until: date | None) -> None:
    try:
        change_category(ledger, account, category, staff, until)
    except CategoryRefused as error:
        raise CategoryKept(str(error)) from error
