"""The cheapest way to pay for a chain of legs: which rule for each, which transfers between.

A *fare* is one leg, or several joined by transfers. Every leg either begins a fare or is
transferred to; among all ways the cheapest is taken, of equals the one with more transfers,
then the one whose rules stand first in the files. Legs are added one at a time: a ``Path``
knows just what later legs can depend on, so nothing before it is looked at again.

How a transfer is paid (GTFS, fare_transfer_type), S being what the fare cost so far:

    0  S + AB      1  S + AB + B      2  AB after the first leg, then S + AB
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.fares.rates import Option, Rates
from ledger.fares.rides import Leg
from ledger.fares.tables import TransferRule

Rank = tuple[int, int, tuple[int, ...]]


class Path(NamedTuple):
    """A way to pay for the chain up to one leg.

    ``rank`` orders paths: cost, more transfers, then per leg the lines of the transfer rule (0
    for none) and of the leg rule, so that no two ways rank alike. The open fare is described by
    ``amount``, ``legs`` and ``networks``; ``fare_before`` is the end of the fare before it.
    ``run`` counts consecutive transfers by the same rule and ``run_leg`` is the first leg of
    that run, from which its duration is measured.
    """

    rank: Rank
    leg: Leg
    option: Option
    amount: int
    legs: int
    first: Leg
    networks: frozenset[str]
    rule: TransferRule | None
    run: int
    run_leg: Leg | None
    before: Path | None
    fare_before: Path | None

    @property
    def state(self) -> tuple[object, ...]:
        """What the cost of later legs can depend on: of two alike the better rank is kept."""
        run_leg = id(self.run_leg) if self.rule and self.rule.count is not None else 0
        run = (self.rule.from_group, self.rule.to_group, self.run) if run_leg and self.rule else ()
        return (self.option.line, id(self.first), self.amount, self.legs == 1, run, run_leg)


def options_of(leg: Leg) -> tuple[Option, ...]:
    """The leg's options under its own rates and category."""
    rates, tables = leg.first.rates, leg.first.rates.tables
    to_bits = from_bits = 0
    if tables.timeframes.bits:
        to_bits = from_bits = tables.timeframes.at(leg.departs, rates.stop(leg.start).zone)
        if leg.end:
            to_bits = tables.timeframes.at(leg.arrives, rates.stop(leg.end).zone)
    return rates.options(leg.network, leg.start, leg.end, leg.first.category, from_bits, to_bits)


def begin(leg: Leg, options: Iterable[Option], before: Path | None) -> list[Path]:
    """The paths that begin a new fare with ``leg`` after the path ``before``."""
    cost, links, lines = before.rank if before else (0, 0, ())
    networks = frozenset((leg.network,))
    return [
        Path(
            rank=(cost + option.price, links, (*lines, 0, option.line)),
            leg=leg,
            option=option,
            amount=option.price,
            legs=1,
            first=leg,
            networks=networks,
            rule=None,
            run=0,
            run_leg=None,
            before=before,
            fare_before=before,
        )
        for option in options
        if not option.transfer_only
    ]


def transfer(leg: Leg, options: Iterable[Option], paths: Iterable[Path]) -> list[Path]:
    """The paths that reach ``leg`` by a transfer from one of ``paths``."""
    found = []
    for option in options:
        for path in paths:
            if path.option.group and option.group:
                for rule, run in _applicable(path, leg, option):
                    found.append(_transferred(path, leg, option, rule, run))
    return found


def _applicable(path: Path, leg: Leg, option: Option) -> list[tuple[TransferRule, int]]:
    """The rules that allow this transfer, with how many times in a row each was then used.

    Of rules with different ``transfer_count`` the smallest that still allows it is taken.
    """
    allowed = []
    for rule in leg.first.rates.transfers.between(path.option.group, option.group):
        run = path.run + 1 if _goes_on(path, rule) else 1
        if rule.count is not None and rule.count != -1 and run > rule.count:
            continue
        fits = _product_fits(path, option, rule) and _in_time(path, leg, rule)
        if fits and transfer_price(rule, leg) is not None:
            allowed.append((rule, run))
    counts = [r.count for r, _ in allowed if r.count is not None and r.count != -1]
    if not counts:
        return allowed
    smallest = min(counts)
    return [(r, run) for r, run in allowed if r.count is None or r.count == smallest]


def _goes_on(path: Path, rule: TransferRule) -> bool:
    """Was the last transfer by the same rule, one that counts its repetitions?"""
    last = path.rule
    return (
        last is not None
        and rule.count is not None
        and (last.from_group, last.to_group) == (rule.from_group, rule.to_group)
    )


def _product_fits(path: Path, option: Option, rule: TransferRule) -> bool:
    if rule.filter_product and path.option.product != rule.filter_product:
        return False
    return not rule.same_product or path.option.product == option.product


def _in_time(path: Path, leg: Leg, rule: TransferRule) -> bool:
    """Is the transfer within the rule's duration, or without one within the journey's?"""
    if rule.limit_s is None:
        limit_s = leg.first.policy.transfer_limit_s
        return leg.departs - path.first.departs <= timedelta(seconds=limit_s)
    since = path.run_leg if path.run_leg and _goes_on(path, rule) else path.leg
    start: datetime = since.departs if rule.limit_type in (0, 1) else since.arrives
    end: datetime = leg.arrives if rule.limit_type in (0, 3) else leg.departs
    return end - start <= timedelta(seconds=rule.limit_s)


def transfer_price(rule: TransferRule, leg: Leg) -> int | None:
    """The price of the transfer itself, AB; ``None`` where the rider cannot buy its product."""
    if not rule.product:
        return 0
    rates: Rates = leg.first.rates
    return rates.price(rule.product, leg.network, leg.first.category)


def _transferred(path: Path, leg: Leg, option: Option, rule: TransferRule, run: int) -> Path:
    price = transfer_price(rule, leg) or 0
    so_far = 0 if rule.kind == 2 and path.legs == 1 else path.amount
    amount = max(0, so_far + price + (option.price if rule.kind == 1 else 0))
    cost, links, lines = path.rank
    return Path(
        rank=(cost - path.amount + amount, links - 1, (*lines, rule.line, option.line)),
        leg=leg,
        option=option,
        amount=amount,
        legs=path.legs + 1,
        first=path.first,
        networks=path.networks | {leg.network},
        rule=rule,
        run=run,
        run_leg=path.run_leg if run > 1 else path.leg,
        before=path,
        fare_before=path.fare_before,
    )


def best(paths: Iterable[Path]) -> Path | None:
    """The path of the best rank."""
    return min(paths, key=lambda path: path.rank, default=None)


def prune(paths: list[Path]) -> tuple[Path, ...]:
    """Of paths that later legs cannot tell apart keep the best."""
    if len(paths) < 2:
        return tuple(paths)
    kept: dict[tuple[object, ...], Path] = {}
    for path in paths:
        other = kept.setdefault(path.state, path)
        if path.rank < other.rank:
            kept[path.state] = path
    return tuple(kept.values())
