"""What must be true of the city after every step, and once everything has been delivered.

The rules are checked from outside: on the database as it lies on disk, with arithmetic of
their own, and against what really happened (``truth``).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from typing import Any

from facefare.simulate.city import City
from facefare.simulate.gates import CityGate
from ledger.kept import CheckpointFile
from ledger.verify import verify
from models.errors import FacefareError
from models.log.tree import Frontier, leaf_hash


class RuleBroken(FacefareError):
    """Something that must never happen did."""


def rows(city: City, query: str, **values: Any) -> list[sqlite3.Row]:
    """Ask the fares database as it lies on disk, past everything that reads it for the server."""
    return city.from_outside().execute(query, values).fetchall()


def check_step(city: City) -> None:
    """Rules that hold after every step; raise ``RuleBroken`` for the first that does not."""
    _log_only_grows(city)
    _books_balance(city)
    _refunds_stay_below_charges(city)
    for gate in city.gates:
        if gate.heard:
            _acknowledged_taps_are_recorded(city, gate)
            gate.heard = False


def _log_only_grows(city: City) -> None:
    found = rows(city, "SELECT seq, body, leaf_hash, prev FROM entry ORDER BY seq")
    known, prev = city.truth.leaves, bytes(32)
    for number, row in enumerate(found):
        if row["seq"] != number:
            raise RuleBroken(f"the log has a gap: entry {number} is missing")
        if leaf_hash(row["body"]) != row["leaf_hash"] or row["prev"] != prev:
            raise RuleBroken(f"entry {number} is not chained to the one before")
        if number < len(known) and row["leaf_hash"] != known[number]:
            raise RuleBroken(f"entry {number} was another one before")
        prev = row["leaf_hash"]
    if len(found) < len(known):
        raise RuleBroken(f"the log had {len(known)} entries and has {len(found)}")
    city.truth.leaves = [row["leaf_hash"] for row in found]
    for checkpoint in city.truth.checkpoints[-3:]:
        _is_prefix(city, checkpoint.size, checkpoint.root)


def _is_prefix(city: City, size: int, root: bytes) -> None:
    tree = Frontier()
    if size > len(city.truth.leaves):
        raise RuleBroken(f"a checkpoint over {size} entries was signed and some are missing")
    for leaf in city.truth.leaves[:size]:
        tree.append(leaf)
    if tree.root() != root:
        raise RuleBroken(f"the log is no continuation of the checkpoint over {size} entries")


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


def _acknowledged_taps_are_recorded(city: City, gate: CityGate) -> None:
    accepted = set(gate.accepted())
    recorded = {
        row["tap_id"]
        for row in rows(
            city,
            "SELECT tap_id FROM tap JOIN entry ON tap.entry_seq = entry.seq WHERE tap.gate = :gate",
            gate=gate.name,
        )
    }
    for tap_id in accepted - recorded:
        raise RuleBroken(f"{gate.name} was told that tap {tap_id} is charged, and it is not")


def check_end(city: City) -> None:
    """Rules about the whole story, once every gate has delivered what it could."""
    check_step(city)
    _each_passage_is_charged_once(city)
    _money_handed_over_is_there(city)
    for checkpoint in city.truth.checkpoints:
        _is_prefix(city, checkpoint.size, checkpoint.root)
    verify(
        city.ledger.engine,
        city.ledger.settings.origin,
        city.ledger.log_key.public_key(),
        CheckpointFile(city.ledger.checkpoint_file).read(),
        city.ledger.vault,
    )
    _who_left_cannot_be_found(city)


def _each_passage_is_charged_once(city: City) -> None:
    rides = Counter(
        row["entry_id"] for row in rows(city, "SELECT entry_id FROM entry WHERE kind = 'ride'")
    )
    kept = {row["tap_id"]: row["outcome"] for row in rows(city, "SELECT tap_id, outcome FROM tap")}
    waiting = {tap_id for gate in city.gates for tap_id in gate.waiting()}
    for passage in city.truth.passages.values():
        charged = rides.pop(passage.tap_id, 0)
        if charged > 1:
            raise RuleBroken(f"passage {passage.tap_id} was charged {charged} times")
        told = kept.get(passage.tap_id) in ("quarantined", "refused")
        if not charged and not (told or passage.lost or passage.tap_id in waiting):
            raise RuleBroken(f"passage {passage.tap_id} was not charged and nobody knows of it")
        if kept.get(passage.tap_id) == "refused" and not city.truth.left(passage.account):
            raise RuleBroken(f"passage {passage.tap_id} was refused though its rider is here")
    for tap_id in rides:
        raise RuleBroken(f"ride {tap_id} was charged and nobody passed a gate")


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
    """No byte of a rider who left lies in any file of the server: databases, vault, keys, logs."""
    left = [rider for rider in city.truth.riders if rider.left_at is not None]
    if not left:
        return
    files = [path for path in city.data.path.rglob("*") if path.is_file()]
    held = {path: path.read_bytes() for path in files}
    for rider in left:
        hashed = hashlib.sha256(rider.account.encode()).hexdigest()
        for trace in (rider.account, rider.name, rider.customer, hashed):
            for path, data in held.items():
                if trace.encode() in data:
                    raise RuleBroken(
                        f"rider {rider.number} has left, and {path.name} knows {trace}"
                    )
