"""The fare engine: what a tap adds to a rider's bill, and why.

    priced = price(history, tap)             history after, and the charge of this tap
    quote(tables, "70061", "1", at)          what a ride would cost

``price`` is pure. What it charges is the difference the tap makes to the rider's weeks, so
the charges of any order of taps add up to the same total, a tap known already adds nothing,
and a late tap corrects the days it belongs to. The ledger posts each ``Adjustment``; entries
of earlier weeks are corrected by new ones, never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from ledger.fares.bills import WeekBill, bill, loose_ends
from ledger.fares.book import FareBook
from ledger.fares.calendars import monday_of, week_of
from ledger.fares.chain import Link
from ledger.fares.explain import (
    amount_of,
    cap_rules,
    leg_rule,
    note_rule,
    path_rules,
    unknown_fare,
)
from ledger.fares.history import History
from ledger.fares.paths import options_of
from ledger.fares.rides import Leg, Seen
from ledger.fares.taps import FareTap
from ledger.fares.words import Rule
from models.money import Money


class Adjustment(NamedTuple):
    """What a tap changes in the week that began on ``monday``; negative gives money back."""

    monday: date
    amount: Money


class Charge(NamedTuple):
    """What a tap adds to the bill, what is held in its weeks now, and the rules that say so.

    ``amount`` is the sum of ``adjustments``. ``known`` marks a tap that was priced before.
    """

    tap_id: str
    network: str
    amount: Money
    held: Money
    adjustments: tuple[Adjustment, ...]
    rules: tuple[Rule, ...]
    known: bool = False

    def words(self, language: str = "en") -> str:
        """All rules as sentences."""
        return " ".join(rule.words(language) for rule in self.rules)


class Priced(NamedTuple):
    """A tap's charge, and the history that the next tap is priced with."""

    history: History
    charge: Charge


def price(history: History, tap: FareTap, as_of: datetime | None = None) -> Priced:
    """Price ``tap`` for the rider of ``history``, as the bill stands ``as_of`` (when it arrived).

    Raises ``NoFares``, ``UnknownPlace`` or ``TapConflict``; then nothing is charged.
    """
    as_of = as_of or tap.at
    after = history.add(tap)
    currency = history.book.currency
    if after is history:
        rules = (Rule("repeat"),)
        nothing = amount_of(0, currency)
        return Priced(history, Charge(tap.tap_id, tap.network, nothing, nothing, (), rules, True))
    held = total = 0
    adjustments = []
    bills = []
    for week in touched_weeks(history, after, tap):
        before, now = bill(history, week, as_of), bill(after, week, as_of)
        held += now.held
        bills.append(now)
        if now.total != before.total:
            total += now.total - before.total
            amount = amount_of(now.total - before.total, currency)
            adjustments.append(Adjustment(monday_of(week), amount))
    charge = Charge(
        tap.tap_id,
        tap.network,
        amount_of(total, currency),
        amount_of(held, currency),
        tuple(adjustments),
        tuple(_rules(after, tap, bills)),
    )
    return Priced(after, charge)


def touched_weeks(before: History, after: History, tap: FareTap) -> list[int]:
    """The weeks whose bill can differ between two histories, one having ``tap`` more."""
    seen = after.rides.seen
    assert seen is not None
    if seen.tap is not tap or after.on_time is not None:
        day, _ = after.book.at(tap.at)
        met = {leg.first.day for h in (before, after) for leg in h.rides.legs}
        met |= {end.seen.day for h in (before, after) for end in loose_ends(h)}
        met |= {v.first.day for h in (before, after) for v in h.rides.same_station}
        return sorted({week_of(d) for d in met} | {week_of(day)})
    days = [seen.day]
    state = before.rides.networks.get(tap.network)
    if state is not None and state.last is not None:
        days.append(state.last.day)
        if state.open is not None and state.open.undo is not None:
            days.append(state.open.undo.first.day)
        if state.left_open is not None:
            days.append(state.left_open.seen.day)
        if state.crossed is not None:
            days.append(state.crossed.left_open.seen.day)
    days += [history.links[-1].since for history in (before, after) if history.links]
    return list(range(week_of(min(days)), week_of(max(days)) + 1))


def _rules(history: History, tap: FareTap, bills: list[WeekBill]) -> Iterator[Rule]:
    seen = history.rides.seen
    if seen is not None and seen.tap is tap:
        note = note_rule(history.rides, seen)
        if note is not None:
            yield note
    link = _link_of(history, tap)
    if link is not None:
        yield from path_rules(link.path) if link.path is not None else (unknown_fare(link),)
    for week in bills:
        yield from cap_rules(week, history.book.currency)
        if week.refund_only:
            yield Rule("refund_only")


def _link_of(history: History, tap: FareTap) -> Link | None:
    """The link of the leg that ``tap`` began or ended."""
    for link, leg in zip(reversed(history.links), reversed(history.rides.legs), strict=True):
        if leg.first.tap is tap or (leg.last is not None and leg.last.tap is tap):
            return link
        if leg.departs < tap.at and leg.arrives < tap.at:
            return None
    return None


@dataclass(frozen=True, slots=True)
class Quote:
    """What one ride would cost on ``network`` before transfers and caps."""

    network: str
    amount: Money
    rule: Rule


def quote(
    book: FareBook, start: str, end: str, at: datetime, category: str = "", network: str = ""
) -> tuple[Quote, ...]:
    """The price of a ride on ``network``, or on every network with a fare for it, cheapest first.

    An empty ``end`` asks for a ride without tap-off. Raises ``NoFares`` or ``UnknownPlace``.
    """
    day, rates = book.at(at)
    rates.check_network(network)
    for stop in filter(None, (start, end)):
        rates.stop(stop)
    networks = (network,) if network else sorted(rates.tables.networks)
    quotes = []
    for name in networks:
        seen = Seen(FareTap("", start, name, "in", at), day, category, rates)
        arrival = end if rates.tables.policy(name).tap_off or network else ""
        leg = Leg(seen, None, start, arrival, seen.tap.at, seen.tap.at)
        options = [option for option in options_of(leg) if not option.transfer_only]
        if options:
            option = min(options, key=lambda o: (o.price, o.line))
            amount = Money(option.price, book.currency)
            quotes.append(Quote(name, amount, leg_rule(leg, option)))
    return tuple(sorted(quotes, key=lambda q: (q.amount.minor, q.network)))
