"""A second fare calculator, written from the documents alone and on purpose without wit.

It reads the CSV files itself, looks ahead instead of taking back, tries every way to group
legs into fares, and every combination of caps. It shares no code with ``ledger.fares``; it is
what the real one is compared with, and the peer of ``bench/fares.py``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

DEFAULTS_S = {"repeat_s": 60, "mistake_s": 120, "same_station_limit_s": 1800, "reentry_s": 0}
DEFAULTS_S |= {"clock_skew_s": 600, "journey_limit_s": 14_400, "transfer_limit_s": 7200}
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True)
class NaiveTap:
    tap_id: str
    stop: str
    network: str
    direction: str
    at: datetime


@dataclass(frozen=True)
class NaiveLeg:
    dep: float
    arr: float
    start: str
    end: str
    network: str
    tap_id: str
    day: int


def rows(directory: Path, name: str) -> list[dict[str, str]]:
    path = directory / name
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{**row, "line": str(n)} for n, row in enumerate(csv.DictReader(file), start=2)]


def minor(text: str) -> int:
    return int(text.replace(".", ""))  # both feeds are in currencies of two decimals


class Naive:
    def __init__(self, feed: Path, own: Path, category: str = "") -> None:
        self.zone = ZoneInfo(rows(feed, "agency.txt")[0]["agency_timezone"])
        self.stops = {row["stop_id"]: row for row in rows(feed, "stops.txt")}
        self.children: dict[str, list[str]] = {}
        for stop, row in self.stops.items():
            self.children.setdefault(row["parent_station"], []).append(stop)
        self.areas: dict[str, set[str]] = {}
        for row in rows(feed, "stop_areas.txt"):
            self.areas.setdefault(row["stop_id"], set()).add(row["area_id"])
        self.leg_rules = rows(feed, "fare_leg_rules.txt")
        self.by_priority = "rule_priority" in self.leg_rules[0]
        fields = ("from_timeframe_group_id", "to_timeframe_group_id")
        self.timeframe_groups = sorted({rule[f] for rule in self.leg_rules for f in fields})
        self.transfer_rules = rows(feed, "fare_transfer_rules.txt")
        categories = rows(feed, "rider_categories.txt")
        everybody = [
            c["rider_category_id"] for c in categories if c["is_default_fare_category"] == "1"
        ]
        self.concession = category not in ("", *everybody)
        self.prices: dict[str, int] = {}
        self.dearest: dict[str, int] = {}  # whoever it is for
        for row in rows(feed, "fare_products.txt"):
            price, name = minor(row["amount"]), row["fare_product_id"]
            self.dearest[name] = max(price, self.dearest.get(name, price))
            if row.get("rider_category_id", "") in ("", category, *everybody):
                self.prices[name] = min(price, self.prices.get(name, price))
        self.frames = rows(feed, "timeframes.txt")
        self.calendar = {row["service_id"]: row for row in rows(feed, "calendar.txt")}
        self.exceptions = rows(feed, "calendar_dates.txt")
        self.caps = rows(own, "fare_caps.txt")
        self.policies = {row["network_id"]: row for row in rows(own, "fare_policies.txt")}
        self.networks = {row["network_id"] for row in rows(feed, "routes.txt")}
        self.memory: dict[tuple, list] = {}

    # policies

    def policy(self, network: str) -> dict[str, str]:
        return self.policies.get(network) or self.policies.get("") or {}

    def seconds(self, network: str, field: str) -> int:
        return int(self.policy(network).get(field) or DEFAULTS_S[field])

    def tap_off(self, network: str) -> bool:
        key = ("tap_off", network)
        if key not in self.memory:
            chosen = self.policy(network).get("validation")
            self.memory[key] = [chosen == "tap_on_off" if chosen else self.arrival_counts(network)]
        return self.memory[key][0]

    def arrival_counts(self, network: str) -> bool:
        seen: dict[tuple[str, str], dict[str, set[int]]] = {}
        for rule in self.leg_rules:
            if rule["network_id"] == network:
                origin = (rule["from_area_id"], rule["from_timeframe_group_id"])
                arrivals = seen.setdefault(origin, {})
                price = self.dearest[rule["fare_product_id"]]
                arrivals.setdefault(rule["to_area_id"], set()).add(price)
        return any(len({frozenset(p) for p in found.values()}) > 1 for found in seen.values())

    def maximum(self, network: str) -> int:
        given = self.policy(network).get("maximum_fare")
        if given:
            return minor(given)
        prices = [
            self.dearest[rule["fare_product_id"]]
            for rule in self.leg_rules
            if rule["network_id"] in ("", network)
        ]
        return max(prices)

    def at_most(self, amount: int, tap: NaiveTap) -> int:
        """``amount``, for a concession no more than the dearest ride from the tap or to it."""
        if not self.concession:
            return amount
        at, fares = tap.at.timestamp(), []
        for other in self.all_ends():
            ends = (tap.stop, other) if tap.direction == "in" else (other, tap.stop)
            leg = NaiveLeg(at, at, *ends, tap.network, "", 0)
            prices = [option[3] for option in self.options(leg) if not option[4]]
            if prices:
                fares.append(min(prices))
        return min([amount, max(fares)]) if fares else amount

    def all_ends(self) -> list[str]:
        """Every stop where a ride can end, one of those in the same areas."""
        if ("ends",) not in self.memory:
            areas = {frozenset(self.stop_areas(stop)): stop for stop in self.stops}
            self.memory[("ends",)] = list(areas.values())
        return self.memory[("ends",)]

    # time

    def day(self, at: datetime) -> int:
        local = at.astimezone(self.zone).replace(tzinfo=None)
        return (local - timedelta(hours=4, minutes=30)).toordinal()

    def closes(self, day: int) -> float:
        start = datetime.fromordinal(day + 1).replace(hour=4, minute=30, tzinfo=self.zone)
        return start.timestamp()

    def in_timeframe(self, group: str, at: float) -> bool:
        if not group:
            return True
        local = datetime.fromtimestamp(at, self.zone)
        clock = local.strftime("%H:%M:%S")
        for frame in self.frames:
            start = (frame["start_time"] or "00:00:00").zfill(8)
            end = (frame["end_time"] or "24:00:00").zfill(8)
            holds = frame["timeframe_group_id"] == group and start <= clock < end
            if holds and self.runs(frame["service_id"], local.date()):
                return True
        return False

    def runs(self, service: str, day: date) -> bool:
        key = ("runs", service, day)
        if key not in self.memory:
            stamp = day.strftime("%Y%m%d")
            row = self.calendar.get(service)
            found = bool(row) and row["start_date"] <= stamp <= row["end_date"]
            found = found and row[WEEKDAYS[day.weekday()]] == "1"
            for exception in self.exceptions:
                if exception["service_id"] == service and exception["date"] == stamp:
                    found = exception["exception_type"] == "1"
            self.memory[key] = [found]
        return self.memory[key][0]

    # stops

    def station(self, stop: str) -> str:
        return self.stops[stop]["parent_station"] or stop

    def stop_areas(self, stop: str) -> set[str]:
        own = self.areas.get(stop)
        if own:
            return own
        parent = self.stops[stop]["parent_station"]
        if parent and self.areas.get(parent):
            return self.areas[parent]
        return set().union(*(self.areas.get(child, set()) for child in self.children.get(stop, [])))

    # taps to legs

    def legs(self, taps: list[NaiveTap]) -> tuple[list[NaiveLeg], list, list]:
        """Legs, loose ends (tap, kind) and same-station visits (tap, amount)."""
        legs: list[NaiveLeg] = []
        loose: list[tuple[NaiveTap, str]] = []
        visits: list[tuple[NaiveTap, int]] = []
        for network in {tap.network for tap in taps}:
            own = [tap for tap in taps if tap.network == network]
            if not self.tap_off(network):
                own = self.without_repeats([tap for tap in own if tap.direction == "in"])
                legs += [self.leg(tap, None) for tap in own]
            else:
                self.pair(self.without_repeats(own), legs, loose, visits)
        legs.sort(key=lambda leg: (leg.dep, leg.tap_id))
        return legs, loose, visits

    def without_repeats(self, taps: list[NaiveTap]) -> list[NaiveTap]:
        kept: list[NaiveTap] = []
        for tap in taps:
            if kept and kept[-1].direction == tap.direction:
                same = self.station(kept[-1].stop) == self.station(tap.stop)
                limit = self.seconds(tap.network, "repeat_s")
                if same and (tap.at - kept[-1].at).total_seconds() <= limit:
                    continue
            kept.append(tap)
        return kept

    def leg(self, first: NaiveTap, last: NaiveTap | None) -> NaiveLeg:
        dep = first.at.timestamp()
        arr = max(dep, last.at.timestamp()) if last else dep
        end = last.stop if last else ""
        day = self.day(first.at)
        return NaiveLeg(dep, arr, first.stop, end, first.network, first.tap_id, day)

    def pair(self, taps: list[NaiveTap], legs: list, loose: list, visits: list) -> None:
        def gap(a: NaiveTap, b: NaiveTap) -> float:
            return (b.at - a.at).total_seconds()

        def apart(a: NaiveTap, b: NaiveTap) -> bool:
            return self.station(a.stop) != self.station(b.stop)

        i = 0
        while i < len(taps):
            x = taps[i]
            y = taps[i + 1] if i + 1 < len(taps) else None
            z = taps[i + 2] if i + 2 < len(taps) else None
            w = taps[i + 3] if i + 3 < len(taps) else None
            skew = self.seconds(x.network, "clock_skew_s")
            limit = self.seconds(x.network, "journey_limit_s")
            if x.direction == "out":
                crossed = y is not None and y.direction == "in" and gap(x, y) <= skew
                if crossed and apart(x, y) and not (z is not None and z.direction == "out"):
                    legs.append(self.leg(y, x))
                    i += 2
                else:
                    loose.append((x, "no_entry"))
                    i += 1
            elif y is None or y.direction == "in":
                four = y is not None and z is not None and w is not None
                outs = four and (z.direction, w.direction) == ("out", "out") and gap(y, z) <= skew
                two = outs and apart(x, z) and apart(y, w)
                if two and gap(x, z) <= limit and gap(y, w) <= limit:
                    legs += [self.leg(x, z), self.leg(y, w)]
                    i = self.continued(taps, i + 4, y, w, legs, loose, visits)
                else:
                    loose.append((x, "no_exit"))
                    i += 1
            else:
                i = self.close(taps, i, legs, loose, visits)

    def close(self, taps: list[NaiveTap], i: int, legs: list, loose: list, visits: list) -> int:
        """taps[i] is an entry and taps[i + 1] an exit; return where to go on."""
        x, y = taps[i], taps[i + 1]
        took = (y.at - x.at).total_seconds()
        same = self.station(x.stop) == self.station(y.stop)
        network = x.network
        if same and took <= self.seconds(network, "mistake_s"):
            visits.append((x, 0))
            return i + 2
        limit = "same_station_limit_s" if same else "journey_limit_s"
        if took > self.seconds(network, limit):
            loose.append((x, "no_exit"))
            return i + 1  # the exit is looked at again, by itself
        fare = self.policy(network).get("same_station_fare")
        if same and fare:
            visits.append((x, self.at_most(minor(fare), x)))
            return i + 2
        legs.append(self.leg(x, y))
        return self.continued(taps, i + 2, x, y, legs, loose, visits)

    def continued(
        self,
        taps: list[NaiveTap],
        i: int,
        entry: NaiveTap,
        exit_: NaiveTap,
        legs: list,
        loose: list,
        visits: list,
    ) -> int:
        """The leg entry -> exit_ is the last of ``legs``; does coming back in continue it?"""
        while i < len(taps) and taps[i].direction == "in":
            back = taps[i]
            wait = (back.at - exit_.at).total_seconds()
            same = self.station(back.stop) == self.station(exit_.stop)
            if not same or wait > self.seconds(back.network, "reentry_s"):
                return i
            if i + 1 >= len(taps) or taps[i + 1].direction == "in":
                return i + 1  # never closed: the leg stands, and the entry is forgotten
            out = taps[i + 1]
            took = (out.at - entry.at).total_seconds()
            too_long = took > self.seconds(back.network, "journey_limit_s")
            if too_long or self.station(out.stop) == self.station(entry.stop):
                return i  # the way back, or another journey: judged by itself
            legs[-1] = self.leg(entry, out)
            exit_ = out
            i += 2
        return i

    # rules

    def options(self, leg: NaiveLeg) -> list[tuple[int, str, str, int, bool]]:
        holds = tuple(
            (g, self.in_timeframe(g, leg.dep), self.in_timeframe(g, leg.arr))
            for g in self.timeframe_groups
        )
        key = (leg.network, leg.start, leg.end, holds)
        if key not in self.memory:
            departs = {g: ok for g, ok, _ in holds}
            arrives = {g: ok for g, _, ok in holds}
            self.memory[key] = self.find_options(leg, departs, arrives)
        return self.memory[key]

    def find_options(self, leg: NaiveLeg, departs: dict, arrives: dict) -> list:
        found = []
        for rule in self.leg_rules:
            ends = (
                ("network_id", {leg.network}),
                ("from_area_id", self.stop_areas(leg.start)),
                ("to_area_id", self.stop_areas(leg.end) if leg.end else None),
            )
            if not all(self.cell_matches(rule, field, values) for field, values in ends):
                continue
            if not departs[rule["from_timeframe_group_id"]]:
                continue
            if not arrives[rule["to_timeframe_group_id"]]:
                continue
            found.append(rule)
        if self.by_priority and found:
            top = max(int(rule["rule_priority"] or 0) for rule in found)
            found = [rule for rule in found if int(rule["rule_priority"] or 0) == top]
        if not leg.end:  # of rules alike the one without an arrival is named
            found.sort(key=lambda rule: rule["to_area_id"] != "")
        named: dict[tuple, tuple] = {}
        for rule in found:
            product_id, only = rule["fare_product_id"], rule.get("transfer_only") == "1"
            option = (rule["leg_group_id"], product_id, self.prices[product_id], only)
            named.setdefault(option, (int(rule["line"]), *option))
        return list(named.values())

    def cell_matches(self, rule: dict, field: str, values: set[str] | None) -> bool:
        if values is None or rule[field] in values:
            return True
        if rule[field]:
            return False
        return self.by_priority or not any(other[field] in values for other in self.leg_rules)

    # fares: every way

    def ways(self, legs: list[NaiveLeg], done: list) -> list:
        """Every list of (option, transfer rule or None), one per leg, that the rules allow."""
        if len(done) == len(legs):
            return [list(done)]
        found = []
        for option in self.options(legs[len(done)]):
            if not option[4]:
                found += self.ways(legs, [*done, (option, None)])
            for rule in self.rules_between(legs, done, option):
                found += self.ways(legs, [*done, (option, rule)])
        return found

    def rules_between(self, legs: list[NaiveLeg], done: list, option: tuple) -> list[dict]:
        if not done or not done[-1][0][1] or not option[1]:
            return []
        before = done[-1][0]
        matching = [r for r in self.transfer_rules if self.pair_of(r) == (before[1], option[1])]
        if not matching:
            matching = [
                rule
                for rule in self.transfer_rules
                if self.group_matches(rule, "from_leg_group_id", before[1])
                and self.group_matches(rule, "to_leg_group_id", option[1])
            ]
        fitting = []
        for rule in matching:
            product_id = rule.get("filter_fare_product_id")
            if product_id and product_id != before[2]:
                continue
            run = 1
            counted = bool(rule["transfer_count"])
            while counted and run <= len(done) - 1 and done[-run][1] is not None:
                last = done[-run][1]
                if not last["transfer_count"] or self.pair_of(last) != self.pair_of(rule):
                    break
                run += 1
            if counted and rule["transfer_count"] != "-1" and run > int(rule["transfer_count"]):
                continue
            if self.in_time(legs, done, rule, run):
                fitting.append((rule, run))
        counts = [int(r["transfer_count"]) for r, _ in fitting if int(r["transfer_count"] or 0) > 0]
        if counts:
            lowest = str(min(counts))
            fitting = [(r, n) for r, n in fitting if r["transfer_count"] in ("", lowest)]
        return [rule for rule, _ in fitting]

    def group_matches(self, rule: dict, field: str, group: str) -> bool:
        if rule[field]:
            return rule[field] == group
        return all(other[field] != group for other in self.transfer_rules)

    @staticmethod
    def pair_of(rule: dict) -> tuple[str, str]:
        return rule["from_leg_group_id"], rule["to_leg_group_id"]

    def in_time(self, legs: list[NaiveLeg], done: list, rule: dict, run: int) -> bool:
        here = legs[len(done)]
        if not rule["duration_limit"]:
            first = len(done) - 1
            while done[first][1] is not None:
                first -= 1
            limit = self.seconds(here.network, "transfer_limit_s")
            return here.dep - legs[first].dep <= limit
        since = legs[len(done) - run]
        kind = rule["duration_limit_type"]
        start = since.dep if kind in "01" else since.arr
        end = here.arr if kind in "03" else here.dep
        return end - start <= int(rule["duration_limit"])

    def fares(self, legs: list[NaiveLeg], way: list) -> list[tuple[int, int, frozenset[str]]]:
        """(amount, day, networks) of each fare of a way."""
        found: list[list] = []
        for index, (leg, (option, rule)) in enumerate(zip(legs, way, strict=True)):
            if rule is None:
                found.append([option[3], leg.day, {leg.network}])
                continue
            price = self.prices[rule["fare_product_id"]] if rule["fare_product_id"] else 0
            so_far = found[-1][0]
            if rule["fare_transfer_type"] == "1":
                so_far += option[3]
            elif rule["fare_transfer_type"] == "2" and way[index - 1][1] is None:
                so_far = 0
            found[-1][0] = max(0, so_far + price)
            found[-1][2].add(leg.network)
        return [(amount, day, frozenset(networks)) for amount, day, networks in found]

    def cheapest(self, legs: list[NaiveLeg]) -> list[tuple[int, int, frozenset[str]]]:
        best = None
        for way in self.ways(legs, []):
            fares = self.fares(legs, way)
            lines = []
            for option, rule in way:
                lines += [int(rule["line"]) if rule else 0, option[0]]
            links = sum(1 for _, rule in way if rule)
            rank = (sum(amount for amount, _, _ in fares), -links, lines)
            if best is None or rank < best[0]:
                best = (rank, fares)
        assert best is not None
        return best[1]

    def groups(self, legs: list[NaiveLeg], *, whole: bool) -> list[list[NaiveLeg]]:
        """Legs between which a transfer is thinkable; ``whole`` keeps all in one group."""
        found: list[list[NaiveLeg]] = []
        for leg in legs:
            if not self.options(leg):
                found += [[]]
                continue
            linked = bool(found and found[-1]) and any(
                self.rules_between([found[-1][-1], leg], [(first, None)], second)
                for first in self.options(found[-1][-1])
                for second in self.options(leg)
            )
            if found and found[-1] and (whole or linked):
                found[-1].append(leg)
            else:
                found.append([leg])
        return [group for group in found if group]

    # the bill

    def bill(self, taps: list[NaiveTap], as_of: datetime, *, whole: bool = False):
        """(total, held, fares) in minor units for all taps as they stand at ``as_of``."""
        unique = sorted({tap.tap_id: tap for tap in taps}.values(), key=lambda t: (t.at, t.tap_id))
        legs, loose, visits = self.legs(unique)
        fares = [fare for group in self.groups(legs, whole=whole) for fare in self.cheapest(group)]
        for tap, amount in visits:
            fares.append((amount, self.day(tap.at), frozenset((tap.network,))))
        total = held = 0
        for tap, kind in loose:
            day = self.day(tap.at)
            ends = tap.at.timestamp() + self.seconds(tap.network, "journey_limit_s")
            if as_of.timestamp() < max(self.closes(day), ends):
                held += self.at_most(self.maximum(tap.network), tap)
                continue
            usual = self.usual(tap, kind, legs)
            if usual is None:
                total += self.at_most(self.maximum(tap.network), tap)
            else:
                fares.append((usual, day, frozenset((tap.network,))))
        weeks = {(day - 1) // 7 for _, day, _ in fares}
        for week in weeks:
            total += self.capped([fare for fare in fares if (fare[1] - 1) // 7 == week])
        return total, held, fares

    def usual(self, tap: NaiveTap, kind: str, legs: list[NaiveLeg]) -> int | None:
        at = tap.at.timestamp()
        here = self.station(tap.stop)
        ways: dict[str, list[NaiveLeg]] = {}
        for leg in legs:
            if not leg.end or leg.network != tap.network:
                continue
            near, far = (leg.start, leg.end) if kind == "no_exit" else (leg.end, leg.start)
            recent = at - 28 * 86_400 <= leg.dep and leg.arr < at
            if recent and self.station(near) == here:
                ways.setdefault(self.station(far), []).append(leg)
        for found in ways.values():
            if len(found) >= 3 and 2 * len(found) > sum(map(len, ways.values())):
                last = found[-1]
                start, end = (tap.stop, last.end) if kind == "no_exit" else (last.start, tap.stop)
                trip = NaiveLeg(at, at, start, end, tap.network, tap.tap_id, 0)
                prices = [option[3] for option in self.options(trip) if not option[4]]
                if prices and min(prices) <= self.at_most(self.maximum(tap.network), tap):
                    return min(prices)
        return None

    def covers(self, cap: dict[str, str], networks: frozenset[str]) -> bool:
        listed = set(cap["network_ids"].split())
        return not listed or networks <= listed

    def capped(self, fares: list[tuple[int, int, frozenset[str]]]) -> int:
        """The cheapest of buying each cap, of each day or of the week, or not."""
        days = sorted({day for _, day, _ in fares})
        offers = [(cap, 0) for cap in self.caps if cap["period"] == "week"]
        offers += [(cap, day) for cap in self.caps if cap["period"] == "day" for day in days]
        offers = [
            offer for offer in offers if self.covered_sum(fares, *offer) > minor(offer[0]["amount"])
        ]
        best = None
        for choice in product((False, True), repeat=len(offers)):
            bought = [offer for offer, taken in zip(offers, choice, strict=True) if taken]
            cost = sum(minor(cap["amount"]) for cap, _ in bought)
            for amount, day, networks in fares:
                if not any(when in (0, day) and self.covers(cap, networks) for cap, when in bought):
                    cost += amount
            best = cost if best is None else min(best, cost)
        return best or 0

    def covered_sum(self, fares: list, cap: dict[str, str], when: int) -> int:
        return sum(
            amount
            for amount, day, networks in fares
            if when in (0, day) and self.covers(cap, networks)
        )
