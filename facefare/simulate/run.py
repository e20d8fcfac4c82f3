"""Live through a story, check the rules on the way, and tell it when one is broken."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from facefare.simulate.city import City, later, new_id
from facefare.simulate.crashes import Died
from facefare.simulate.gates import CityGate
from facefare.simulate.invariants import (
    RuleBroken,
    check_end,
    check_not_twice,
    check_opened,
    check_refreshed,
    check_step,
)
from facefare.simulate.shrink import shrink
from facefare.simulate.story import (
    Clone,
    CorruptOutbox,
    Crash,
    Deliver,
    DiskFull,
    Failover,
    Leave,
    Publish,
    Refresh,
    Refund,
    Replay,
    Revoke,
    Size,
    Skew,
    Step,
    TopUp,
    Walk,
    tell,
)
from facefare.simulate.truth import Rider
from gate.errors import OutboxError
from ledger.kept import CheckpointRefused
from ledger.once import EntryRefused
from ledger.refunds import refund
from ledger.topups import top_up
from models.money import Money

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in memory: nothing of a city has to last
DRAIN_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed. ``broken`` is empty where every rule held."""

    seed: int
    steps: int
    opened: int
    charged: int
    entries: int
    broken: str = ""
    story: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "seed": self.seed,
            "steps": self.steps,
            "opened": self.opened,
            "charged": self.charged,
            "entries": self.entries,
            "broken": self.broken or None,
            "story": list(self.story),
        }


def simulate(seed: int, size: Size, faults: Sequence[str]) -> Outcome:
    """Live through the story of ``seed``; where a rule breaks, shrink the story and tell it."""
    story = tell(seed, size, faults)
    outcome = live(seed, story, size)
    if not outcome.broken:
        return outcome
    kept = shrink(story, lambda steps: bool(live(seed, steps, size).broken))
    told = live(seed, kept, size)
    return told if told.broken else outcome


def live(seed: int, story: Sequence[Step], size: Size) -> Outcome:
    """Live through ``story`` in a new city."""
    folder = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="facefare-city-", dir=folder) as path:
        city = City(Path(path), size)
        broken, told, done = "", [], 0
        try:
            for step in story:
                done += 1
                told.append(step.words())
                _live_step(city, step)
                told += city.truth.notes
                city.truth.notes.clear()
            drain(city)
            check_end(city)
        except (RuleBroken, AssertionError) as error:
            told += city.truth.notes
            broken = str(error) or repr(error)
        except Exception as error:  # noqa: BLE001 - nobody in the city was there to hear it
            told += city.truth.notes
            broken = f"unexpected {type(error).__name__}: {error}"
        finally:
            city.close()
        passages = city.truth.passages.values()
        return Outcome(
            seed,
            done,
            opened=sum(passage.opened for passage in passages),
            charged=len(passages),
            entries=len(city.truth.leaves),
            broken=broken,
            story=tuple(told) if broken else (),
        )


def _live_step(city: City, step: Step) -> None:
    later(city, step.after_s)
    city.wire.deliver_late()
    city.back_up()
    _HOW[type(step)](city, step)
    check_step(city)


def drain(city: City) -> None:
    """Let everything calm down: clocks right, disks empty, the network up; then deliver all."""
    city.wire.trouble, city.fuse.lit = "", ""
    city.wire.deliver_late()
    for gate in city.gates:
        gate.skew, gate.disk.full, gate.disk.fuse.lit = timedelta(), False, ""
        if gate.revoked:
            continue
        for _ in range(DRAIN_ROUNDS):
            if not gate.waiting():
                break
            gate.deliver()
        else:
            raise RuleBroken(f"{gate.name} cannot get rid of its taps though all is well")
        if not gate.refresh():
            raise RuleBroken(f"{gate.name} cannot refresh though all is well")
        check_refreshed(city, gate)
    city.publish()


def _gate(city: City, number: int) -> CityGate:
    return city.gates[number % len(city.gates)]


def _walk(city: City, step: Walk) -> None:
    gate, rider = _gate(city, step.gate), city.truth.riders[step.rider]
    _stand_before(city, gate, rider, step.crash)
    if step.turns_round:
        later(city, 30.0)
        _stand_before(city, gate, rider, "")


def _stand_before(city: City, gate: CityGate, rider: Rider, crash: Crash) -> None:
    before = len(city.truth.passages)
    gate.disk.fuse.lit = crash
    try:
        gate.walk(rider)
    except Died:
        city.truth.say(f"    {gate.name} dies and starts again")
        gate.start()
    finally:
        gate.disk.fuse.lit = ""
    if len(city.truth.passages) > before:
        check_opened(gate, rider.account)
        check_not_twice(city)


def _deliver(city: City, step: Deliver) -> None:
    gate = _gate(city, step.gate)
    city.wire.trouble, city.fuse.lit = step.trouble, step.server_crash
    gate.disk.fuse.lit = step.gate_crash
    try:
        gate.deliver()
    except Died:
        city.truth.say(f"    {gate.name} dies and starts again")
        gate.start()
    finally:
        city.wire.trouble, city.fuse.lit, gate.disk.fuse.lit = "", "", ""


def _refresh(city: City, step: Refresh) -> None:
    gate = _gate(city, step.gate)
    city.wire.trouble = step.trouble
    if gate.refresh() and not gate.revoked:
        check_refreshed(city, gate)
    city.wire.trouble = ""


