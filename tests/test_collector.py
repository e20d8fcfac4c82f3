"""Python's collector of cycles in a worker: nothing waits for it, and nothing piles up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from flask import Flask, Request, request
from werkzeug.test import EnvironBuilder

from facefare import upkeep
from facefare.capacity import TAPS


class _Holder:
    def __init__(self, held: object) -> None:
        self.held = held


@pytest.fixture
def spared() -> Iterator[Flask]:
    """An app beside which Python looks for cycles as in a worker, until the end of the test."""
    app, before = Flask("spared"), gc.get_threshold()
    upkeep.spare_collector(app)
    try:
        yield app
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.collect()


def test_a_request_and_its_body_are_freed_with_its_answer(spared: Flask) -> None:
    seen: list[weakref.ref[Request]] = []

    def taps() -> str:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        return "charged"

    spared.add_url_rule("/taps", TAPS, taps, methods=["POST"])
    environ = EnvironBuilder(path="/taps", method="POST", data=b"x" * 100_000).get_environ()
    gc.disable()
    try:
        b"".join(spared(environ, lambda _status, _headers: None))  # type: ignore[arg-type]
        assert [one() for one in seen] == [None]
    finally:
        gc.enable()


def test_what_is_remembered_of_a_backlog_is_no_longer_looked_at(spared: Flask) -> None:
    remembered: list[list[object]] = []
    looked: list[int] = []

    def taps() -> str:
        remembered.extend([] for _ in range(5_000))
        return "charged"

    spared.add_url_rule("/taps", TAPS, taps, methods=["POST"])
    spared.add_url_rule("/page", "page", lambda: "a page")

    def look(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            looked.append(len(gc.get_objects(generation=0)))

    gc.callbacks.append(look)
    try:
        frozen = gc.get_freeze_count()
        assert spared.test_client().post("/taps", data=b"x" * 100_000).text == "charged"
        assert gc.get_freeze_count() >= frozen + 5_000
        assert spared.test_client().get("/page").text == "a page"
    finally:
        gc.callbacks.remove(look)
    assert looked and max(looked) < 5_000
    cycle: list[object] = []
    cycle.append(cycle)
    gone = weakref.ref(holder := _Holder(cycle))
    cycle.append(holder)
    del cycle, holder
    assert spared.test_client().get("/page").text == "a page"
    assert gone() is None  # cycles made between two requests are found after the second


def test_a_cycle_of_a_request_that_was_under_way_when_another_ended_is_found(
    spared: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SET_ASIDE_S", 60)
    seen: list[weakref.ref[_Holder]] = []

    def slow() -> str:
        cycle: list[object] = []
        seen.append(weakref.ref(holder := _Holder(cycle)))
        cycle.append(holder)
        return spared.test_client().get("/page").text

    spared.add_url_rule("/page", "page", lambda: "a page")
    spared.add_url_rule("/slow", "slow", slow)
    assert spared.test_client().get("/slow").text == "a page"
    assert seen[0]() is not None
    monkeypatch.setattr(upkeep, "SET_ASIDE_S", 0)
    assert spared.test_client().get("/page").text == "a page"
    assert seen[0]() is None
