"""Read an entry with care: its bytes as JSON, then everything that stands beside them.

Part of ``ledger.verify``. It names what is wrong. Like ``ledger.stretch``, which calls it in
processes of their own, it knows neither SQLAlchemy nor the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.alike import Committer
from ledger.beside import (
    Line,
    LogBroken,
    Row,
    adjustment_of,
    check_answer,
    check_columns,
    check_postings,
    check_tap,
)
from ledger.entries import EntryUnreadable, decode, searchable
from models.log.tree import leaf_hash
from models.vault import Vault

OWN_COLUMNS = (
    "seq", "body", "leaf_hash", "prev", "recorded_at", "entry_id", "occurred_at", "tap_hash",
    "account_id",
)  # fmt: skip
TAP = (
    "entry_seq", "tap_id", "signed", "hash", "prev", "gate", "gate_seq", "outcome", "account_id",
    "chain", "answer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """What the entry before says: its leaf hash, and when it was recorded."""

    prev: bytes
    recorded_at: str


class Careful:
    """Reads entries whose ``columns`` are given, and counts what it meets.

    ``beyond`` sums up, by tap, what its answer says besides the ride's own amount, less its
    adjustments. ``riders`` are the keys learnt so far, by account.
    """

    def __init__(
        self,
        columns: tuple[str, ...],
        counts: Counter[str],
        beyond: Counter[str],
        vault: Vault | None,
        rider_key: str,
        staff_key: str,
    ) -> None:
        self._columns, self._counts, self._vault = columns, counts, vault
        self._beyond = beyond
        self._rider_key, self._staff_key = rider_key, staff_key
        self.riders: dict[str | None, Committer] = {}
        self._staff: dict[str, Committer | None] = {}

    def learn_keys(self, accounts: Iterable[Any]) -> None:
        """Take the keys of these ``accounts`` out of the vault, where they still are."""
        if self._vault is None:
            return
        new = {name for name in accounts if isinstance(name, str) and name not in self.riders}
        names = {self._rider_key + account: account for account in new}
        if not names:
            return
        for name, key in self._vault.keys(names).items():
            self.riders[names[name]] = Committer(key)

    def check(
        self, row: Sequence[Any], after: Place, lines: Sequence[Line], tap: Any
    ) -> dict[str, Any]:
        """The entry's bytes as a value; raise ``LogBroken`` with what is wrong about it."""
        entry = dict(zip(self._columns, row, strict=True))
        seq, body = entry["seq"], entry["body"]
        if leaf_hash(body) != entry["leaf_hash"]:
            raise LogBroken(seq, "its bytes do not have the hash that was recorded")
        try:
            value = decode(body)
            said = searchable(value)
        except EntryUnreadable as error:
            raise LogBroken(seq, str(error)) from error
        _check_chain(entry, value, after)
        check_columns(seq, entry, said)
        check_postings(seq, entry, value, lines)
        self._check_commitment(seq, value, "rider", entry["account_id"])
        self._check_commitment(seq, value, "by", entry["made_by"])
        claim = None if tap is None else dict(zip(TAP, tap, strict=True))
        check_tap(seq, entry, value, claim)
        self._compare_answer(seq, value, claim)
        self._counts["unlinked"] += value["unlinked"] if value["kind"] == "close" else 0
        return value

    def _compare_answer(self, seq: int, value: Row, tap: Row | None) -> None:
        if tap is not None and (more := check_answer(seq, value, tap)):
            self._beyond[value["id"]] += more
        if value["kind"] == "fare_adjustment":
            self._beyond[value["cause"]] -= adjustment_of(value)

    def _check_commitment(self, seq: int, value: Row, member: str, whose: str | None) -> None:
        committed = value.get(member)
        if committed is None:
            if whose is not None:
                raise LogBroken(seq, f"a column names {whose}, its bytes commit to nobody")
            return
        if whose is None:
            # A rider can be erased; who made an entry stays beside it.
            self._counts["erased" if member == "rider" else "unproved"] += 1
            return
        key = self.riders.get(whose) if member == "rider" else self._staff_committer(whose)
        if key is None:
            self._counts["unproved"] += 1
        elif key.commit(value["id"]) != committed:
            raise LogBroken(seq, f"its column names {whose}, its bytes commit to someone else")

    def _staff_committer(self, whose: str) -> Committer | None:
        if whose not in self._staff:
            name = self._staff_key + whose
            found = {} if self._vault is None else self._vault.keys([name])
            self._staff[whose] = Committer(found[name]) if name in found else None
        return self._staff[whose]


def _check_chain(entry: Row, value: Row, after: Place) -> None:
    seq = entry["seq"]
    if entry["prev"] != after.prev or value.get("prev") != after.prev.hex():
        raise LogBroken(seq, "it does not follow the entry before it")
    if value.get("seq") != seq:
        raise LogBroken(seq, f"its bytes say it is entry {value.get('seq')}")
    if entry["recorded_at"] < after.recorded_at:
        raise LogBroken(seq, "it says it was recorded before the entry before it")
