"""The operator's own files, which GTFS has no room for. docs/fares.md describes each field.

    fare_caps.txt       rides on these networks never cost more than this in a day or a week
    fare_policies.txt   how each network is ridden: tap-off, maximum fare, limits, credit
    fare_distances.txt  amounts of a fare product by distance
    fare_stations.txt   which stop and network a station's gates stand for

All are optional. Without a policy a network needs a tap-off exactly where the arrival area
can change the price, and its maximum fare is the dearest of its fares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from ledger.fares.cells import Cells
from ledger.fares.gtfs_rules import FeedReader, Rules
from ledger.fares.tables import (
    TAP_ON,
    TAP_ON_OFF,
    Band,
    Cap,
    Category,
    LegRule,
    Place,
    Policy,
    Product,
    Stop,
)

FILES = ("fare_caps.txt", "fare_policies.txt", "fare_distances.txt", "fare_stations.txt")
CAPS_PER_PERIOD_MAX = 5  # every combination of caps is tried, so there may not be many
DURATIONS_S = (
    "journey_limit_s",
    "transfer_limit_s",
    "repeat_s",
    "mistake_s",
    "same_station_limit_s",
    "reentry_s",
    "clock_skew_s",
)
AMOUNTS = ("overdraft", "first_ride_risk", "same_station_fare")


@dataclass(frozen=True, slots=True)
class Own:
    """What the operator's own files add to a feed."""

    products: Mapping[str, Product]
    caps: tuple[Cap, ...]
    policies: Mapping[str, Policy]
    places: Mapping[tuple[str, str], Place]


def read_own(
    feed: FeedReader,
    rules: Rules,
    stops: Mapping[str, Stop],
    networks: Collection[str],
    route_networks: Mapping[str, str],
    categories: Mapping[str, Category],
) -> Own:
    """Read and check the operator's own files."""
    products = read_distances(feed, rules, categories)
    return Own(
        products=products,
        caps=tuple(read_caps(feed, rules.currency, networks, categories)),
        policies=read_policies(feed, rules, products, networks),
        places=read_places(feed, stops, networks, route_networks),
    )


def read_distances(
    feed: FeedReader, rules: Rules, categories: Mapping[str, Category]
) -> dict[str, Product]:
    """The products, those with rows in fare_distances.txt with their bands in rising order."""
    bands: dict[str, list[Band]] = {}
    key = ("fare_product_id", "rider_category_id", "up_to_m")
    for row in feed.keyed("fare_distances.txt", *key):
        product = row.required_ref("fare_product_id", rules.products, "fare_products.txt")
        category = row.ref("rider_category_id", categories, "rider_categories.txt")
        row.required("amount")
        amount = row.amount("amount", rules.currency, low=0) or 0
        band = Band(category, row.whole("up_to_m", 1), amount, row.line.number)
        bands.setdefault(product, []).append(band)
    products = dict(rules.products)
    for product, found in bands.items():
        found.sort(key=lambda b: (b.up_to_m is None, b.up_to_m or 0))
        for category in {band.category for band in found}:
            if not any(b.up_to_m is None for b in found if b.category == category):
                where = f"a last row of {product} with an empty up_to_m"
                feed.problems.error("fare_distances.txt", 0, "up_to_m", "", where)
        if product in products:
            products[product] = replace(products[product], bands=tuple(found))
    return products


def _network_ids(row: Cells, networks: Collection[str]) -> frozenset[str] | None:
    found = frozenset(row.text("network_ids").split())
    for network in sorted(found - set(networks)):
        row.bad("network_ids", f"networks of the feed; {network} is not one")
    return found or None


def read_caps(
    feed: FeedReader, currency: str, networks: Collection[str], categories: Mapping[str, Category]
) -> Iterator[Cap]:
    """The caps."""
    counts: dict[tuple[str, bool], int] = {}
    for row in feed.keyed("fare_caps.txt", "fare_cap_id"):
        cap_id = row.required("fare_cap_id")
        row.required("amount")
        cap = Cap(
            cap_id=cap_id,
            name=row.text("fare_cap_name") or cap_id,
            category=row.ref("rider_category_id", categories, "rider_categories.txt"),
            networks=_network_ids(row, networks),
            weekly=row.choice("period", ("day", "week"), "") == "week",
            amount=row.amount("amount", _same_currency(row, currency), low=0) or 0,
            line=row.line.number,
        )
        kind = (cap.category, cap.weekly)
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] > CAPS_PER_PERIOD_MAX:
            row.bad("period", f"at most {CAPS_PER_PERIOD_MAX} caps per category and period")
        yield cap


