"""A group commit: every thread gets its own answer, and those who wait are served at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from models.database import DatabaseBusy
from models.together import Together


def test_alone_an_item_is_worked_on_at_once() -> None:
    def work(items: Sequence[int]) -> list[int]:
        return [item * 2 for item in items]

    assert Together(work, 8)(21) == 42


def test_those_who_wait_are_served_together() -> None:
    groups: list[int] = []
    begun, go_on = Event(), Event()

    def work(items: Sequence[int]) -> list[int]:
        groups.append(len(items))
        begun.set()
        assert go_on.wait(30)
        return [item * 2 for item in items]

    double = Together(work, 64)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(double, 0)
        assert begun.wait(30)
        others = [pool.submit(double, number) for number in range(1, 9)]
        while len(double._queue) < 8:
            pass
        go_on.set()
        assert [done.result(30) for done in (first, *others)] == [2 * n for n in range(9)]
    assert groups == [1, 8]


def test_no_group_is_larger_than_was_said() -> None:
    groups: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        groups.append(len(items))
        return list(items)

    same = Together(work, 3)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(same, range(400))) == list(range(400))
    assert max(groups) <= 3
    assert sum(groups) == 400


def together(
    work: Together[int, int], items: Sequence[int], begun: Event, go_on: Event
) -> list[Future[int]]:
    """Have ``items`` asked for while the work for another one, 0, is going on."""
    pool = ThreadPoolExecutor(len(items) + 1)
    first = pool.submit(work, 0)
    assert begun.wait(30)
    asked = [pool.submit(work, item) for item in items]
    while len(work._queue) < len(items):
        pass
    go_on.set()
    pool.shutdown()
    assert first.result() == 0
    return asked


@pytest.mark.parametrize(
    ("error", "suffer"), [(ValueError("not seven"), {7}), (DatabaseBusy("busy"), {6, 7, 8})]
)
def test_an_error_is_that_of_its_item_alone_unless_the_database_is_away(
    error: Exception, suffer: set[int]
) -> None:
    begun, go_on = Event(), Event()

    def work(items: Sequence[int]) -> list[int]:
        begun.set()
        assert go_on.wait(30)
        if 7 in items:
            raise error
        return list(items)

    asked = together(Together(work, 8), [6, 7, 8], begun, go_on)
    failed = {item for item, done in zip((6, 7, 8), asked, strict=True) if done.exception()}
    assert failed == suffer


def test_a_large_item_goes_by_itself() -> None:
    groups: list[list[int]] = []
    begun, go_on = Event(), Event()

    def work(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        begun.set()
        assert go_on.wait(30)
        return list(items)

    asked = together(Together(work, 8, size=lambda item: item), [512, 3, 5, 1], begun, go_on)
    assert sorted(done.result() for done in asked) == [1, 3, 5, 512]
    assert [512] in groups
    assert max(sum(group) for group in groups if group != [512]) <= 8


def test_after_an_error_the_next_ones_are_served() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 7 in items:
            raise ValueError("not seven")
        return list(items)

    same = Together(work, 4)
    with pytest.raises(ValueError, match="not seven"):
        same(7)
    assert same(8) == 8


def test_an_answer_too_few_is_an_error_and_hangs_nobody() -> None:
    def work(items: Sequence[int]) -> list[int]:
        return []

    with pytest.raises(ValueError, match="zip"):
        Together(work, 4)(1)
