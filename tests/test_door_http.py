"""A door behind a controller over HTTP: told once, signed, and refused in words."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gate.doors.choices import make_door
from gate.doors.driven import DrivenDoor
from gate.doors.http import HttpDriver
from gate.errors import DoorError, GateConfigError
from gate.settings import DoorSettings
from tests.door_told import ACCOUNT, Told, wait_for

SECRET = "a secret of a door"


class DoorController(BaseHTTPRequestHandler):
    """A controller that notes what it is told."""

    heard: list[tuple[dict[str, str], bytes]]
    status: int
    slow_s: float

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).heard.append((dict(self.headers), body))
        time.sleep(type(self).slow_s)
        self.send_response(type(self).status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def controller() -> Iterator[str]:
    DoorController.heard, DoorController.status, DoorController.slow_s = [], 204, 0.0
    server = ThreadingHTTPServer(("127.0.0.1", 0), DoorController)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/door"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def told() -> Told:
    return Told()


def http_door(tmp_path: Path, url: str, auth: str, told: Told) -> DrivenDoor:
    secret = tmp_path / "door.secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET + "\n", encoding="utf-8")
    settings = DoorSettings.model_validate({"driver": "http", "url": url, "auth": auth})
    door = make_door(settings, secret, io.StringIO(), told)
    assert isinstance(door, DrivenDoor)
    door.start()
    return door


def test_a_controller_is_told_over_http_with_a_bearer_token(
    tmp_path: Path, controller: str, told: Told
) -> None:
    door = http_door(tmp_path, controller, "bearer", told)
    try:
        wait_for(lambda: not door.fault)
        door.open(ACCOUNT)
        wait_for(lambda: len(DoorController.heard) == 2)
    finally:
        door.stop()
    commands = [json.loads(body) for _, body in DoorController.heard]
    assert [command["command"] for command in commands] == ["check", "open"]
    assert commands[1]["seconds"] == 3.0
    assert commands[0]["id"] != commands[1]["id"]
    for headers, body in DoorController.heard:
        assert headers["Authorization"] == f"Bearer {SECRET}"
        assert ACCOUNT.encode() not in body


def test_a_shared_secret_signs_and_never_travels(
    tmp_path: Path, controller: str, told: Told
) -> None:
    door = http_door(tmp_path, controller, "hmac", told)
    try:
        wait_for(lambda: not door.fault)
    finally:
        door.stop()
    ((headers, body),) = DoorController.heard
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["Facefare-Signature"] == expected
    assert "Authorization" not in headers
    assert SECRET not in str(headers)


@pytest.mark.parametrize("status", [302, 403, 500])
def test_a_controller_that_refuses_is_a_fault_in_words(
    tmp_path: Path, controller: str, told: Told, status: int
) -> None:
    DoorController.status = status
    door = http_door(tmp_path, controller, "bearer", told)
    try:
        wait_for(lambda: f"status {status}" in door.fault)
        DoorController.status = 200
        wait_for(lambda: not door.fault)
    finally:
        door.stop()


def test_a_controller_that_is_not_there_is_a_fault_in_words(tmp_path: Path, told: Told) -> None:
    door = http_door(tmp_path, "http://127.0.0.1:1/door", "bearer", told)
    try:
        wait_for(lambda: "does not answer" in door.fault)
        assert SECRET not in door.fault
    finally:
        door.stop()


def test_a_command_without_an_answer_ends_after_two_seconds(controller: str) -> None:
    driver = HttpDriver(DoorSettings(driver="http", url=controller), SECRET)
    driver.start(lambda is_open, as_found: None, lambda: None)
    DoorController.slow_s = 4.0
    began = time.monotonic()
    with pytest.raises(DoorError, match="does not answer"):
        driver.unlock(3.0)
    assert time.monotonic() - began < 3.9
    driver.close()


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [(0o644, SECRET, "chmod 600"), (0o600, "short", "at least 16"), (None, "", "write it there")],
)
def test_a_secret_that_is_not_one_is_refused(
    tmp_path: Path, mode: int | None, text: str, said: str
) -> None:
    secret = tmp_path / "door.secret"
    if mode is not None:
        secret.write_text(text, encoding="utf-8")
        secret.chmod(mode)
    settings = DoorSettings(driver="http", url="https://door.example/x")
    with pytest.raises(GateConfigError, match=said):
        make_door(settings, secret, io.StringIO(), Told())