def _same_currency(row: Cells, currency: str) -> str:
    if row.currency("currency") not in ("", currency):
        row.bad("currency", f"{currency}, the currency of fare_products.txt")
    return currency


def read_policies(
    feed: FeedReader, rules: Rules, products: Mapping[str, Product], networks: Collection[str]
) -> dict[str, Policy]:
    """A policy for every network, and under the empty name one for rides on none."""
    rows = {row.text("network_id"): row for row in feed.keyed("fare_policies.txt", "network_id")}
    for row in rows.values():
        row.ref("network_id", networks, "routes.txt or networks.txt")
    policies = {}
    for network in sorted({*networks, ""}):
        legs = [rule for rule in rules.legs if rule.network in (network, "")]
        policy = _default_policy(network, legs, products)
        chosen = rows.get(network) or rows.get("")
        if chosen is not None:
            policy = _read_policy(chosen, policy, rules)
        _check_tap_on(feed, policy, legs, products)
        policies[network] = policy
    return policies


def _default_policy(network: str, legs: list[LegRule], products: Mapping[str, Product]) -> Policy:
    prices = [price for rule in legs for price in _all_prices(rule, products)]
    validation = TAP_ON_OFF if arrival_matters(legs, products) else TAP_ON
    return Policy(network, validation, max(prices, default=0))


def _all_prices(rule: LegRule, products: Mapping[str, Product]) -> list[int]:
    product = products.get(rule.product)
    if product is None:
        return []
    return [*product.prices.values(), *(band.amount for band in product.bands)]


def arrival_matters(legs: list[LegRule], products: Mapping[str, Product]) -> bool:
    """Can where or when a ride ends change what it costs?"""
    by_departure: dict[tuple[str, str, int], dict[tuple[str, int], frozenset[int]]] = {}
    for rule in legs:
        if products.get(rule.product) and products[rule.product].bands:
            return True
        arrivals = by_departure.setdefault((rule.network, rule.from_area, rule.from_bit), {})
        key = (rule.to_area, rule.to_bit)
        arrivals[key] = arrivals.get(key, frozenset()) | set(_all_prices(rule, products))
    return any(len(set(arrivals.values())) > 1 for arrivals in by_departure.values())


def _read_policy(row: Cells, base: Policy, rules: Rules) -> Policy:
    currency = _same_currency(row, rules.currency) if row.text("currency") else rules.currency
    maximum = row.amount("maximum_fare", currency, low=0)
    given: dict[str, int] = {}
    for field in DURATIONS_S:
        value = row.whole(field, 0, 7 * 86_400)
        if value is not None:
            given[field] = value
    for field in AMOUNTS:
        value = row.amount(field, currency, low=0)
        if value is not None:
            given[field] = value
    days = row.whole("concession_valid_days", 1, 36_500)
    media = frozenset(row.text("fare_media_ids").split())
    for medium in sorted(media - rules.media):
        row.bad("fare_media_ids", f"media of fare_media.txt; {medium} is not one")
    return replace(
        base,
        validation=row.choice("validation", (TAP_ON, TAP_ON_OFF), base.validation),
        maximum_fare=base.maximum_fare if maximum is None else maximum,
        concession_valid_days=days or base.concession_valid_days,
        media=media,
        line=row.line.number,
        **given,  # type: ignore[arg-type]
    )


def _check_tap_on(
    feed: FeedReader, policy: Policy, legs: list[LegRule], products: Mapping[str, Product]
) -> None:
    if policy.tap_off or not arrival_matters(legs, products):
        return
    file, line, value = "fare_policies.txt", policy.line, policy.validation
    network = policy.network or "rides on no network"
    if any(products[rule.product].bands for rule in legs if rule.product in products):
        expected = f"tap_on_off, as {network} is priced by distance"
        feed.problems.error(file, line, "validation", value, expected)
    else:
        expected = (
            f"tap_on_off, as the arrival changes the price of {network}; the cheapest is charged"
        )
        feed.problems.warn(file, line, "validation", value, expected)


def read_places(
    feed: FeedReader,
    stops: Mapping[str, Stop],
    networks: Collection[str],
    route_networks: Mapping[str, str],
) -> dict[tuple[str, str], Place]:
    """The stop, network and line of each (station, gate); an empty gate is all others there."""
    places = {}
    for row in feed.keyed("fare_stations.txt", "station_id", "gate_id"):
        stop = row.required_ref("stop_id", stops, "stops.txt")
        network = row.required_ref("network_id", networks, "routes.txt or networks.txt")
        lines = {route for route, its in route_networks.items() if its == network}
        route = row.ref("route_id", lines, f"routes.txt with the network {network}")
        places[row.required("station_id"), row.text("gate_id")] = Place(stop, network, route)
    return places
