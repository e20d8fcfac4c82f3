"""Who may ride: the ledger, the gates and the rider's own page say the same, and doors obey.

Who is blocked is worked out here from balances, blocks and the prices of the feed in force.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from facefare.simulate.city import City
from facefare.simulate.feed import ZONE, Prices
from facefare.simulate.gates import CityGate
from facefare.simulate.invariants import RuleBroken, rows

_ACCOUNTS = (
    "SELECT account.account_id, balance_minor + held_minor AS own, "
    "EXISTS (SELECT 1 FROM entry WHERE entry.account_id = account.account_id "
    "AND kind = 'top_up') AS funded, "
    "EXISTS (SELECT 1 FROM block WHERE block.account_id = account.account_id "
    "AND lifted_at IS NULL) AS by_staff "
    "FROM account JOIN fare_state ON fare_state.account_id = account.account_id"
)


def prices_now(city: City) -> Prices:
    """The prices of the service day that it is."""
    local = city.now.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
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


def note_blocked(city: City) -> None:
    """Keep since which step each account is blocked."""
    now = blocked_now(city)
    since = city.truth.blocked
    city.truth.blocked = {account: since.get(account, city.truth.steps) for account in now}


def check_refreshed(city: City, gate: CityGate) -> None:
    """After a gate has heard from the server, both say the same of every rider."""
    denied = blocked_now(city)
    if gate.blocked is None or set(gate.blocked) != denied:
        raise RuleBroken(f"{gate.name} and the ledger disagree on who is blocked")
    searched = {entry.account for entry in gate.gallery.riders} if gate.gallery else set()
    for rider in city.truth.riders:
        if rider.left_at is not None and rider.account in searched:
            raise RuleBroken(f"{gate.name} still recognises rider {rider.number}, who has left")


def check_pages(city: City) -> None:
    """Every rider's own page says what the gates are told."""
    denied = blocked_now(city)
    for rider in city.truth.riders:
        if rider.left_at is None:
            shown = city.shown(rider).state == "blocked"
            if shown != (rider.account in denied):
                raise RuleBroken(f"the rider page and the gates disagree on {rider.name}")


def check_opened(city: City, gate: CityGate, account: str) -> None:
    """No gate opens for an account that was blocked when it last heard from the server."""
    if gate.blocked is None or account in gate.blocked:
        raise RuleBroken(f"{gate.name} opened for an account that it knows to be blocked")
    since = city.truth.blocked.get(account)
    if since is not None and since < gate.refreshed_step:
        raise RuleBroken(f"{gate.name} opened for an account that has been blocked for long")
