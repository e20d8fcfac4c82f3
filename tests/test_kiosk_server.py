"""The kiosk's little server: who may ask it what, and the digits typed there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from gate.errors import GateConfigError
from gate.kiosk.app import create_app
from gate.kiosk.keypad import Keypad
from gate.kiosk.server import LocalServer
from gate.passage import Phase
from gate.settings import KioskSettings
from gate.words import Word
from tests.kiosk_station import TOKEN, Station


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station(KioskSettings())
    yield made
    made.server.stop()


@pytest.mark.parametrize("host", ["gate.evil.example", "127.0.0.1.evil.example:80", "10.0.0.7"])
def test_another_host_name_is_refused(station: Station, host: str) -> None:
    assert httpx.get(station.url, headers={"Host": host}).status_code == 403


def test_another_origin_is_refused(station: Station) -> None:
    station.screen.show(Phase.SECOND_FACTOR, Word.ENTER_DIGITS)
    answer = httpx.post(
        f"{station.url}/digits", json={"digits": "1234"}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert station.keypad.take() is None


def test_a_form_cannot_type_digits(station: Station) -> None:
    station.screen.show(Phase.SECOND_FACTOR, Word.ENTER_DIGITS)
    answer = httpx.post(f"{station.url}/digits", data={"digits": "1234"})
    assert answer.status_code == 415


def test_every_answer_forbids_what_the_page_does_not_need(station: Station) -> None:
    for path in ("/", "/state", "/health", "/static/kiosk.js", "/nowhere"):
        headers = httpx.get(f"{station.url}{path}").headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
    page = httpx.get(station.url).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=|javascript:", page)
    assert not re.search(r"https?://", page)


def test_staff_open_by_hand_only_with_the_gates_own_token(station: Station) -> None:
    def release(token: str, body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}".encode(), "Content-Type": b"application/json"}
        return httpx.post(f"{station.url}/release", content=json.dumps(body), headers=headers)

    assert release("wrong", {"by": "ada"}).status_code == 403
    assert release("é" * 43, {"by": "ada"}).status_code == 403
    assert release(TOKEN, {"by": "<b>"}).status_code == 400
    assert release(TOKEN, {}).status_code == 400
    assert release(TOKEN, ["by"]).status_code == 400
    assert station.released == []
    assert release(TOKEN, {"by": "ada"}).status_code == 200
    assert station.released == ["ada"]
    station.problem = "the relay is gone; check its wires"
    answer = release(TOKEN, {"by": "ada"})
    assert (answer.status_code, answer.json()["problem"]) == (503, station.problem)


def test_a_port_that_is_taken_is_said_in_words(station: Station) -> None:
    with pytest.raises(GateConfigError, match=r"kiosk\.port"):
        LocalServer(create_app(station.kiosk()), station.server.port, "kiosk")


def test_digits_are_taken_once_and_only_while_asked_for() -> None:
    keypad = Keypad()
    assert not keypad.press("1234")
    keypad.ask(True)
    assert keypad.press("1234")
    assert keypad.take() == "1234"
    assert keypad.take() is None
    keypad.press("5678")
    keypad.ask(False)
    assert keypad.take() is None


@pytest.mark.parametrize("digits", ["", "123", "12345", "12a4", "１２３４", "-123"])
def test_what_is_not_four_digits_is_not_taken(digits: str) -> None:
    keypad = Keypad()
    keypad.ask(True)
    assert not keypad.press(digits)


def test_a_question_allows_three_tries_however_often_it_is_repeated() -> None:
    keypad = Keypad()
    for _ in range(3):
        keypad.ask(True)
        assert keypad.press("0000")
    keypad.ask(True)
    assert not keypad.press("0000")
    assert not keypad.asked
    keypad.ask(False)
    keypad.ask(True)
    assert keypad.press("0000")


def test_old_digits_are_forgotten() -> None:
    now_s = [0.0]
    keypad = Keypad(clock=lambda: now_s[0])
    keypad.ask(True)
    keypad.press("1234")
    now_s[0] = 6.0
    assert keypad.take() is None
