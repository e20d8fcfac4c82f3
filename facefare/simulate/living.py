"""How a step happens in the city: ordinary life. Faults of their own are in ``faults``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import OperationalError

from facefare.simulate.books import end_of_day
from facefare.simulate.city import City, new_id
from facefare.simulate.crashes import Died
from facefare.simulate.feed import SUMMER
from facefare.simulate.founding import CLERK
from facefare.simulate.gates import CityGate
from facefare.simulate.invariants import RuleBroken
from facefare.simulate.standing_rules import check_opened, check_refreshed, listen
from facefare.simulate.steps import (
    AutoTopUp,
    Block,
    CardRefund,
    CardTopUp,
    ChangeFeed,
    Crash,
    Deliver,
    EndOfDay,
    Holiday,
    Messages,
    Publish,
    Refresh,
    Refund,
    Ride,
    Step,
    Tick,
    TopUp,
    Walk,
)
from facefare.simulate.truth import Rider
from gate.passage import Policy
from ledger.autotopup import ask_for_top_ups, set_auto_top_up
from ledger.closing import close_days
from ledger.holds import expire_holds
from ledger.once import EntryRefused
from ledger.processors.cards import refund_to_card, top_up_by_card
from ledger.processors.outbox import work
from ledger.refunds import refund
from ledger.standings import BlockRefused, block, lift
from ledger.topups import top_up
from models.money import Money

TIMES_MAX = 8  # a server that dies again and again at one thing would be a fault of its own


def gate_of(city: City, number: int) -> CityGate:
    """The gate with this number, whatever its name by now."""
    return city.gates[number % len(city.gates)]


def _here(city: City, number: int) -> Rider | None:
    """The rider with this number, None for one who has left."""
    rider = city.truth.riders[number]
    return None if rider.left_at is not None else rider


def _money(city: City, minor: int) -> Money:
    return Money(minor, city.ledger.settings.currency)


def _walk(city: City, step: Walk) -> None:
    gate, rider = gate_of(city, step.gate), city.truth.riders[step.rider]
    stand_before(city, gate, rider, step.crash)
    if step.turns_round:
        city.later(30.0)
        stand_before(city, gate, rider)


def _ride(city: City, step: Ride) -> None:
    rider = city.truth.riders[step.rider]
    stand_before(city, gate_of(city, step.start), rider)
    city.later(60.0 * step.minutes)
    stand_before(city, gate_of(city, step.end), rider)
    if step.bus is not None:
        city.later(300.0)
        stand_before(city, gate_of(city, step.bus), rider)


def stand_before(city: City, gate: CityGate, rider: Rider, crash: Crash = "") -> None:
    """A rider stands before a gate, which may die while it writes the tap."""
    if gate.shut:
        return
    listen(city, gate, rider)
    before = len(city.truth.passages)
    gate.disk.fuse.light(crash)
    try:
        gate.walk(rider)
    except Died:
        gate.restart()
    finally:
        gate.disk.fuse.light("")
    if len(city.truth.passages) > before:
        check_opened(city, gate, rider.account)
        _check_not_twice(city)


def _check_not_twice(city: City) -> None:
    """Who turns round in a gate is not charged again, also if the gate died in between.

    A clock that was set meanwhile says nothing about how long ago something was.
    """
    *earlier, last = city.truth.passages.values()
    for passage in earlier:
        same = (passage.box, passage.account, passage.skew_s) == (
            last.box, last.account, last.skew_s,
        )  # fmt: skip
        if same and last.at_s - passage.at_s < Policy().anti_passback_s:
            raise RuleBroken(f"rider {last.account[:8]} passed {last.box} twice within minutes")


def _deliver(city: City, step: Deliver) -> None:
    _ask(city, gate_of(city, step.gate), step, CityGate.deliver)


def _refresh(city: City, step: Refresh) -> None:
    gate = gate_of(city, step.gate)
    if _ask(city, gate, step, CityGate.refresh):
        check_refreshed(city, gate)


def _ask(
    city: City, gate: CityGate, step: Deliver | Refresh, what: Callable[[CityGate], bool]
) -> bool:
    """A gate speaks with the server, and either may die of it; whether the gate was answered."""
    if gate.shut:
        return False
    city.wire.trouble, city.wire.late_by = step.trouble, step.late_by
    gate.disk.fuse.light(step.gate_crash, step.at_write)
    try:
        with city.dying(step.server_crash, step.at_write):
            return what(gate)
    except Died:
        gate.restart()
        return False
    finally:
        city.wire.trouble = ""
        gate.disk.fuse.light("")


def _tick(city: City, step: Tick) -> None:
    with city.dying(step.server_crash, step.at_write):
        do_what_is_due(city)


def do_what_is_due(city: City) -> None:
    """What the server's own threads do every few seconds."""
    for due in (close_days, expire_holds, ask_for_top_ups):
        city.use(lambda due=due: due(city.ledger))  # type: ignore[misc]
    city.use(lambda: _make_calls(city))


