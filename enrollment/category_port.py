"""What enrollment needs of the ledger about fare categories, as functions that are handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from models.errors import FacefareError


class CategoryKept(FacefareError):
    """The ledger cannot change the category: it does not know the account."""


@dataclass(frozen=True, slots=True)
class CategoryDays:
    """A category and the service days on which it holds; ``last`` is None where it does not end."""

    category: str
    first: date
    last: date | None


@dataclass(frozen=True, slots=True)
class Categories:
    """The functions.

    ``ahead``   (account) -> what holds today and what follows, in order
    ``change``  (account, category, staff, last day of the proof or None) -> None; raises
                ``CategoryKept``
    """

    ahead: Callable[[str], tuple[CategoryDays, ...]]
    change: Callable[[str, str, str, date | None], None]
