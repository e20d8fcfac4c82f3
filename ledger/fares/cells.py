"""Reading one record of a feed: each reader returns a value or records what was expected.

A reader that finds a bad cell returns a harmless stand-in, so that the rest of the feed is
still checked; the feed is refused afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import date

from babel.numbers import get_currency_precision

from ledger.fares.feedfiles import Line
from ledger.fares.problems import Problems
from models.money import MoneyError, parse_money, validate_currency

_CLOCK = re.compile(r"^(\d{1,2}):([0-5]\d):([0-5]\d)$")
_DATE = re.compile(r"^(\d{4})(\d{2})(\d{2})$")
_WHOLE = re.compile(r"^-?\d{1,12}$")
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Cells:
    """One record with a place to record problems."""

    file: str
    line: Line
    problems: Problems

    def bad(self, field: str, expected: str) -> None:
        """Record that ``field`` should have been ``expected``."""
        self.problems.error(self.file, self.line.number, field, self.text(field), expected)

    def text(self, field: str) -> str:
        """The cell, empty where the field is missing."""
        return self.line.cells.get(field, "")

    def required(self, field: str) -> str:
        """The cell, which must not be empty."""
        value = self.text(field)
        if not value:
            self.bad(field, "a value; this field is required")
        return value

    def ref(self, field: str, known: Container[str], where: str) -> str:
        """The cell: empty, or an id that ``where`` defines."""
        value = self.text(field)
        if value and value not in known:
            self.bad(field, f"an id that is in {where}")
            return ""
        return value

    def required_ref(self, field: str, known: Container[str], where: str) -> str:
        """The cell, which must be an id that ``where`` defines."""
        return self.ref(field, known, where) if self.required(field) else ""

    def choice(self, field: str, allowed: tuple[str, ...], default: str) -> str:
        """The cell, one of ``allowed``; empty means ``default``."""
        value = self.text(field) or default
        if value not in allowed:
            self.bad(field, "one of " + ", ".join(allowed))
            return allowed[0]
        return value

    def whole(self, field: str, low: int, high: int = 10**9) -> int | None:
        """The cell as a whole number from ``low`` to ``high``; empty is ``None``."""
        value = self.text(field)
        if not value:
            return None
        if not _WHOLE.match(value) or not low <= int(value) <= high:
            self.bad(field, f"a whole number of at least {low}")
            return None
        return int(value)

    def number(self, field: str, limit: float) -> float | None:
        """The cell as a decimal number between ``-limit`` and ``limit``; empty is ``None``."""
        value = self.text(field)
        try:
            number = float(value) if value else None
        except ValueError:
            number = float("nan")
        if number is not None and not -limit <= number <= limit:
            self.bad(field, f"a number from -{limit:g} to {limit:g}")
            return None
        return number

    def clock_s(self, field: str, default_s: int) -> int:
        """The cell as a local time of day in seconds, at most 24:00:00."""
        value = self.text(field)
        if not value:
            return default_s
        found = _CLOCK.match(value)
        seconds = (
            sum(int(p) * w for p, w in zip(found.groups(), (3600, 60, 1), strict=True))
            if (found)
            else DAY_S + 1
        )
        if seconds > DAY_S:
            self.bad(field, "a time from 00:00:00 to 24:00:00")
            return default_s
        return seconds

    def date(self, field: str) -> date:
        """The cell as a date written YYYYMMDD."""
        found = _DATE.match(self.text(field))
        try:
            if found:
                year, month, day = map(int, found.groups())
                return date(year, month, day)
        except ValueError:
            pass  # the 30th of February falls through to the sentence below
        self.bad(field, "a date that exists, written YYYYMMDD")
        return date.min

    def currency(self, field: str) -> str:
        """The cell as an ISO 4217 currency code, empty where it is none."""
        value = self.required(field)
        try:
            if value:
                validate_currency(value)
        except MoneyError:
            self.bad(field, "an ISO 4217 currency code such as CAD or USD")
            return ""
        return value

    def amount(self, field: str, currency: str, *, low: int | None = None) -> int | None:
        """The cell in minor units of ``currency``, at least ``low``; empty is ``None``."""
        value = self.text(field)
        if not value or not currency:
            return None
        decimals = get_currency_precision(currency)
        minor: int | None
        try:
            minor = parse_money(value, currency).minor
        except MoneyError:
            minor = None
        if minor is None or len(value.partition(".")[2]) != decimals:
            self.bad(field, f"an amount in {currency}, which is written with {decimals} decimals")
            return None
        if low is not None and minor < low:
            self.bad(field, "an amount that is not negative")
            return None
        return minor
