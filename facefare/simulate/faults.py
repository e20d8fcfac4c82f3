"""How a fault happens in the city, and what must be true right after it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from facefare.simulate.city import City
from facefare.simulate.gates import CityGate
from facefare.simulate.invariants import RuleBroken
from facefare.simulate.living import gate_of, stand_before, until_done
from facefare.simulate.steps import (
    Clone,
    CorruptOutbox,
    DiskFull,
    Dispute,
    Failover,
    Leave,
    Replay,
    Revoke,
    Skew,
    Step,
)
from facefare.simulate.truth import Rider
from gate.errors import OutboxError
from ledger.kept import CheckpointRefused

SQLITE_PAGE_BYTES = 4096


def _leave(city: City, step: Leave) -> None:
    """A rider leaves; with ``through``, on the way, the tap in delivered."""
    rider = city.truth.riders[step.rider]
    if rider.left_at is not None:
        return
    if step.through is not None:
        gate = gate_of(city, step.through)
        stand_before(city, gate, rider)
        if not gate.shut:
            gate.deliver()
    if city.held(rider.account):
        city.truth.count("erased in the middle of a journey")
    until_done(city, lambda: _erase(city, rider), step.server_crash, step.at_write)
    rider.left_at = city.now
    city.truth.count("erased")


def _erase(city: City, rider: Rider) -> None:
    """At the second try after a crash the rider may be gone already."""
    if city.is_listed(rider):
        city.erase(rider)


def _skew(city: City, step: Skew) -> None:
    if step.gate is None:
        city.set_clock(step.seconds)
    else:
        gate_of(city, step.gate).skew = timedelta(seconds=step.seconds)
    if step.seconds:
        city.truth.count("clock jumped" if step.gate is not None else "server's clock jumped")


def _disk_full(city: City, step: DiskFull) -> None:
    gate_of(city, step.gate).disk.fuse.full = step.full


def _corrupt(city: City, step: CorruptOutbox) -> None:
    """Noise over the whole file: the gate must say so and stay shut. Over one page it may not
    notice at once, and works on as well as it can. Staff set it up anew sooner or later; what it
    had not sent by then is gone.
    """
    number = step.gate % len(city.gates)
    gate = city.gates[number]
    _noise(gate, step)
    gate.damaged = True
    city.truth.count("outbox damaged" if step.page is None else "outbox page damaged")
    with suppress(OutboxError):
        gate.start()
        if step.page is None:
            raise RuleBroken(f"{gate.name} works on with a damaged outbox")
        if step.unnoticed:
            city.truth.count("damaged outbox used on")
            return
    set_up_anew(city, number)


def set_up_anew(city: City, number: int) -> None:
    """Staff put another gate in the place of one whose outbox is damaged."""
    gate = city.gates[number]
    for passage in city.truth.passages.values():
        if passage.box == gate.box:
            passage.lost = True  # unless it was charged before
    city.revoke(gate)
    city.replace_gate(number)


def _noise(gate: CityGate, step: CorruptOutbox) -> None:
    path = gate.identity.outbox_path
    gate.outbox.counts()  # the last connection to close writes the log into the file
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    size = path.stat().st_size
    pages = size // SQLITE_PAGE_BYTES
    start, length = 0, size
    if step.page is not None:
        start, length = step.page % pages * SQLITE_PAGE_BYTES, SQLITE_PAGE_BYTES
    data = bytearray(path.read_bytes())
    data[start : start + length] = bytes((step.noise + i * 31) % 256 for i in range(length))
    path.write_bytes(data)


def _clone(city: City, step: Clone) -> None:
    """The copy and the original both go on; each number of the chain is honoured once."""
    gate = gate_of(city, step.gate)
    if gate.damaged:
        return
    copy = city.clone(gate)
    copy.walk(city.truth.riders[step.rider])
    copy.deliver()
    city.truth.count("gate cloned")
    for passage in city.truth.passages.values():
        if passage.box == copy.box and passage.tap_id in set(copy.waiting()):
            passage.lost = True  # the thief keeps it


def _revoke(city: City, step: Revoke) -> None:
    """The gate was stolen: what it had not sent by then is gone with it.

    The thief has its keys and lets somebody through; the server hears nothing of it any more.
    """
    number = step.gate % len(city.gates)
    gate = city.gates[number]
    if gate.damaged:
        set_up_anew(city, number)
        return
    gate.deliver()
    unsent = gate.waiting()
    city.revoke(gate)
    gate.walk(city.truth.riders[step.rider])
    stolen = [tap_id for tap_id in gate.waiting() if tap_id not in unsent]
    for tap_id in (*unsent, *stolen):
        city.truth.passages[tap_id].lost = True  # unless only the answer had been
    if gate.refresh():
        raise RuleBroken(f"{gate.name} was revoked and is still answered")
    if stolen and (gate.deliver() or city.recorded(stolen)):
        raise RuleBroken(f"{gate.name} was revoked and its taps are still taken")
    city.truth.count("gate stolen and revoked")
    if stolen:
        city.truth.count("tap of a stolen gate refused")
    city.replace_gate(number)


def _failover(city: City, step: Failover) -> None:
    """A stale copy is put in place: nothing may be signed or accepted on it; then it is mended.

    A copy that has every entry a checkpoint was signed over is none by what anybody outside can
    tell: what was acknowledged after that moment is lost with the database, as docs/running.md
    says, and only a synchronous standby prevents it.
    """
    stale = city.stale_copy(step.steps_back)
    signed = city.truth.checkpoints[-1].size if city.truth.checkpoints else 0
    newest = city.path / "newest.sqlite"
    city.back_up_to(newest)
    if city.entries_in(stale) >= signed:
        return
    city.truth.count("failover to a stale copy")
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
    """A request that was answered once is not answered again, also after a restart.

    Where the server's clock was set back by an hour, what had been forgotten counts again.
    """
    if not city.wire.answered:
        return
    request = city.wire.answered[step.request % len(city.wire.answered)]
    answer = city.wire.replay(request)
    city.truth.count("request replayed")
    if answer is not None and answer.status_code < 400 and not city.set_back:
        raise RuleBroken(f"a {request.method} request was sent again and was answered")


def _dispute(city: City, step: Dispute) -> None:
    """The cardholder's bank takes back what the rider paid."""
    charges = [moved for moved in city.bank.charges if moved.name not in city.bank.disputed]
    if charges:
        charged = charges[step.top_up % len(charges)]
        city.bank.disputed.add(charged.name)
        city.bank.processor.dispute(charged.name)
        city.truth.count("payment taken back")


HOW: dict[type[Step], Callable[..., None]] = {
    Leave: _leave,
    Skew: _skew,
    DiskFull: _disk_full,
    CorruptOutbox: _corrupt,
    Clone: _clone,
    Revoke: _revoke,
    Failover: _failover,
    Replay: _replay,
    Dispute: _dispute,
}
