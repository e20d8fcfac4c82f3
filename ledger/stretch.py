"""Walk a stretch of the log: hash, chain and compare every entry with what stands beside it.

A stretch starts at a multiple of its length, a power of two, so its root is a node of the
whole tree and several stretches can be walked side by side. What the entry before its first
one should be is taken from that entry's row, which another stretch answers for. Memory stays
bounded: rows come in chunks.

Rides that say the same as one before them are compared quickly (``ledger.alike``), all others
are read with care (``ledger.careful``).

``work`` does it in a process of its own. So that such a process is small and starts at
once, this module knows neither SQLAlchemy nor the tables; names of columns are handed in.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import Any

from ledger.alike import Forms, fits_postings, fits_tap, is_plain, rider_of
from ledger.beside import Line, LogBroken
from ledger.careful import OWN_COLUMNS, TAP, Careful, Place
from ledger.entries import FIRST_PREV
from ledger.runs import RUN, Runs
from ledger.walked import Cursor, Setup, Walked, fetch

__all__ = ["Setup", "Walked", "walk", "work"]

_CHUNK = 4 * RUN

POSTING = Line._fields

_UNREADABLE = (TypeError, ValueError, LookupError, AttributeError)
"""What a value of another kind than any we write leads to, such as text for bytes."""


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
        self._cursor, self._walked, self._setup = cursor, walked, setup
        self._columns = OWN_COLUMNS + setup.others
        self._forms = Forms()
        self._careful = Careful(
            self._columns, walked.counts, walked.beyond,
            setup.vault, setup.rider_key, setup.staff_key,
        )  # fmt: skip
        self._runs = Runs(walked.start, self._kept_nodes())
        self._all_plain = False
        self._prev, self._recorded_at = self._before(walked.start)

    def _before(self, start: int) -> tuple[bytes, str]:
        if start == 0:
            return FIRST_PREV, ""
        found = fetch(self._cursor, ("leaf_hash", "recorded_at"), "entry", start - 1, start, "seq")
        if not found:
            raise LogBroken(start - 1, "it is missing")
        leaf, recorded_at = found[0]
        return leaf, recorded_at

    def _kept_nodes(self) -> dict[int, Any]:
        first, end = self._walked.start // RUN, self._walked.end // RUN
        rows = fetch(self._cursor, ("position", "hash", "level"), "node", first, end, "position")
        return Runs.of_level(rows)

    def go(self) -> None:
        """All entries of the stretch, in chunks."""
        walked = self._walked
        for first in range(walked.start, walked.end, _CHUNK):
            self._chunk(first, min(first + _CHUNK, walked.end))
        walked.peaks = self._runs.peaks()
        walked.counts["nodes"] = self._runs.full

    def _chunk(self, first: int, end: int) -> None:
        """Entries ``first`` up to ``end`` with all rows that name one of them."""
        entries = fetch(self._cursor, self._columns, "entry", first, end, "seq")
        postings = fetch(self._cursor, POSTING, "posting", first, end, "entry_seq, line")
        claims = fetch(self._cursor, TAP, "tap", first, end, "entry_seq")
        taps = {row[0]: row for row in claims}
        self._careful.learn_keys({row[8] for row in entries})
        self._all_plain = _are_plain(entries)
        lines, place, known = [*postings, _NO_MORE], 0, 0
        for start in range(first, end, RUN):
            run = entries[start - first : start - first + RUN]
            place, met = self._run(start, run, lines, place, taps)
            known += met
            self._runs.add([row[2] for row in run])
            if len(run) < min(RUN, end - start):
                raise LogBroken(start + len(run), "it is missing")
        if place != len(postings):
            raise LogBroken(postings[place][0], "it has more postings than its bytes say")
        if known != len(claims):
            raise LogBroken(first, "more taps claim it, or an entry after it, than are theirs")
        self._walked.counts["postings"] += place
        self._walked.counts["taps"] += known

    def _run(
        self,
        seq: int,
        entries: Sequence[Any],
        postings: list[Any],
        place: int,
        taps: dict[Any, Any],
    ) -> tuple[int, int]:
        """Compare entries from ``seq`` on, whose postings begin at ``place``.

        Returns where the postings of the next one begin, and how many had a tap.
        """
        first, known, at_checkpoint = seq, 0, self._setup.checkpoint_size
        for row in entries:
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
            known += tap is not None
            self._prev, self._recorded_at = row[2], row[4]
            seq += 1
            if seq == at_checkpoint:
                below = [good[2] for good in entries[: seq - first]]
                self._walked.at_checkpoint = self._runs.peaks_with(below)
        return place, known

    def _quickly(
        self, row: tuple[Any, ...], postings: list[Any], place: int, tap: Any
    ) -> int | None:
        """The number of postings of a ride like one before it; None if it is none."""
        seq, body, leaf, prev, recorded_at, entry_id, occurred_at, tap_hash, account = row[:9]
        others = row[9:]
        form = self._forms.find(others)
        if (
            form is None
            or tap is None
            or not self._all_plain
            or sha256(b"\x00" + body).digest() != leaf
            or prev != self._prev
            or recorded_at < self._recorded_at
        ):
            return None
        key = self._careful.riders.get(account)
        rider = rider_of(body) if key is None else key.commit(entry_id)
        own = (entry_id, occurred_at, prev.hex(), recorded_at, rider, seq, tap_hash)
        if (form.entry % own).encode() != body:
            form = self._forms.find_by_rule(others, body)
            if form is None or (form.entry % own).encode() != body:
                return None
        end = place + len(form.lines)
        if (
            not (key is not None or is_plain(rider))
            or not fits_tap(form, (entry_id, occurred_at, tap_hash, account), tap)
            or not fits_postings(form, seq, account, postings[place:end])
            or postings[end][0] == seq
        ):
            return None
        if key is None:
            self._walked.counts["erased" if account is None else "unproved"] += 1
        return end - place

    def _carefully(self, row: tuple[Any, ...], lines: list[Line], tap: Any) -> int:
        """Read the entry and compare; its number of postings, or ``LogBroken``."""
        value = self._careful.check(row, Place(self._prev, self._recorded_at), lines, tap)
        self._forms.learn(row[9:], row[1], value)
        return len(lines)


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
