"""What must be true of the city after every step, and once everything has been delivered.

The rules are checked from outside: on the database as it lies on disk, with arithmetic of
their own, and against what really happened (``truth``).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from facefare.simulate.city import City
from facefare.simulate.gates import CityGate
from ledger.kept import CheckpointFile
from ledger.verify import verify
from models.errors import FacefareError
from models.log.tree import leaf_hash

_LOG = "SELECT seq, kind, entry_id, body, leaf_hash, prev FROM entry ORDER BY seq"
_ASIDE = "SELECT tap_id, outcome FROM tap WHERE outcome IN ('quarantined', 'refused')"

_CUSTOMERS = (
    "SELECT customer FROM processor_call WHERE state IN ('due', 'sent') "
    "UNION SELECT customer FROM card_leaving"
)


class RuleBroken(FacefareError):
    """Something that must never happen did."""


def rows(city: City, query: str, **values: Any) -> list[sqlite3.Row]:
    """Ask the fares database as it lies on disk, past everything that reads it for the server."""
    return city.from_outside().execute(query, values).fetchall()


def check_step(city: City) -> None:
    """Rules that hold after every step; raise ``RuleBroken`` for the first that does not."""
    _log_only_grows(city)
    _checkpoints_still_hold(city)
    _books_balance(city)
    _refunds_stay_below_charges(city)
    _numbers_are_charged_once(city)
    aside = _taps_set_aside(city)
    for gate in city.gates:
        if gate.touched:
            _gate_and_ledger_agree(city, gate, aside)
            gate.touched = False
    _who_left_cannot_be_found(city)


def _log_only_grows(city: City) -> None:
    """Old entries are what they were, byte for byte; new ones follow them."""
    known = city.truth.log
    found = [tuple(row) for row in rows(city, _LOG)]
    if len(found) < len(known):
        raise RuleBroken(f"the log had {len(known)} entries and has {len(found)}")
    if found[: len(known)] != known:
        number = next(n for n, row in enumerate(known) if found[n] != row)
        raise RuleBroken(f"entry {number} was another one before")
    prev = known[-1][4] if known else bytes(32)
    for number, (seq, kind, entry_id, body, leaf, before) in enumerate(
        found[len(known) :], start=len(known)
    ):
        if seq != number:
            raise RuleBroken(f"the log has a gap: entry {number} is missing")
        if leaf_hash(body) != leaf or before != prev:
            raise RuleBroken(f"entry {number} is not chained to the one before")
        if kind == "ride":
            _is_a_passage(city, entry_id)
        city.truth.tree.append(leaf)
        city.truth.roots.append(city.truth.tree.root())
        prev = leaf
    city.truth.log = found


def _is_a_passage(city: City, tap_id: str) -> None:
    if tap_id not in city.truth.passages:
        raise RuleBroken(f"ride {tap_id} was charged and nobody passed a gate")
    if tap_id in city.truth.charged:
        raise RuleBroken(f"passage {tap_id} was charged twice")
    city.truth.charged.add(tap_id)


def _checkpoints_still_hold(city: City) -> None:
    """The log continues every checkpoint that anybody ever saw."""
    for seen in city.truth.checkpoints:
        if seen.size >= len(city.truth.roots):
            raise RuleBroken(f"a checkpoint over {seen.size} entries was signed, some are missing")
        if city.truth.roots[seen.size] != seen.root:
            raise RuleBroken(f"the log does not continue the checkpoint over {seen.size} entries")


def _books_balance(city: City) -> None:
    for row in rows(
        city,
        "SELECT entry_seq, currency FROM posting GROUP BY entry_seq, currency "
        "HAVING SUM(minor) <> 0",
    ):
        raise RuleBroken(f"the postings of entry {row['entry_seq']} do not sum to zero")
    for row in rows(
        city,
        "SELECT account.account_id, balance_minor, COALESCE(-SUM(posting.minor), 0) AS counted "
        "FROM account LEFT JOIN posting ON posting.account_id = account.account_id "
        "GROUP BY account.account_id, balance_minor "
        "HAVING balance_minor <> COALESCE(-SUM(posting.minor), 0)",
    ):
        raise RuleBroken(
            f"an account shows {row['balance_minor']}, and its postings sum to {row['counted']}"
        )


def _refunds_stay_below_charges(city: City) -> None:
    for row in rows(
        city,
        "SELECT ride.entry_id FROM entry AS ride JOIN entry AS back "
        "ON back.corrects = ride.entry_id WHERE ride.kind = 'ride' AND back.kind = 'refund' "
        "GROUP BY ride.entry_id, ride.amount_minor "
        "HAVING SUM(back.amount_minor) > ride.amount_minor",
    ):
        raise RuleBroken(f"more than ride {row['entry_id']} cost was given back")


def _numbers_are_charged_once(city: City) -> None:
    """Of a gate and its copies only one tap with each number costs anything."""
    for row in rows(
        city,
        "SELECT gate, gate_seq FROM tap WHERE outcome = 'accepted' GROUP BY gate, gate_seq "
        "HAVING COUNT(DISTINCT tap_id) > 1",
    ):
        raise RuleBroken(f"{row['gate']} has two charged taps with number {row['gate_seq']}")


def _taps_set_aside(city: City) -> dict[str, str]:
    """The taps that were not charged, and what became of them; refused ones had a reason."""
    aside = {row["tap_id"]: row["outcome"] for row in rows(city, _ASIDE)}
    for tap_id, outcome in aside.items():
        passage = city.truth.passages.get(tap_id)
        if passage is None:
            raise RuleBroken(f"tap {tap_id} was {outcome} and nobody passed a gate")
        if outcome == "refused" and not city.truth.left(passage.account):
            raise RuleBroken(f"passage {tap_id} was refused though its rider is here")
    return aside


def _gate_and_ledger_agree(city: City, gate: CityGate, aside: dict[str, str]) -> None:
    """What the gate was told is so, and of its passages none is lost.

    A passage may wait: then its tap is in the outbox. From when it is delivered it is charged,
    or known to have been set aside.
    """
    told, charged = gate.told(), city.truth.charged
    for tap_id, status in told.items():
        if status == "accepted" and tap_id not in charged:
            raise RuleBroken(f"{gate.name} was told that tap {tap_id} is charged, and it is not")
        if status in ("refused", "quarantined") and aside.get(tap_id) != status:
            raise RuleBroken(f"{gate.name} was told that tap {tap_id} is {status}, and it is not")
    for passage in city.truth.passages.values():
        tap_id = passage.tap_id
        known = tap_id in charged or tap_id in aside or told.get(tap_id) == "pending"
        if passage.box == gate.box and not (known or passage.lost or gate.damaged):
            raise RuleBroken(f"passage {tap_id} was not charged and nobody knows of it")


def check_end(city: City) -> None:
    """Rules about the whole story, once every gate has delivered what it could."""
    for gate in city.gates:
        gate.touched = True
    check_step(city)
    _each_passage_is_settled(city)
    _money_handed_over_is_there(city)
    verify(
        city.ledger.engine,
        city.ledger.settings.origin,
        city.ledger.log_key.public_key(),
        CheckpointFile(city.ledger.checkpoint_file).read(),
        city.ledger.vault,
    )


def _each_passage_is_settled(city: City) -> None:
    """Also those of gates that are no longer here."""
    aside = _taps_set_aside(city)
    for passage in city.truth.passages.values():
        if not (passage.tap_id in city.truth.charged or passage.tap_id in aside or passage.lost):
            raise RuleBroken(f"passage {passage.tap_id} was not charged and nobody knows of it")


def _money_handed_over_is_there(city: City) -> None:
    recorded = {
        row["entry_id"]: row["amount_minor"]
        for row in rows(city, "SELECT entry_id, amount_minor FROM entry WHERE kind = 'top_up'")
    }
    handed = {top_up_id: minor for top_up_id, (_, minor) in city.truth.top_ups.items()}
    handed |= {moved.order_id: moved.amount.minor for moved in city.bank.charges}
    if recorded != handed:
        raise RuleBroken("the top-ups in the ledger are not the money that was handed over")


def _who_left_cannot_be_found(city: City) -> None:
    """No byte of a rider who left lies in any file of the server: databases, vault, keys, logs.

    What the processor calls them stays for as long as it has to be told something about them.
    """
    if any(rider.left_at is not None for rider in city.truth.riders):
        needed = {row["customer"] for row in rows(city, _CUSTOMERS)}
        _not_in(city, [path for path in city.data.path.rglob("*") if path.is_file()], needed)


def check_forgotten(city: City, gate: CityGate) -> None:
    """A gate that has heard of it knows who left only from the taps that opened here."""
    outbox = gate.identity.outbox_path.name
    _not_in(
        city, [path for path in gate.identity.path.iterdir() if not path.name.startswith(outbox)]
    )


def _not_in(city: City, files: Iterable[Path], needed: AbstractSet[str] = frozenset()) -> None:
    held = {path: path.read_bytes() for path in files}
    for rider in city.truth.riders:
        if rider.left_at is None:
            continue
        hashed = hashlib.sha256(rider.account.encode()).hexdigest()
        for trace in {rider.account, rider.name, rider.customer, hashed} - needed:
            for path, data in held.items():
                if trace.encode() in data:
                    raise RuleBroken(
                        f"rider {rider.number} has left, and {path.name} knows {trace}"
                    )
