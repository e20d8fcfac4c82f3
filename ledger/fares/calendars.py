"""Days and times of a fare network: service days, GTFS calendars and timeframes.

A service day runs from 04:30 to 04:29:59 by the clock on the wall, so it is 23 or 25 hours
long when the clocks change; a week is Monday to Sunday of such days. Days are counted as
``date.toordinal()``, weeks as the number of Mondays before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_STARTS = time(4, 30)
_SHIFT = timedelta(hours=DAY_STARTS.hour, minutes=DAY_STARTS.minute)


@lru_cache(maxsize=8192)  # asked several times about each tap
def service_day(at: datetime, zone: ZoneInfo) -> int:
    """The ordinal of the service day of the moment ``at``."""
    return (at.astimezone(zone).replace(tzinfo=None) - _SHIFT).toordinal()


@lru_cache(maxsize=8192)  # asked about every rider of a batch
def day_starts(day: int, zone: ZoneInfo) -> datetime:
    """The moment (UTC) the service day begins, which is when the day before closes."""
    return datetime.combine(date.fromordinal(day), DAY_STARTS, zone).astimezone(UTC)


def week_of(day: int) -> int:
    """The week a day belongs to; 1 January of the year 1 was a Monday."""
    return (day - 1) // 7


def monday_of(week: int) -> date:
    """The date a week begins with."""
    return date.fromordinal(week * 7 + 1)


@dataclass(frozen=True, slots=True)
class Service:
    """The dates of one ``service_id``: weekdays within a span, days added and removed."""

    weekdays: tuple[bool, ...]
    start: date
    end: date
    added: frozenset[date]
    removed: frozenset[date]

    def runs_on(self, day: date) -> bool:
        """Is ``day`` one of the service's dates?"""
        if day in self.added:
            return True
        regular = self.start <= day <= self.end and self.weekdays[day.weekday()]
        return regular and day not in self.removed


@dataclass(frozen=True, slots=True)
class Timeframe:
    """One row of timeframes.txt: from ``start_s`` up to, not including, ``end_s``."""

    group: str
    start_s: int
    end_s: int
    service: str


@dataclass(frozen=True, slots=True)
class Timeframes:
    """The timeframe groups, each with its bit, and the services they refer to."""

    groups: Mapping[str, tuple[Timeframe, ...]]
    services: Mapping[str, Service]
    bits: Mapping[str, int]

    def at(self, moment: datetime, zone: ZoneInfo) -> int:
        """The bits of the groups that hold at ``moment``, by the calendar day at the stop."""
        local = moment.astimezone(zone)
        today, second = local.date(), local.hour * 3600 + local.minute * 60 + local.second
        found = 0
        for group, frames in self.groups.items():
            for frame in frames:
                if frame.start_s <= second < frame.end_s and self._runs(frame.service, today):
                    found |= self.bits[group]
                    break
        return found

    def _runs(self, service: str, day: date) -> bool:
        return self.services[service].runs_on(day)
