"""Import a GTFS feed: read every fare file, check it whole, and make ``FareTables`` of it.

    tables = import_feed(Path("mbta.zip"), effective=date(2026, 1, 5))

Nothing is half imported: either every reference, amount and time of the feed is sound, or
``FeedRefused`` lists everything that is not. Trips and stop times are not read; a tap says
where and on which network a rider was, and that is all a fare needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ledger.fares import gtfs_rules, gtfs_times, ownfiles
from ledger.fares.cells import Cells
from ledger.fares.feedfiles import FeedFiles, Sheet, read_files, read_sheet
from ledger.fares.problems import Problems
from ledger.fares.tables import Category, FareTables, Stop

REQUIRED = ("agency.txt", "stops.txt", "routes.txt", "fare_products.txt", "fare_leg_rules.txt")
OPTIONAL = (
    "areas.txt",
    "stop_areas.txt",
    "networks.txt",
    "route_networks.txt",
    "calendar.txt",
    "calendar_dates.txt",
    "timeframes.txt",
    "rider_categories.txt",
    "fare_media.txt",
    "fare_leg_join_rules.txt",
    "fare_transfer_rules.txt",
)


class Feed:
    """One feed while it is being read: its sheets and its problems."""

    def __init__(self, files: FeedFiles) -> None:
        self.files = files
        self.problems = Problems()

    def sheet(self, name: str) -> Sheet:
        """One file of the feed; what is wrong with its form is recorded."""
        return read_sheet(self.files, name, self.problems)

    def rows(self, name: str) -> Iterator[Cells]:
        """The records of one file."""
        for line in self.sheet(name).lines:
            yield Cells(name, line, self.problems)

    def keyed(self, name: str, *key: str) -> Iterator[Cells]:
        """The records of one file, recording every one that repeats another's ``key``."""
        seen: dict[tuple[str, ...], int] = {}
        for row in self.rows(name):
            value = tuple(row.text(field) for field in key)
            first = seen.setdefault(value, row.line.number)
            if first != row.line.number:
                row.bad(key[0], f"a key ({', '.join(key)}) that line {first} has not used")
            yield row


def import_feed(path: Path, effective: date, own: Path | None = None) -> FareTables:
    """Read the feed at ``path`` (directory or ZIP), in force from the service day ``effective``.

    The operator's own files (``fare_caps.txt`` and the others of ``ledger.fares.ownfiles``)
    are taken from ``own`` where given, else from the feed itself. Raises ``FeedUnreadable``
    or ``FeedRefused``.
    """
    return read_tables(feed_files(path, own), effective)


def feed_files(path: Path, own: Path | None = None) -> FeedFiles:
    """The files of the feed at ``path``, the operator's own taken from ``own`` where given."""
    files = read_files(path, (*REQUIRED, *OPTIONAL, *ownfiles.FILES))
    if own is None:
        return files
    theirs = {name: body for name, body in files.data.items() if name not in ownfiles.FILES}
    return FeedFiles(files.name, theirs | dict(read_files(own, ownfiles.FILES).data))


def read_tables(files: FeedFiles, effective: date) -> FareTables:
    """Make the tables of ``files``; raise ``FeedRefused`` with everything that is wrong."""
    feed = Feed(files)
    for name in REQUIRED:
        if name not in files.data:
            feed.problems.error(name, 0, "", "", "this file; fares cannot be priced without it")
    feed.problems.refuse_if_any(files.name)
    zone = read_zone(feed)
    areas = {row.required("area_id") for row in feed.keyed("areas.txt", "area_id")}
    stops = read_stops(feed, zone, read_stop_areas(feed, areas))
    networks, route_networks = read_networks(feed)
    categories = read_categories(feed)
    timeframes = gtfs_times.read_timeframes(feed)
    rules = gtfs_rules.read_rules(feed, areas, stops, networks, categories, timeframes)
    own = ownfiles.read_own(feed, rules, stops, networks, route_networks, categories)
    feed.problems.refuse_if_any(files.name)
    return FareTables(
        name=files.name,
        effective=effective,
        sha256=files.sha256,
        currency=rules.currency,
        zone=zone,
        stops=stops,
        networks=networks,
        route_networks=route_networks,
        categories=categories,
        products=own.products,
        leg_rules=rules.legs,
        by_priority=rules.by_priority,
        transfer_rules=rules.transfers,
        join_rules=rules.joins,
        timeframes=timeframes,
        caps=own.caps,
        policies=own.policies,
        places=own.places,
        warnings=tuple(feed.problems.warnings),
    )


