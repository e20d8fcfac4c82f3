"""The book of fares: one set of tables after another, each from its own day.

A feed comes into force at 04:30 of its first service day. Journeys that began before keep
the tables they began with, however late their taps arrive.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from ledger.fares.calendars import service_day
from ledger.fares.problems import FareError
from ledger.fares.rates import Rates
from ledger.fares.tables import FareTables


class NoFares(FareError):
    """There are no fare tables for a day, or two that cannot stand in one book."""


@dataclass(frozen=True, slots=True, eq=False)
class FareBook:
    """Tables in the order of their first days."""

    rates: tuple[Rates, ...]
    _first_days: tuple[int, ...]

    @classmethod
    def of(cls, *tables: FareTables) -> FareBook:
        """A book of these tables; of two from one day the later given replaces the other."""
        if not tables:
            raise NoFares("there are no fare tables; run 'facefare fares import' first")
        for other in tables[1:]:
            if (other.currency, other.zone.key) != (tables[0].currency, tables[0].zone.key):
                raise NoFares(
                    f"{other.name} is in {other.currency} and {other.zone.key}, the tables before "
                    f"in {tables[0].currency} and {tables[0].zone.key}; they need two ledgers"
                )
        by_day = {t.effective.toordinal(): t for t in tables}
        days = tuple(sorted(by_day))
        return cls(tuple(Rates(by_day[day]) for day in days), days)

    @property
    def currency(self) -> str:
        """The one currency of the book."""
        return self.rates[0].tables.currency

    @property
    def zone(self) -> ZoneInfo:
        """The time zone service days are counted in."""
        return self.rates[0].tables.zone

    def on(self, day: int) -> Rates:
        """The rates in force on a service day; raise ``NoFares`` for a day before the first."""
        index = bisect_right(self._first_days, day)
        if not index:
            raise NoFares(
                f"no fare tables are in force on {date.fromordinal(day)}; "
                f"the first are from {date.fromordinal(self._first_days[0])}"
            )
        return self.rates[index - 1]

    def at(self, moment: datetime) -> tuple[int, Rates]:
        """The service day of ``moment`` and the rates in force on it."""
        day = service_day(moment, self.zone)
        newest = self._first_days[-1] <= day  # as nearly always
        return day, self.rates[-1] if newest else self.on(day)