def _top_up(city: City, step: TopUp) -> None:
    rider = city.truth.riders[step.rider]
    if rider.left_at is not None or step.minor == 0:
        return
    top_up_id = new_id(10_000 + len(city.truth.top_ups))
    amount = Money(step.minor, city.ledger.settings.currency)

    def pay() -> None:
        top_up(city.ledger, rider.account, amount, top_up_id, "ada")

    city.fuse.lit = step.server_crash
    sent = city.use(pay)
    city.fuse.lit = ""
    if not sent or step.doubled:  # staff press the button again
        city.use(pay)
    city.truth.top_ups[top_up_id] = rider.account, step.minor


def _refund(city: City, step: Refund) -> None:
    rider = city.truth.riders[step.rider]
    rides = [p.tap_id for p in city.truth.passages.values() if p.account == rider.account]
    if not rides or rider.left_at is not None:
        return
    ride, fare = rides[step.ride % len(rides)], city.ledger.settings.fare
    amount = Money(fare.minor * step.percent // 100, fare.currency)
    for _ in range(2 if step.doubled else 1):
        refund_id = new_id(1_000_000 + len(city.truth.refunds))
        with suppress(EntryRefused):  # not charged yet, or more than it cost: staff are told
            refund(city.ledger, ride, amount, "wrong_charge", refund_id, "ada")
    city.truth.refunds[new_id(1_000_000 + len(city.truth.refunds))] = ride, amount.minor


def _leave(city: City, step: Leave) -> None:
    rider = city.truth.riders[step.rider]
    if rider.left_at is None:
        city.erase(rider)


def _publish(city: City, step: Publish) -> None:
    city.fuse.lit = step.crash
    city.use(city.publish)
    city.fuse.lit = ""


def _skew(city: City, step: Skew) -> None:
    _gate(city, step.gate).skew = timedelta(seconds=step.seconds)


def _disk_full(city: City, step: DiskFull) -> None:
    _gate(city, step.gate).disk.full = step.full


def _corrupt(city: City, step: CorruptOutbox) -> None:
    """Noise over the whole file: the gate must say so, stay shut, and be set up anew."""
    number = step.gate % len(city.gates)
    gate = city.gates[number]
    unsent = set(gate.waiting())
    path = gate.identity.outbox_path
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(bytes((step.noise + i * 31) % 256 for i in range(path.stat().st_size)))
    rider, before = city.truth.riders[0], len(city.truth.passages)
    with suppress(OutboxError):
        gate.start()
        raise RuleBroken(f"{gate.name} works on with a damaged outbox")
    if len(city.truth.passages) > before:
        raise RuleBroken(f"{gate.name} opened for {rider.name} without a tap on its disk")
    for tap_id in unsent:
        city.truth.passages[tap_id].lost = True
    city.revoke(gate)
    city.gates[number] = city.new_gate()


def _clone(city: City, step: Clone) -> None:
    """The copy and the original both go on; each number of the chain is honoured once."""
    gate = _gate(city, step.gate)
    if gate.revoked:
        return
    copy = city.clone(gate)
    copy.walk(city.truth.riders[step.rider])
    copy.deliver()
    for passage in city.truth.passages.values():
        if passage.box == copy.box and passage.tap_id in set(copy.waiting()):
            passage.lost = True  # the thief keeps it


def _revoke(city: City, step: Revoke) -> None:
    number = step.gate % len(city.gates)
    gate = city.gates[number]
    gate.deliver()
    for tap_id in gate.waiting():
        city.truth.passages[tap_id].lost = True
    city.revoke(gate)
    if gate.refresh():
        raise RuleBroken(f"{gate.name} was revoked and is still answered")
    city.gates[number] = city.new_gate()


def _failover(city: City, step: Failover) -> None:
    """A stale copy is put in place: nothing may be signed or accepted on it; then it is mended."""
    stale = city.stale_copy(step.steps_back)
    signed = city.truth.checkpoints[-1].size if city.truth.checkpoints else 0
    newest = city.path / "newest.sqlite"
    city.back_up_to(newest)
    if city.entries_in(stale) >= signed:
        return
    city.put_database(stale)
    try:
        city.publish()
    except CheckpointRefused as error:
        city.truth.say(f"    the ledger will not sign: {error}")
    else:
        raise RuleBroken("a checkpoint was signed over a log that had lost entries")
    for gate in city.gates:
        gate.deliver()
    city.put_database(newest)


def _replay(city: City, step: Replay) -> None:
    """A request that was answered once is not answered again, also after a restart."""
    if not city.wire.answered:
        return
    request = city.wire.answered[step.request % len(city.wire.answered)]
    answer = city.wire.replay(request)
    if answer is not None and answer.status_code < 400:
        raise RuleBroken(f"a {request.method} request was sent again and was answered")


_HOW: dict[type[Step], Callable[[City, Any], None]] = {
    Walk: _walk,
    Deliver: _deliver,
    Refresh: _refresh,
    TopUp: _top_up,
    Refund: _refund,
    Leave: _leave,
    Publish: _publish,
    Skew: _skew,
    DiskFull: _disk_full,
    CorruptOutbox: _corrupt,
    Clone: _clone,
    Revoke: _revoke,
    Failover: _failover,
    Replay: _replay,
}
