"""Python's collector of cycles in a worker: nothing waits for it, and nothing piles up."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask, request
from flask import Request as FlaskRequest
from werkzeug.test import EnvironBuilder

from bench.load_city import City
from facefare import upkeep
from facefare.capacity import TAPS
from facefare.server import create_app
from models.wire.tokens import Request, issue_gate_token


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
    seen: list[weakref.ref[FlaskRequest]] = []

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


def test_what_is_remembered_of_a_backlog_is_no_longer_looked_at(
    spared: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SET_ASIDE_S", 0)
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


@pytest.mark.parametrize("meanwhile", ["page", "taps"])
def test_a_cycle_of_a_page_is_found_whatever_ended_while_it_was_made(
    spared: Flask, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    monkeypatch.setattr(upkeep, "SET_ASIDE_S", 0)
    monkeypatch.setattr(upkeep, "LOOK_TWICE_S", 60)
    seen: list[weakref.ref[_Holder]] = []

    def slow() -> str:
        cycle: list[object] = []
        seen.append(weakref.ref(holder := _Holder(cycle)))
        cycle.append(holder)
        return spared.test_client().get(f"/{meanwhile}").text

    spared.add_url_rule("/taps", TAPS, lambda: "charged")
    spared.add_url_rule("/page", "page", lambda: "a page")
    spared.add_url_rule("/slow", "slow", slow)
    assert spared.test_client().get("/slow").text
    assert seen[0]() is not None
    monkeypatch.setattr(upkeep, "LOOK_TWICE_S", 0)
    if meanwhile == "taps":  # it was set aside with what is remembered of riders
        monkeypatch.setattr(upkeep, "FULL_LOOK_S", 0)
    assert spared.test_client().get("/page").text
    assert seen[0]() is None


def test_cycles_of_taps_that_were_refused_are_found(
    spared: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not set aside with what is remembered: a server in trouble would fill its memory."""
    monkeypatch.setattr(upkeep, "SET_ASIDE_S", 0)
    seen: list[weakref.ref[_Holder]] = []

    def taps() -> tuple[str, int]:
        cycle: list[object] = []
        seen.append(weakref.ref(holder := _Holder(cycle)))
        cycle.append(holder)
        return "busy", 503

    spared.add_url_rule("/taps", TAPS, taps)
    assert spared.test_client().get("/taps").status_code == 503
    assert seen[0]() is None


def test_a_tap_that_is_charged_leaves_no_cycle(tmp_path: Path) -> None:
    """Nobody looks for any after it."""
    with closing(City(tmp_path / "data", 1, accounts=2)) as city:
        app = create_app(city.data)
        (gate,) = city.gates("south", 1)

        def charge() -> None:
            body = json.dumps({"taps": gate.taps(1)}).encode()
            bound = Request("POST", "/api/v1/taps", body)
            token = issue_gate_token(gate.key, gate.name, "ledger", bound, datetime.now(UTC))
            headers = {"Authorization": f"Bearer {token}"}
            made = EnvironBuilder(path="/api/v1/taps", method="POST", data=body, headers=headers)
            environ = made.get_environ()
            answer = app(environ, lambda _status, _headers: None)  # type: ignore[arg-type]
            assert b'"accepted"' in b"".join(answer)
            environ.pop("werkzeug.request")  # as the server does when the request is over

        charge()
        gc.collect()
        gc.disable()
        try:
            charge()
            assert gc.collect() == 0
        finally:
            gc.enable()
