"""Do once for many threads what costs as much as for one: a group commit.

    thread A   [ working for A ]                [ working for B, C, D ]
    thread B       waits ...................... its answer is there
    thread C         waits .................... its answer is there
    thread D           waits → its turn ……………… answers B, C and itself

Whoever comes while the work is going on waits; the first of them to get a turn takes along
everybody who waits by then. Nobody waits for company, so alone it costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(Generic[Item, Answer]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.answer: tuple[Answer] | BaseException | None = None


class Together(Generic[Item, Answer]):
    """Calls ``work`` with the items of all threads that wait, at most ``at_most`` at once.

    ``work`` answers each item, in order. What it raises is raised for all of them.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]], at_most: int) -> None:
        self._work, self._at_most = work, at_most
        self._queue: deque[_Waiting[Item, Answer]] = deque()
        self._turn = Lock()

    def __call__(self, item: Item) -> Answer:
        """Have ``item`` worked on, perhaps together with others; return its answer."""
        mine: _Waiting[Item, Answer] = _Waiting(item)
        self._queue.append(mine)  # whoever has the turn may take it from here
        while mine.answer is None:
            with self._turn:
                if mine.answer is None:
                    self._take_turn()
        if isinstance(mine.answer, BaseException):
            raise mine.answer
        return mine.answer[0]

    def _take_turn(self) -> None:
        group = [self._queue.popleft() for _ in range(min(len(self._queue), self._at_most))]
        try:
            answers = self._work([waiting.item for waiting in group])
            for waiting, answer in zip(group, answers, strict=True):
                waiting.answer = (answer,)
        except BaseException as error:
            for waiting in group:
                waiting.answer = waiting.answer or error
            if not isinstance(error, Exception):
                raise  # this thread is to stop; the others are told why nothing was done
