"""The rule files of a feed: fare media, products, leg rules, join rules, transfer rules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from ledger.fares.calendars import Timeframes
from ledger.fares.cells import Cells
from ledger.fares.feedfiles import FeedFiles, Sheet
from ledger.fares.problems import Problems
from ledger.fares.tables import Category, JoinRule, LegRule, Product, Stop, TransferRule

MEDIA_TYPES = ("0", "1", "2", "3", "4")


class FeedReader(Protocol):
    """What these readers need of ``ledger.fares.gtfs.Feed``."""

    files: FeedFiles
    problems: Problems

    def sheet(self, name: str) -> Sheet:
        """One file."""

    def rows(self, name: str) -> Iterator[Cells]:
        """The records of one file."""

    def keyed(self, name: str, *key: str) -> Iterator[Cells]:
        """The records of one file, checked for repeated keys."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The products and rules of a feed."""

    currency: str
    media: frozenset[str]
    products: Mapping[str, Product]
    legs: tuple[LegRule, ...]
    by_priority: bool
    joins: tuple[JoinRule, ...]
    transfers: tuple[TransferRule, ...]


def read_rules(
    feed: FeedReader,
    areas: Collection[str],
    stops: Mapping[str, Stop],
    networks: Collection[str],
    categories: Mapping[str, Category],
    timeframes: Timeframes,
) -> Rules:
    """Read and check all rule files."""
    media = frozenset(_media(row) for row in feed.keyed("fare_media.txt", "fare_media_id"))
    currency = read_currency(feed)
    products = read_products(feed, currency, categories, media)
    legs = tuple(read_legs(feed, areas, networks, products, timeframes))
    groups = {rule.group for rule in legs} - {""}
    return Rules(
        currency=currency,
        media=media,
        products=products,
        legs=legs,
        by_priority="rule_priority" in feed.sheet("fare_leg_rules.txt").fields,
        joins=tuple(read_joins(feed, networks, stops)),
        transfers=tuple(read_transfers(feed, groups, products)),
    )


def _media(row: Cells) -> str:
    row.required("fare_media_type")
    row.choice("fare_media_type", MEDIA_TYPES, "0")
    return row.required("fare_media_id")


def read_currency(feed: FeedReader) -> str:
    """The one currency of the feed: an account holds money of one kind."""
    currency = ""
    for row in feed.rows("fare_products.txt"):
        found = row.currency("currency")
        if found and currency and found != currency:
            row.bad("currency", f"{currency}, as in the lines before: a feed has one currency")
        currency = currency or found
    if not currency:
        feed.problems.error("fare_products.txt", 0, "", "", "at least one fare product")
    return currency


def read_products(
    feed: FeedReader, currency: str, categories: Mapping[str, Category], media: Collection[str]
) -> dict[str, Product]:
    """The fare products; a product with several categories must have the default among them."""
    prices: dict[str, dict[tuple[str, str], int]] = {}
    names: dict[str, str] = {}
    key = ("fare_product_id", "rider_category_id", "fare_media_id")
    for row in feed.keyed("fare_products.txt", *key):
        product = row.required("fare_product_id")
        category = row.ref("rider_category_id", categories, "rider_categories.txt")
        medium = row.ref("fare_media_id", media, "fare_media.txt")
        row.required("amount")
        amount = row.amount("amount", currency)
        prices.setdefault(product, {})[category, medium] = amount or 0
        names.setdefault(product, row.text("fare_product_name") or product)
        _check_default(row, prices[product], categories)
    return {product: Product(product, names[product], prices[product]) for product in prices}


def _check_default(
    row: Cells, prices: Mapping[tuple[str, str], int], categories: Mapping[str, Category]
) -> None:
    named = {category for category, _ in prices if category}
    if len(named) > 1 and not any(c.default for c in categories.values()):
        row.bad("rider_category_id", "a default among the product's categories; none is marked")


