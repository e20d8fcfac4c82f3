"""Walk a stretch of the log: hash, chain and compare every entry with what stands beside it.

A stretch starts at a multiple of its length, a power of two, so its root is a node of the
whole tree and several stretches can be walked side by side. What the entry before its first
one should be is taken from that entry's row, which another stretch answers for. Memory stays
bounded: rows come in chunks.

``work`` does it in a process of its own. So that such a process is small and starts at
once, this module knows neither SQLAlchemy nor the tables; names of columns are handed in.
"""

from __future__ import annotations

import gc
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import Any, Protocol

from ledger.alike import Committer, Forms, fits_postings, fits_tap, is_plain, rider_of
from ledger.beside import (
    Line,
    LogBroken,
    Row,
    check_columns,
    check_postings,
    check_tap,
)
from ledger.entries import FIRST_PREV, EntryUnreadable, decode, searchable
from models.log.tiles import TILE_LEVELS, TILE_WIDTH
from models.log.tree import Frontier, leaf_hash
from models.vault import Vault

RUN = TILE_WIDTH  # the node table keeps the root over so many leaves
_CHUNK = 1024

OWN_COLUMNS = (
    "seq", "body", "leaf_hash", "prev", "recorded_at", "entry_id", "occurred_at", "tap_hash",
    "account_id",
)  # fmt: skip
POSTING = Line._fields
TAP = (
    "entry_seq", "tap_id", "signed", "hash", "prev", "gate", "gate_seq", "outcome", "account_id",
)  # fmt: skip

_UNREADABLE = (TypeError, ValueError, LookupError, AttributeError)
"""What a value of another kind than any we write leads to, such as text for bytes."""