def _make_calls(city: City) -> None:
    """Calls that break in a way nobody thought of stop no other; here they end the story."""
    for name, error in work(city.ledger, city.bank.processor).troubles.items():
        if city.fuse.lit == "disk full" and isinstance(error, OperationalError):
            continue  # it is made again later
        raise RuleBroken(f"call {name} broke with {type(error).__name__}: {error}")


def until_done(city: City, act: Callable[[], object], crash: Crash = "", at_write: int = 1) -> None:
    """Do it again after the server died of it, as whoever pressed the button does."""
    with city.dying(crash, at_write):
        for _ in range(TIMES_MAX):
            if city.use(act):
                return
    raise RuleBroken("the server dies again and again")


def _holiday(city: City, _step: Holiday) -> None:
    city.truth.count("holiday")


def _pay_cash(city: City, step: TopUp) -> None:
    rider = _here(city, step.rider)
    if rider is None or step.minor == 0:
        return
    top_up_id, amount = new_id(10_000 + len(city.truth.top_ups)), _money(city, step.minor)

    def pay() -> None:
        top_up(city.ledger, rider.account, amount, top_up_id, CLERK)

    until_done(city, pay, step.server_crash)
    if step.doubled:  # staff press the button again
        city.use(pay)
    city.truth.top_ups[top_up_id] = rider.account, step.minor


def _give_back(city: City, step: Refund) -> None:
    rider = _here(city, step.rider)
    rides = [p.tap_id for p in city.truth.passages.values() if rider and p.account == rider.account]
    if not rides:
        return
    ride_id, fare = rides[step.ride % len(rides)], city.truth.feeds[0][0].two_zones
    amount = _money(city, fare * step.percent // 100)
    for _ in range(2 if step.doubled else 1):
        city.truth.refunds += 1
        with suppress(EntryRefused):  # not charged yet, or more than it cost: staff are told
            refund(city.ledger, ride_id, amount, "wrong_charge",
                   new_id(1_000_000 + city.truth.refunds), CLERK)  # fmt: skip


def _block_or_lift(city: City, step: Block) -> None:
    rider = _here(city, step.rider)
    if rider is None:
        return
    try:
        block(city.ledger, rider.account, "misuse", "looked into", CLERK)
        city.truth.count("account blocked by staff")
    except BlockRefused:
        lift(city.ledger, rider.account, "it was nothing", CLERK, ("finance",))


def _publish(city: City, step: Publish) -> None:
    with city.dying(step.crash):
        city.use(city.publish)


def _pay_by_card(city: City, step: CardTopUp) -> None:
    rider = _here(city, step.rider)
    if rider is None:
        return
    city.truth.calls += 1
    call_id, amount = new_id(2_000_000 + city.truth.calls), _money(city, step.minor)
    city.bank.trouble = step.trouble
    with city.dying(step.server_crash, step.at_write):
        asked = city.use(lambda: top_up_by_card(city.ledger, rider.account, amount, call_id))
        if not asked:  # the rider's browser sends the form again
            city.use(lambda: top_up_by_card(city.ledger, rider.account, amount, call_id))
        city.use(lambda: _make_calls(city))
    city.bank.trouble = "none"


def _want_auto(city: City, step: AutoTopUp) -> None:
    rider = _here(city, step.rider)
    if rider is not None:
        below, amount = _money(city, step.below_minor), _money(city, step.minor)
        set_auto_top_up(city.ledger, rider.account, below, amount, week_max=_money(city, 5_000))


def _refund_card(city: City, step: CardRefund) -> None:
    charges = city.bank.charges
    if not charges:
        return
    charged = charges[step.top_up % len(charges)]
    city.truth.calls += 1
    call_id = new_id(2_000_000 + city.truth.calls)
    amount = _money(city, charged.amount.minor * step.percent // 100)
    with suppress(EntryRefused):  # not known yet, spent already, or the rider has left
        refund_to_card(city.ledger, charged.order_id, amount, call_id, CLERK)
        city.bank.trouble = step.trouble
        _make_calls(city)
    city.bank.trouble = "none"


def _hear_messages(city: City, step: Messages) -> None:
    with city.dying(step.server_crash, step.at_write):
        for body, signature in city.bank.messages(step.picks):
            city.tell(body, signature)


def _close_the_day(city: City, step: EndOfDay) -> None:
    city.bank.pay_out(step.lose, step.double)
    until_done(city, lambda: end_of_day(city), step.server_crash, step.at_write)


def _change_feed(city: City, _step: ChangeFeed) -> None:
    city.truth.feeds.append((SUMMER, city.activate(SUMMER)))
    city.truth.count("fares changed")


HOW: dict[type[Step], Callable[..., None]] = {
    Walk: _walk,
    Ride: _ride,
    Deliver: _deliver,
    Refresh: _refresh,
    Tick: _tick,
    Holiday: _holiday,
    TopUp: _pay_cash,
    Refund: _give_back,
    Block: _block_or_lift,
    Publish: _publish,
    CardTopUp: _pay_by_card,
    AutoTopUp: _want_auto,
    CardRefund: _refund_card,
    Messages: _hear_messages,
    EndOfDay: _close_the_day,
    ChangeFeed: _change_feed,
}
