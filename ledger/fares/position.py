"""A rider's fares between two moments: what was rated, what is held, when that is decided.

    position, closings = settle(position, now)     service days that closed meanwhile
    position, rated = rate(position, tap, now)     one more tap

Pure. The amounts of all closings and charges of a rider add up to the total of the rider's
statement, in whatever order taps came and however often anyone looked.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from ledger.fares.bills import WeekBill, bill, closes_at, loose_ends
from ledger.fares.calendars import monday_of, week_of
from ledger.fares.engine import Adjustment, Charge, price
from ledger.fares.explain import amount_of, cap_rules, completed_rule, loose_rules
from ledger.fares.history import History
from ledger.fares.rides import LooseEnd
from ledger.fares.taps import FareTap
from ledger.fares.words import Rule
from models.money import Money

_JUST_BEFORE = timedelta(microseconds=1)


class Position(NamedTuple):
    """The taps so far, what is held for those without their other half, in minor units.

    ``closes_at`` is when the first of those is decided, and ``as_of`` up to when that was
    done; time never goes back from there, even where a clock does.
    """

    history: History
    held: int = 0
    closes_at: datetime | None = None
    as_of: datetime | None = None

    def not_before(self, now: datetime) -> datetime:
        """``now``, or the moment the position stands at where that is later."""
        return now if self.as_of is None else max(now, self.as_of)

    def settled(self, now: datetime) -> bool:
        """Whether no service day has closed by ``now`` that is still to be charged."""
        return self.closes_at is None or self.closes_at > self.not_before(now)

    def looks_back(self, now: datetime) -> bool:
        """Do the fares depend on usual trips, and so on the four weeks before a loose end?"""
        ends, as_of = _ends(self.history), self.not_before(now)
        return any(closes_at(end, self.history) <= as_of for end in ends)


class Closing(NamedTuple):
    """Loose ends whose time is over: what they cost, and how much is no longer held.

    ``first`` is the tap of the first of them, ``monday`` the week they belong to.
    """

    first: FareTap
    monday: date
    amount: Money
    freed: Money
    rules: tuple[Rule, ...]


class Rated(NamedTuple):
    """A tap's charge with its ``own`` part of it, the rest by weeks, and what is held more.

    ``own`` is what the tap adds to the week it was made in, zero where it takes something
    away; that, and whatever changed in other weeks, is in ``adjustments``.
    """

    charge: Charge
    own: Money
    adjustments: tuple[Adjustment, ...]
    held: Money
    rules: tuple[Rule, ...]


def settle(position: Position, now: datetime) -> tuple[Position, tuple[Closing, ...]]:
    """Decide every loose end whose service day has closed by ``now``, one moment at a time."""
    closings: list[Closing] = []
    history, currency = position.history, position.history.book.currency
    now = position.not_before(now)
    while position.closes_at is not None and position.closes_at <= now:
        at = position.closes_at
        held, following = undecided(history, at)
        closings += _close(history, at, amount_of(position.held - held, currency))
        position = Position(history, held, following, at)
    return position, tuple(closings)


def _close(history: History, at: datetime, freed: Money) -> list[Closing]:
    """What closes at one moment, week by week; the first of them frees all that was held."""
    over = [end for end in _ends(history) if closes_at(end, history) == at]
    currency = history.book.currency
    closings = []
    for week in sorted({week_of(end.seen.day) for end in over}):
        before, after = bill(history, week, at - _JUST_BEFORE), bill(history, week, at)
        taps = {end.seen.tap.tap_id for end in over}
        first = min((e for e in over if week_of(e.seen.day) == week), key=lambda e: e.seen.tap.at)
        amount = amount_of(after.total - before.total, currency)
        rules = _closing_rules(after, taps, currency) or (Rule("refund_only"),)
        closings.append(Closing(first.seen.tap, monday_of(week), amount, freed, rules))
        freed = amount_of(0, currency)
    return closings


def _closing_rules(week: WeekBill, taps: set[str], currency: str) -> tuple[Rule, ...]:
    found = [completed_rule(t) for t in week.completed if t.end.seen.tap.tap_id in taps]
    missing = (end for end in week.maximum if end.seen.tap.tap_id in taps)
    found += [rule for end in missing for rule in loose_rules("maximum", end)]
    return (*found, *cap_rules(week, currency)) if found else ()


def rate(position: Position, tap: FareTap, now: datetime) -> tuple[Position, Rated]:
    """Add ``tap`` to a position in which everything due by ``now`` is settled.

    Raises what ``engine.price`` raises; then nothing is charged.
    """
    as_of = position.not_before(now)
    priced = price(position.history, tap, as_of)
    history, charge = priced.history, priced.charge
    currency = history.book.currency
    day, rates = history.book.at(tap.at)
    monday = monday_of(week_of(day))
    own = sum(a.amount.minor for a in charge.adjustments if a.monday == monday)
    corrects = [a for a in charge.adjustments if a.monday != monday or a.amount.minor < 0]
    held, closing = undecided(history, as_of)
    rated = Rated(
        charge=charge,
        own=amount_of(max(0, own), currency),
        adjustments=tuple(corrects),
        held=amount_of(held - position.held, currency),
        rules=charge.rules or (Rule("noted", (("start", rates.stop(tap.stop).name),)),),
    )
    return Position(history, held, closing, as_of), rated


def undecided(history: History, as_of: datetime) -> tuple[int, datetime | None]:
    """What is held at a moment, in minor units, and when the first of it is decided."""
    ends = _ends(history)
    if not ends:
        return 0, None
    after = [(closes_at(end, history), end) for end in ends]
    moments = [moment for moment, _ in after if moment > as_of]
    weeks = {week_of(end.seen.day) for moment, end in after if moment > as_of}
    held = sum(bill(history, week, as_of).held for week in weeks)
    return held, min(moments, default=None)


def _ends(history: History) -> tuple[LooseEnd, ...]:
    ends = loose_ends(history)
    return ends if history.on_time is None else ends + loose_ends(history.on_time)
