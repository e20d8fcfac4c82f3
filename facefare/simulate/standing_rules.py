"""Who may ride: the ledger, the gates and the rider's own page say the same, and doors obey.

Who is blocked is worked out here from balances, blocks and the prices of the feed in force.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from facefare.simulate.city import City
from facefare.simulate.feed import ZONE, Prices
from facefare.simulate.gates import CityGate
from facefare.simulate.invariants import RuleBroken, check_forgotten, rows
from facefare.simulate.truth import Rider

GRACE = timedelta(seconds=60)
"""After so long every gate on the network obeys a block, an erasure and a change of medium."""

_ACCOUNTS = (
    "SELECT account.account_id, balance_minor + held_minor AS own, "
    "EXISTS (SELECT 1 FROM entry WHERE entry.account_id = account.account_id "
    "AND kind = 'top_up') AS funded, "
    "EXISTS (SELECT 1 FROM block WHERE block.account_id = account.account_id "
    "AND lifted_at IS NULL) AS by_staff "
    "FROM account JOIN fare_state ON fare_state.account_id = account.account_id"
)


def prices_now(city: City) -> Prices:
    """The prices of the service day that it is by the server's clock."""
    local = city.clock().astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
    day = (local - timedelta(hours=4, minutes=30)).date()
    return next(prices for prices, since in reversed(city.truth.feeds) if since <= day)


def note_prices(city: City) -> None:
    """Notice the night in which new fares come into force, and who is on the way in it."""
    prices = prices_now(city)
    if prices is city.truth.prices:
        return
    city.truth.prices = prices
    (held,) = rows(city, "SELECT COALESCE(SUM(held_minor), 0) AS minor FROM fare_state")
    city.truth.count("new fares in force")
    if held["minor"]:
        city.truth.count("journey open while fares changed")


def blocked_now(city: City) -> set[str]:
    """The accounts that may not ride."""
    prices = prices_now(city)
    children = {rider.account for rider in city.truth.riders if rider.category == "child"}
    return {
        row["account_id"]
        for row in rows(city, _ACCOUNTS)
        if row["by_staff"]
        or row["own"]
        < prices.cheapest // (2 if row["account_id"] in children else 1)
        - (prices.overdraft if row["funded"] else prices.first_ride_risk)
    }


def check_standings(city: City) -> None:
    """Keep since when each account is blocked; of a rider to whom that is new, the page says so."""
    now, since = blocked_now(city), city.truth.blocked
    city.truth.blocked = {account: since.get(account, city.now) for account in now}
    for rider in city.truth.riders:
        if rider.left_at is None and (rider.account in now) != (rider.account in since):
            _check_page(city, rider, now)


def check_pages(city: City) -> None:
    """Every rider's own page says what the gates are told."""
    denied = blocked_now(city)
    for rider in city.truth.riders:
        if rider.left_at is None:
            _check_page(city, rider, denied)


def _check_page(city: City, rider: Rider, denied: set[str]) -> None:
    shown = city.shown(rider).state == "blocked"
    if shown != (rider.account in denied):
        raise RuleBroken(f"the rider page and the gates disagree on {rider.name}")


def check_refreshed(city: City, gate: CityGate) -> None:
    """After a gate has heard from the server, both say the same of every rider."""
    denied = blocked_now(city)
    if gate.blocked is None or set(gate.blocked) != denied:
        raise RuleBroken(f"{gate.name} and the ledger disagree on who is blocked")
    searched = {entry.account for entry in gate.gallery.riders} if gate.gallery else set()
    for rider in city.truth.riders:
        if rider.left_at is not None and rider.account in searched:
            raise RuleBroken(f"{gate.name} still recognises rider {rider.number}, who has left")
    if not gate.disk.fuse.full:
        check_forgotten(city, gate)


def check_opened(city: City, gate: CityGate, account: str) -> None:
    """No gate opens for an account that was blocked when it last heard from the server.

    One that is on the network asks all the time, so it has heard within the grace.
    """
    if gate.blocked is None or account in gate.blocked:
        raise RuleBroken(f"{gate.name} opened for an account that it knows to be blocked")
    since = city.truth.blocked.get(account)
    if since is None:
        return
    if gate.heard_at is not None and since < gate.heard_at:
        raise RuleBroken(f"{gate.name} opened for an account that was blocked when it last heard")
    if gate.online and city.now - since > GRACE:
        raise RuleBroken(f"{gate.name} opened for an account that has been blocked for long")


def listen(city: City, gate: CityGate, rider: Rider) -> None:
    """Hear what a gate on the network has heard by now, since it asks all the time.

    It is asked for here only where the answer can be another one for the rider who comes.
    """
    stale = gate.heard_at is None or city.now - gate.heard_at > GRACE
    known = gate.blocked is not None and rider.account in gate.blocked
    news = rider.left_at is not None or known != (rider.account in city.truth.blocked)
    if gate.online and stale and news and gate.refresh():
        check_refreshed(city, gate)
