"""The time files of a feed: calendars and timeframes."""

from __future__ import annotations

from datetime import date

from ledger.fares.calendars import Service, Timeframe, Timeframes
from ledger.fares.cells import DAY_S, Cells
from ledger.fares.gtfs_rules import FeedReader

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def read_timeframes(feed: FeedReader) -> Timeframes:
    """The timeframe groups, and a bit for each group that a leg rule names.

    A group that leg rules name and timeframes.txt does not is an empty set of times: its
    rules never apply. Operators leave such rules in a feed for the days they need them, so
    it is told and not refused.
    """
    services = read_services(feed)
    groups: dict[str, list[Timeframe]] = {}
    for row in feed.rows("timeframes.txt"):
        frame = _timeframe(row, services)
        for other in groups.setdefault(frame.group, []):
            same = other.service == frame.service
            if same and frame.start_s < other.end_s and other.start_s < frame.end_s:
                row.bad("start_time", "times that overlap no other row of the group and service")
        groups[frame.group].append(frame)
    named: dict[str, list[Cells]] = {}
    for row in feed.rows("fare_leg_rules.txt"):
        for field in ("from_timeframe_group_id", "to_timeframe_group_id"):
            if row.text(field):
                named.setdefault(row.text(field), []).append(row)
    for group in named.keys() - groups.keys():
        line, count = named[group][0].line.number, len(named[group])
        expected = f"a group of timeframes.txt; the {count} rules that name it never apply"
        feed.problems.warn("fare_leg_rules.txt", line, "from_timeframe_group_id", group, expected)
    bits = {group: 1 << i for i, group in enumerate(sorted(named))}
    used = {group: tuple(frames) for group, frames in groups.items() if group in bits}
    return Timeframes(used, services, bits)


def _timeframe(row: Cells, services: dict[str, Service]) -> Timeframe:
    start_s, end_s = row.clock_s("start_time", 0), row.clock_s("end_time", DAY_S)
    if bool(row.text("start_time")) != bool(row.text("end_time")):
        row.bad("end_time", "both start_time and end_time, or neither")
    elif start_s >= end_s:
        row.bad("end_time", "a time after start_time")
    service = row.required_ref("service_id", services, "calendar.txt or calendar_dates.txt")
    return Timeframe(row.required("timeframe_group_id"), start_s, end_s, service)


def read_services(feed: FeedReader) -> dict[str, Service]:
    """The dates of every service, from calendar.txt and calendar_dates.txt."""
    exceptions: dict[str, dict[str, set[date]]] = {}
    for row in feed.keyed("calendar_dates.txt", "service_id", "date"):
        kind = row.choice("exception_type", ("1", "2"), "")
        by_kind = exceptions.setdefault(row.required("service_id"), {"1": set(), "2": set()})
        by_kind[kind].add(row.date("date"))
    services = {service: _never(also["1"]) for service, also in exceptions.items()}
    for row in feed.keyed("calendar.txt", "service_id"):
        service = row.required("service_id")
        days = tuple(row.choice(day, ("0", "1"), "") == "1" for day in WEEKDAYS)
        start, end = row.date("start_date"), row.date("end_date")
        if start > end:
            row.bad("end_date", "a date not before start_date")
        also = exceptions.get(service, {"1": set(), "2": set()})
        services[service] = Service(days, start, end, frozenset(also["1"]), frozenset(also["2"]))
    return services


def _never(added: set[date]) -> Service:
    """A service without a calendar row: only the days that were added."""
    return Service((False,) * 7, date.min, date.min, frozenset(added), frozenset())