def read_zone(feed: Feed) -> ZoneInfo:
    """The one time zone of the feed's agencies."""
    zones: dict[str, ZoneInfo] = {}
    for row in feed.rows("agency.txt"):
        name = row.required("agency_timezone")
        found = _zone(row, "agency_timezone")
        if found and zones and name not in zones:
            row.bad("agency_timezone", f"the same time zone for all agencies, {next(iter(zones))}")
        zones[name] = found or ZoneInfo("UTC")
    if not zones:
        feed.problems.error("agency.txt", 0, "", "", "at least one agency")
    return next(iter(zones.values()), ZoneInfo("UTC"))


def _zone(row: Cells, field: str) -> ZoneInfo | None:
    if not row.text(field):
        return None
    try:
        return ZoneInfo(row.text(field))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        row.bad(field, "a time zone of the IANA list such as America/Toronto")
        return None


def read_stop_areas(feed: Feed, areas: set[str]) -> dict[str, set[str]]:
    """The areas each stop or station is assigned to by its own id."""
    stops = {line.cells.get("stop_id", "") for line in feed.sheet("stops.txt").lines}
    found: dict[str, set[str]] = {}
    for row in feed.keyed("stop_areas.txt", "stop_id", "area_id"):
        stop = row.required_ref("stop_id", stops, "stops.txt")
        found.setdefault(stop, set()).add(row.required_ref("area_id", areas, "areas.txt"))
    return found


def read_stops(feed: Feed, zone: ZoneInfo, assigned: dict[str, set[str]]) -> dict[str, Stop]:
    """The stops with the areas they have, inherit from their station, or lend to it.

    A platform without areas has its station's (the rule of GTFS). A station without areas
    has those of all its platforms: a gate line may stand for the whole station, and its
    network then says which of the areas count.
    """
    rows = {row.required("stop_id"): row for row in feed.keyed("stops.txt", "stop_id")}
    lent: dict[str, set[str]] = {}
    for stop, row in rows.items():
        parent = row.ref("parent_station", rows, "stops.txt")
        if parent and stop in assigned:
            lent.setdefault(parent, set()).update(assigned[stop])
    stops = {}
    for stop, row in rows.items():
        parent = row.text("parent_station")
        zones = (_zone(r, "stop_timezone") for r in (row, rows.get(parent, row)))
        stops[stop] = Stop(
            stop_id=stop,
            name=row.text("stop_name") or stop,
            station=parent or stop,
            areas=frozenset(assigned.get(stop) or assigned.get(parent) or lent.get(stop) or ()),
            zone=next(filter(None, zones), zone),
            lat=row.number("stop_lat", 90),
            lon=row.number("stop_lon", 180),
        )
    return stops


def read_networks(feed: Feed) -> tuple[frozenset[str], dict[str, str]]:
    """All network ids, and the network of each route."""
    in_routes = "network_id" in feed.sheet("routes.txt").fields
    for name in ("networks.txt", "route_networks.txt"):
        if in_routes and name in feed.files.data:
            feed.problems.error(name, 0, "", "", "no such file, as routes.txt has network_id")
    routes = {
        r.required("route_id"): r.text("network_id") for r in feed.keyed("routes.txt", "route_id")
    }
    if in_routes:
        return frozenset(routes.values()) - {""}, {r: n for r, n in routes.items() if n}
    networks = {row.required("network_id") for row in feed.keyed("networks.txt", "network_id")}
    assigned = {}
    for row in feed.keyed("route_networks.txt", "route_id"):
        network = row.required_ref("network_id", networks, "networks.txt")
        assigned[row.required_ref("route_id", routes, "routes.txt")] = network
    return frozenset(networks), assigned


def read_categories(feed: Feed) -> dict[str, Category]:
    """The rider categories, of which at most one is the default."""
    categories: dict[str, Category] = {}
    default = ""
    for row in feed.keyed("rider_categories.txt", "rider_category_id"):
        category = row.required("rider_category_id")
        is_default = row.choice("is_default_fare_category", ("0", "1"), "0") == "1"
        if is_default and default:
            row.bad("is_default_fare_category", f"one default category; {default} is it already")
        default = default or (category if is_default else "")
        name = row.required("rider_category_name")
        categories[category] = Category(category, name, is_default)
    return categories
