"""Do once for many threads what costs as much as for one: a group commit.

    thread A   [ working for A ]                [ working for B, C, D ]
    thread B       waits ...................... its answer is there
    thread C         waits .................... its answer is there
    thread D           waits → its turn ……………… answers B, C and itself

Whoever comes while the work is going on waits; the first of them to get a turn takes along
everybody who waits by then. Nobody waits for company, so alone it costs nothing. And nobody
suffers from company: where the work for several fails, it is done for each alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy.exc import OperationalError

from models.database import DatabaseBusy

_FOR_ALL = (DatabaseBusy, OperationalError, KeyboardInterrupt, SystemExit)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(Generic[Item, Answer]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.answer: tuple[Answer] | BaseException | None = None


def _one(_item: object) -> int:
    return 1


class Together(Generic[Item, Answer]):
    """Calls ``work`` with the items of all threads that wait, at most ``at_most`` at once.

    ``work`` answers each item, in order, or does nothing and raises. ``size`` says how much of
    ``at_most`` an item takes; a larger one goes by itself. A database that is busy or away is
    so for all of a group; any other error is raised for the item alone that it comes from.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Answer]],
        at_most: int,
        size: Callable[[Item], int] = _one,
    ) -> None:
        self._work, self._at_most, self._size = work, at_most, size
        self._queue: deque[_Waiting[Item, Answer]] = deque()
        self._turn = Lock()

    def __call__(self, item: Item) -> Answer:
        """Have ``item`` worked on, perhaps together with others; return its answer."""
        mine: _Waiting[Item, Answer] = _Waiting(item)
        self._queue.append(mine)  # whoever has the turn may take it from here
        while mine.answer is None:
            with self._turn:
                if mine.answer is None:
                    self._answer(self._next())
        if isinstance(mine.answer, BaseException):
            raise mine.answer
        return mine.answer[0]

    def _next(self) -> list[_Waiting[Item, Answer]]:
        """Take the first of the queue, and those after it that have room beside it."""
        group = [self._queue.popleft()]
        room = self._at_most - self._size(group[0].item)
        while self._queue and (size := self._size(self._queue[0].item)) <= room:
            room -= size
            group.append(self._queue.popleft())
        return group

    def _answer(self, group: Sequence[_Waiting[Item, Answer]]) -> None:
        try:
            answers = self._work([waiting.item for waiting in group])
            for waiting, answer in zip(group, answers, strict=True):
                waiting.answer = (answer,)
        except BaseException as error:
            if len(group) > 1 and not isinstance(error, _FOR_ALL):
                for waiting in group:
                    self._answer([waiting])
                return
            for waiting in group:
                waiting.answer = waiting.answer or error
            if not isinstance(error, Exception):
                raise  # this thread is to stop; the others are told why nothing was done
