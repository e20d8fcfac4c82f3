"""The flat fare of ``facefare.toml`` as fare tables: one network, one product, one rule.

It is in force until the first imported feed is. There is one way to price a tap, and a
network where every ride costs the same is only the smallest set of tables for it.
"""

from __future__ import annotations

import hashlib
from datetime import date
from zoneinfo import ZoneInfo

from ledger.fares.calendars import Timeframes
from ledger.fares.tables import (
    TAP_ON,
    FareTables,
    LegRule,
    Place,
    Policy,
    Product,
    Stop,
)
from models.settings import Settings

NAME = "facefare.toml"
FOREVER = date.min
_ANYWHERE = ""  # a gate at a station that the settings do not list
_NEVER = -1  # gates keep one passage from being seen twice; two passages are two flat fares


def flat_tables(settings: Settings, zone: ZoneInfo) -> FareTables:
    """The tables in which every ride on the operator's network costs ``flat_fare``."""
    network, fare = settings.network, settings.fare
    names = {_ANYWHERE: network, **settings.stations}
    stops = {
        station: Stop(station or network, name, station or network, frozenset(), zone, None, None)
        for station, name in names.items()
    }
    overdraft = settings.overdraft_limit.minor
    policy = Policy(
        "", TAP_ON, fare.minor, repeat_s=_NEVER, overdraft=overdraft, first_ride_risk=overdraft
    )
    said = f"{network} {fare.minor} {fare.currency} {overdraft} {sorted(settings.stations)}"
    return FareTables(
        name=NAME,
        effective=FOREVER,
        sha256=hashlib.sha256(said.encode()).hexdigest(),
        currency=fare.currency,
        zone=zone,
        stops={stop.stop_id: stop for stop in stops.values()},
        networks=frozenset((network,)),
        route_networks={},
        categories={},
        products={"flat": Product("flat", "Flat fare", {("", ""): fare.minor})},
        leg_rules=(LegRule(0, "flat", network, "", "", 0, 0, "flat", 0, False),),
        by_priority=False,
        transfer_rules=(),
        join_rules=(),
        timeframes=Timeframes({}, {}, {}),
        caps=(),
        policies={"": policy},
        places={(station, ""): Place(stop.stop_id, network) for station, stop in stops.items()},
        warnings=(),
    )
