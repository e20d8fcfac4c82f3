"""A rider's taps and everything made of them, as a value: adding a tap gives a new history.

    history = History.of(book, concessions).add(tap).add(tap)

Taps may be added in any order, and any number of times: a history is a function of the set
of its taps. Adding the latest tap costs the same however long the history is; an earlier one
makes it anew. Five weeks of taps are enough: the week that caps look at, and the four before
from which usual trips are known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ledger.fares.book import FareBook
from ledger.fares.chain import Link, extend
from ledger.fares.legs import see, step
from ledger.fares.problems import FareError
from ledger.fares.rides import LooseEnd, Rides
from ledger.fares.taps import Concession, FareTap


class TapConflict(FareError):
    """Two different taps with one id."""


def _order(tap: FareTap) -> tuple[object, str]:
    return tap.at, tap.tap_id


class History(NamedTuple):
    """The taps in the order of their times, the rides, and the chain of legs.

    ``on_time`` is the history without the late taps, where there are any. ``ends`` are all
    loose ends, those included that a tap out may still close: they are asked for many times.
    ``ids`` are the ids of the taps.
    """

    book: FareBook
    concessions: tuple[Concession, ...]
    known: dict[int, object]  # bills already made, by week
    taps: tuple[FareTap, ...] = ()
    rides: Rides = Rides()
    links: tuple[Link, ...] = ()
    on_time: History | None = None
    ends: tuple[LooseEnd, ...] = ()
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, book: FareBook, concessions: tuple[Concession, ...] = ()) -> History:
        """The history of a rider without taps."""
        return cls(book, concessions, {})

    @property
    def last(self) -> Link | None:
        """The last leg's link."""
        return self.links[-1] if self.links else None

    def has(self, tap: FareTap) -> bool:
        """Is this tap in the history? Raise ``TapConflict`` for another with the same id."""
        tap_id = tap.tap_id
        if tap_id not in self.ids:
            return False
        for other in self.taps:
            if other.tap_id == tap_id:
                if replace(other, late=tap.late) != tap:
                    raise TapConflict(f"tap {tap.tap_id} is known with another place or time")
                return True
        return False

    def add(self, tap: FareTap) -> History:
        """The history with one more ``tap``; the same history where it is already in.

        Raises ``NoFares``, ``UnknownPlace`` or ``TapConflict``.
        """
        if self.has(tap):
            return self
        on_time = self.on_time
        if tap.late:
            on_time = on_time or self
        elif on_time is not None:
            on_time = on_time.add(tap)
        added = self._added(tap)
        return added if on_time is None else added._replace(on_time=on_time, known={})

    def add_all(self, taps: Iterable[FareTap]) -> History:
        """The history with these ``taps``, as if one after the other was added."""
        ordered = sorted(taps, key=_order)
        if ordered and self._all_new_and_later(ordered):
            return self._after(ordered)
        history = self
        for tap in ordered:
            history = history.add(tap)
        return history

    def _all_new_and_later(self, ordered: Sequence[FareTap]) -> bool:
        """Are these one plain continuation: none known, none late, none before the last?"""
        ids = {tap.tap_id for tap in ordered}
        if len(ids) < len(ordered) or not ids.isdisjoint(self.ids):
            return False
        if self.on_time is not None or any(tap.late for tap in ordered):
            return False
        return not self.taps or _order(ordered[0]) > _order(self.taps[-1])

    def _added(self, tap: FareTap) -> History:
        if not self.taps or _order(tap) > _order(self.taps[-1]):
            return self._after((tap,))
        index = bisect_left(self.taps, _order(tap), key=_order)
        taps = (*self.taps[:index], tap, *self.taps[index:])
        return History.of(self.book, self.concessions)._after(taps)

    def _after(self, later: Sequence[FareTap]) -> History:
        """The history with taps that come after all of its own, in their order."""
        rides, links = self.rides, list(self.links)
        for tap in later:
            following = step(rides, see(tap, self.book, self.concessions))
            if following.legs is not rides.legs:
                same = common(rides.legs, following.legs)
                del links[same:]
                for leg in following.legs[same:]:
                    links.append(extend(links[-1] if links else None, leg))
            rides = following
        taps, ends = (*self.taps, *later), rides.loose + rides.open_ends()
        ids = (*self.ids, *[tap.tap_id for tap in later])
        return History(self.book, self.concessions, {}, taps, rides, tuple(links), None, ends, ids)


def common(first: tuple[object, ...], second: tuple[object, ...]) -> int:
    """How many items two tuples begin with in common."""
    if len(second) > len(first) and (not first or second[len(first) - 1] is first[-1]):
        return len(first)  # legs are only ever inserted in order, so the rest is the same
    count = 0
    for one, other in zip(first, second, strict=False):
        if one is not other:
            break
        count += 1
    return count
