"""A group commit: every thread gets its own answer, and those who wait are served at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

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


def test_an_error_is_everybodys_and_the_next_ones_are_served() -> None:
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