def read_legs(
    feed: FeedReader,
    areas: Collection[str],
    networks: Collection[str],
    products: Mapping[str, Product],
    timeframes: Timeframes,
) -> Iterator[LegRule]:
    """The leg rules. ``transfer_only`` is an extension some operators use."""
    key = ("network_id", "from_area_id", "to_area_id", "from_timeframe_group_id")
    rest = ("to_timeframe_group_id", "fare_product_id")
    for row in feed.keyed("fare_leg_rules.txt", *key, *rest):
        yield LegRule(
            line=row.line.number,
            group=row.text("leg_group_id"),
            network=row.ref("network_id", networks, "routes.txt or networks.txt"),
            from_area=row.ref("from_area_id", areas, "areas.txt"),
            to_area=row.ref("to_area_id", areas, "areas.txt"),
            from_bit=timeframes.bits.get(row.text("from_timeframe_group_id"), 0),
            to_bit=timeframes.bits.get(row.text("to_timeframe_group_id"), 0),
            product=row.required_ref("fare_product_id", products, "fare_products.txt"),
            priority=row.whole("rule_priority", 0) or 0,
            transfer_only=row.choice("transfer_only", ("0", "1"), "0") == "1",
        )


def read_joins(
    feed: FeedReader, networks: Collection[str], stops: Mapping[str, Stop]
) -> Iterator[JoinRule]:
    """The rules that make two legs one."""
    key = ("from_network_id", "to_network_id", "from_stop_id", "to_stop_id")
    for row in feed.keyed("fare_leg_join_rules.txt", *key):
        first = row.required_ref("from_network_id", networks, "routes.txt or networks.txt")
        second = row.required_ref("to_network_id", networks, "routes.txt or networks.txt")
        if first != second:
            row.bad("to_network_id", "the same network as from_network_id")
        start = row.ref("from_stop_id", stops, "stops.txt")
        end = row.ref("to_stop_id", stops, "stops.txt")
        if bool(row.text("from_stop_id")) != bool(row.text("to_stop_id")):
            row.bad("to_stop_id", "both from_stop_id and to_stop_id, or neither")
        yield JoinRule(row.line.number, first, second, start, end)


def read_transfers(
    feed: FeedReader, groups: Collection[str], products: Mapping[str, Product]
) -> Iterator[TransferRule]:
    """The transfer rules, with the extensions ``filter_fare_product_id`` and the behaviours."""
    key = ("from_leg_group_id", "to_leg_group_id", "fare_product_id", "transfer_count")
    for row in feed.keyed("fare_transfer_rules.txt", *key, "duration_limit"):
        row.required("fare_transfer_type")
        row.choice("fare_media_behavior", ("0", "1"), "0")
        yield TransferRule(
            line=row.line.number,
            from_group=row.ref("from_leg_group_id", groups, "fare_leg_rules.txt"),
            to_group=row.ref("to_leg_group_id", groups, "fare_leg_rules.txt"),
            count=_transfer_count(row),
            limit_s=_duration_limit(row),
            limit_type=int(row.choice("duration_limit_type", ("0", "1", "2", "3"), "0")),
            kind=int(row.choice("fare_transfer_type", ("0", "1", "2"), "0")),
            product=row.ref("fare_product_id", products, "fare_products.txt"),
            filter_product=row.ref("filter_fare_product_id", products, "fare_products.txt"),
            same_product=row.choice("fare_product_behavior", ("0", "1"), "1") == "0",
        )


def _transfer_count(row: Cells) -> int | None:
    count = row.whole("transfer_count", -1)
    same = row.text("from_leg_group_id") == row.text("to_leg_group_id")
    if same and not row.text("transfer_count"):
        row.bad("transfer_count", "-1 or a number from 1, as both leg groups are the same")
    if not same and row.text("transfer_count"):
        row.bad("transfer_count", "nothing, as the two leg groups differ")
    if count == 0:
        row.bad("transfer_count", "-1 or a number from 1")
    return count


def _duration_limit(row: Cells) -> int | None:
    limit_s = row.whole("duration_limit", 1)
    if bool(row.text("duration_limit")) != bool(row.text("duration_limit_type")):
        row.bad("duration_limit_type", "a value exactly where duration_limit has one")
    return limit_s