class Cursor(Protocol):
    """A DB-API cursor inside a transaction that sees one state of the database."""

    def execute(self, statement: str) -> Any: ...
    def fetchall(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What every stretch is walked with, and how ``long`` it is: a power of two from 256 on.

    ``others`` are the columns of an entry besides ``OWN_COLUMNS``. A rider's key has the
    account's id behind ``rider_key`` as its name in the ``vault``, a member of staff's
    their name behind ``staff_key``.
    """

    long: int
    others: tuple[str, ...]
    checkpoint_size: int | None
    vault: Vault | None
    rider_key: str
    staff_key: str


@dataclass(slots=True)
class Walked:
    """What was found in entries ``start`` up to ``end``.

    ``peaks`` and ``at_checkpoint`` are the roots of perfect subtrees, largest first, over
    all of the stretch and over its part below the checkpoint.
    """

    start: int
    end: int
    peaks: list[bytes] = field(default_factory=list)
    at_checkpoint: list[bytes] | None = None
    broken: tuple[int | None, str] | None = None
    counts: Counter[str] = field(default_factory=Counter)


def walk(cursor: Cursor, start: int, end: int, setup: Setup) -> Walked:
    """Walk entries ``start`` up to ``end``; what is broken is in the answer."""
    walked = Walked(start, end)
    try:
        _Walk(cursor, walked, setup).go()
    except LogBroken as error:
        walked.broken = error.index, error.reason
    return walked


def work(end: Connection, path: str, number: int, count: int, setup: Setup) -> None:
    """Walk every ``count``-th stretch from ``number`` on; runs in a process of its own.

    Says "ready" on ``end``, begins its transaction when it hears anything, says "begun",
    hears the number of entries, and then answers with what it finds.
    """
    gc.disable()  # rows hold no cycles, and looking for some takes a tenth of the time
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA query_only=ON")
        cursor = connection.cursor()
        end.send("ready")
        end.recv()
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM entry LIMIT 1").fetchall()
        end.send("begun")
        size = end.recv()
        for start in range(number * setup.long, size, count * setup.long):
            end.send(walk(cursor, start, min(start + setup.long, size), setup))


class _Walk:
    """The state between the entries of one stretch."""

    def __init__(self, cursor: Cursor, walked: Walked, setup: Setup) -> None:
        self._cursor, self._walked, self._counts = cursor, walked, walked.counts
        self._setup, self._vault = setup, setup.vault
        self._columns = OWN_COLUMNS + setup.others
        self._forms = Forms()
        self._all_plain = False
        self._run: list[bytes] = []
        self._runs: list[bytes] = []
        self._riders: dict[str | None, Committer] = {}
        self._staff: dict[str, Committer | None] = {}
        self._seq = walked.start
        self._prev, self._recorded_at = self._before(walked.start)
        self._nodes = _kept_nodes(cursor, walked.start, walked.end)

    def _before(self, start: int) -> tuple[bytes, str]:
        if start == 0:
            return FIRST_PREV, ""
        found = _fetch(self._cursor, ("leaf_hash", "recorded_at"), "entry", start - 1, start, "seq")
        if not found:
            raise LogBroken(start - 1, "it is missing")
        leaf, recorded_at = found[0]
        return leaf, recorded_at

    def go(self) -> None:
        """All entries of the stretch, in chunks."""
        walked = self._walked
        for first in range(walked.start, walked.end, _CHUNK):
            end = min(first + _CHUNK, walked.end)
            entries = _fetch(self._cursor, self._columns, "entry", first, end, "seq")
            postings = [
                *_fetch(self._cursor, POSTING, "posting", first, end, "entry_seq, line"),
                _NO_MORE,
            ]
            taps = {
                row[0]: row for row in _fetch(self._cursor, TAP, "tap", first, end, "entry_seq")
            }
            self._learn_keys(entries)
            self._chunk(entries, postings, taps)
            if self._seq < end:
                raise LogBroken(self._seq, "it is missing")
        walked.peaks = self._peaks()

    def _learn_keys(self, entries: Sequence[tuple[Any, ...]]) -> None:
        if self._vault is None:
            return
        whose = {row[8] for row in entries if isinstance(row[8], str)}
        before = self._setup.rider_key
        names = {before + account: account for account in whose if account not in self._riders}
        for name, key in self._vault.keys(names).items():
            self._riders[names[name]] = Committer(key)

    def _chunk(self, entries: Sequence[Any], postings: list[Any], taps: dict[int, Any]) -> None:
        place = 0  # of the next entry's postings
        self._all_plain = _are_plain(entries)
        for row in entries:
            seq = self._seq
            if row[0] != seq:
                raise LogBroken(seq, f"it is missing; the next one here is {row[0]}")
            tap = taps.get(seq)
            try:
                lines = self._quickly(row, postings, place, tap)
                if lines is None:
                    lines = self._carefully(row, _lines_of(seq, postings, place), tap)
            except _UNREADABLE as error:
                raise LogBroken(seq, f"something about it cannot be read ({error})") from error
            place += lines
            self._counts["postings"] += lines
            self._counts["taps"] += tap is not None
            self._recorded_at, self._prev = row[4], row[2]
            self._append(row[2])
        if place != len(postings) - 1:
            raise LogBroken(postings[place][0], "it has more postings than its bytes say")

    def _quickly(
        self, row: tuple[Any, ...], postings: list[Any], place: int, tap: Any
    ) -> int | None:
        """The number of postings of a ride like one before it; None if it is none."""
        seq, body, leaf, prev, recorded_at, entry_id, occurred_at, tap_hash, account = row[:9]
        form = self._forms.find(row[9:], body)
        if (
            form is None
            or tap is None
            or sha256(b"\x00" + body).digest() != leaf
            or prev != self._prev
            or recorded_at < self._recorded_at
        ):
            return None
        key = self._riders.get(account)
        rider = rider_of(body) if key is None else key.commit(entry_id)
        own = (entry_id, occurred_at, prev.hex(), recorded_at, rider, seq, tap_hash)
        end = place + len(form.lines)
        if (
            (form.entry % own).encode() != body
            or not (self._all_plain and (key is not None or is_plain(rider)))
            or not fits_tap(form, (entry_id, occurred_at, tap_hash, account), tap)
            or not fits_postings(form, seq, account, postings[place:end])
            or postings[end][0] == seq
        ):
            return None
        if key is None:
            self._counts["erased"] += account is None
            self._counts["unproved"] += account is not None
        return len(form.lines)

    def _carefully(self, row: tuple[Any, ...], lines: list[Line], tap: Any) -> int:
        """Read the entry and compare; its number of postings, or ``LogBroken``."""
        entry = dict(zip(self._columns, row, strict=True))
        seq, body = entry["seq"], entry["body"]
        if leaf_hash(body) != entry["leaf_hash"]:
            raise LogBroken(seq, "its bytes do not have the hash that was recorded")
        try:
            value = decode(body)
            said = searchable(value)
        except EntryUnreadable as error:
            raise LogBroken(seq, str(error)) from error
        self._check_chain(entry, value)
        check_columns(seq, entry, said)
        check_postings(seq, entry, value, lines)
        self._check_commitment(seq, value, "rider", entry["account_id"])
        self._check_commitment(seq, value, "by", entry["made_by"])
        check_tap(seq, entry, value, None if tap is None else dict(zip(TAP, tap, strict=True)))
        self._counts["unlinked"] += value["unlinked"] if value["kind"] == "close" else 0
        self._forms.learn(row[9:], body, value)
        return len(lines)

    def _check_chain(self, entry: Row, value: Row) -> None:
        seq = entry["seq"]
        if entry["prev"] != self._prev or value.get("prev") != self._prev.hex():
            raise LogBroken(seq, "it does not follow the entry before it")
        if value.get("seq") != seq:
            raise LogBroken(seq, f"its bytes say it is entry {value.get('seq')}")
        if entry["recorded_at"] < self._recorded_at:
            raise LogBroken(seq, "it says it was recorded before the entry before it")

    def _check_commitment(self, seq: int, value: Row, member: str, whose: str | None) -> None:
        committed = value.get(member)
        if committed is None:
            if whose is not None:
                raise LogBroken(seq, f"a column names {whose}, its bytes commit to nobody")
            return
        if whose is None:
            self._counts["erased"] += member == "rider"
            return
        key = self._riders.get(whose) if member == "rider" else self._staff_key(whose)
        if key is None:
            self._counts["unproved"] += 1
        elif key.commit(value["id"]) != committed:
            raise LogBroken(seq, f"its column names {whose}, its bytes commit to someone else")

    def _staff_key(self, whose: str) -> Committer | None:
        if whose not in self._staff:
            name = self._setup.staff_key + whose
            found = {} if self._vault is None else self._vault.keys([name])
            self._staff[whose] = Committer(found[name]) if name in found else None
        return self._staff[whose]

    def _append(self, leaf: bytes) -> None:
        self._run.append(leaf)
        self._seq += 1
        if len(self._run) == RUN:
            self._end_run()
        if self._seq == self._setup.checkpoint_size:
            self._walked.at_checkpoint = self._peaks()

    def _end_run(self) -> None:
        hashes, self._run = self._run, []
        while len(hashes) > 1:
            pairs = zip(hashes[::2], hashes[1::2], strict=True)
            hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        self._runs.append(hashes[0])
        self._counts["nodes"] += 1
        if self._nodes.get(self._seq // RUN - 1) != hashes[0]:
            raise LogBroken(self._seq - 1, f"the kept tree node of level {TILE_LEVELS} is wrong")

    def _peaks(self) -> list[bytes]:
        above, below = Frontier(), Frontier()
        for root in self._runs:
            above.append(root)
        for leaf in self._run:
            below.append(leaf)
        return above.peaks + below.peaks


def _kept_nodes(cursor: Cursor, start: int, end: int) -> dict[int, Any]:
    rows = _fetch(
        cursor, ("position", "hash", "level"), "node", start // RUN, end // RUN, "position"
    )
    return {position: value for position, value, level in rows if level == TILE_LEVELS}


def _are_plain(entries: Sequence[tuple[Any, ...]]) -> bool:
    """Whether ids and times of all these entries are plain text; asked once for many."""
    try:
        return is_plain("".join([text for row in entries for text in row[4:7]]))
    except TypeError:
        return False  # one of them is no text; reading it with care will say which


def _lines_of(seq: int, postings: Sequence[Any], place: int) -> list[Line]:
    end = place
    while postings[end][0] == seq:
        end += 1
    return [Line(*row) for row in postings[place:end]]


_NO_MORE = (None,)  # no entry has this number


def _fetch(
    cursor: Cursor, columns: Sequence[str], table: str, start: int, end: int, order: str
) -> Sequence[Any]:
    """The rows of entries ``start`` up to ``end``; ``order`` begins with the entry's number."""
    by = order.partition(",")[0]
    cursor.execute(
        f"SELECT {', '.join(columns)} FROM {table} "  # noqa: S608 - names and numbers of ours
        f"WHERE {by} >= {start} AND {by} < {end} ORDER BY {order}"
    )
    return cursor.fetchall()
