"""Money as integer minor units and an ISO 4217 currency. Never a float."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from babel.core import UnknownLocaleError
from babel.numbers import UnknownCurrencyError, format_currency, get_currency_precision
from babel.numbers import validate_currency as babel_validate_currency

from models.errors import FacefareError

_AMOUNT = re.compile(r"[+-]?[0-9]{1,16}(\.[0-9]{1,8})?")
"""Plain digits: no exponent, no separators, and few enough that nothing is ever rounded."""


class MoneyError(FacefareError):
    """An amount or a currency that cannot be used."""


@dataclass(frozen=True, slots=True)
class Money:
    """``minor`` units (cents, fen) of ``currency`` (three capital letters)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise MoneyError(f"an amount is a whole number of minor units, not {self.minor!r}")
        validate_currency(self.currency)

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise MoneyError(f"cannot add {other.currency} to {self.currency}")
        return other.minor

    def major(self) -> Decimal:
        """The amount in major units with the currency's own number of decimals."""
        return Decimal(self.minor).scaleb(-get_currency_precision(self.currency))

    def text(self, locale: str = "en") -> str:
        """The amount as people write it in ``locale``, such as ``CN¥2.00``."""
        try:
            return format_currency(self.major(), self.currency, locale=locale)
        except UnknownLocaleError as error:
            raise MoneyError(f"no number format is known for the language {locale!r}") from error


@lru_cache(maxsize=256)  # every amount asks, and there are few currencies
def _look_up(code: str) -> None:
    babel_validate_currency(code)


def validate_currency(code: str) -> None:
    """Raise ``MoneyError`` unless ``code`` is a currency of ISO 4217."""
    try:
        _look_up(code)
    except (UnknownCurrencyError, AttributeError, TypeError) as error:
        raise MoneyError(f"{code!r} is not an ISO 4217 currency code such as CNY or EUR") from error


def parse_money(text: str, currency: str) -> Money:
    """Read an amount in major units as a person types it: ``"20"``, ``"2.50"``.

    Raises ``MoneyError`` for anything else, for more decimals than the currency has, and
    for amounts beyond what canonical JSON can carry exactly (2**53 minor units).
    """
    validate_currency(currency)
    decimals = get_currency_precision(currency)
    if not _AMOUNT.fullmatch(text.strip()):
        raise MoneyError(f"{text!r} is not an amount; write it like 20 or 2.50")
    minor = Decimal(text.strip()).scaleb(decimals)
    if minor != minor.to_integral_value():
        raise MoneyError(f"{text} has more decimals than {currency} knows ({decimals})")
    if abs(minor) >= 2**53:
        raise MoneyError(f"{text} {currency} is larger than any amount this ledger can hold")
    return Money(int(minor), currency)
