"""What the program calls stands in its settings: web addresses only, asked once, read in bounds."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from gate.cli import safe_server
from gate.client import Client, provision
from gate.doors.http import HttpDriver
from gate.errors import DoorError, GateConfigError, ServerRefused, ServerUnreachable
from gate.settings import DoorSettings
from ledger.processors.cashier import open_processor
from ledger.processors.protocol import ProcessorUnusable
from ledger.stamper import ask_over_http
from ledger.timestamps import TimestampTrouble
from ledger.witness import create_witness, open_witness
from ledger.witnessing import WitnessTrouble, post_text
from models.bounded import AnswerRefused, Bound, ask
from models.settings import TEMPLATE, DataDirectory, SettingsError, parse_settings

SMALL = Bound(bytes_max=10_000, seconds_max=0.3)
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n"


class Server:
    """A server on loopback that answers every request with what ``pieces`` gives."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pieces, self.asked = pieces, 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            with closing(connection):
                connection.recv(65_536)
                try:
                    for piece in self._pieces():
                        connection.sendall(piece)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(65_536)
                except OSError:
                    pass  # whoever asked went away

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


Serving = Callable[[Callable[[], Iterator[bytes]]], Server]


@pytest.fixture
def serving() -> Iterator[Serving]:
    made: list[Server] = []

    def serve(pieces: Callable[[], Iterator[bytes]]) -> Server:
        made.append(Server(pieces))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def endless() -> Iterator[bytes]:
    yield HEAD + b"\r\n"
    while True:
        yield b"x" * 4_096


def drop_by_drop() -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 5000\r\n\r\n"
    while True:
        yield b"x"
        time.sleep(0.02)


def packed() -> Iterator[bytes]:
    yield HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 10_000_000)


def small(url: str) -> httpx.Response:
    with httpx.Client() as client:
        return ask(client, "POST", url, content=b"", headers={}, bound=SMALL, timeout_s=1.0)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (endless, "longer than 10000 bytes"),
        (drop_by_drop, "takes longer than 0.3 seconds"),
        (packed, "packed"),
    ],
)
def test_an_answer_is_read_within_its_bound(
    serving: Serving, pieces: Callable[[], Iterator[bytes]], said: str
) -> None:
    began = time.monotonic()
    with pytest.raises(AnswerRefused, match=said):
        small(serving(pieces).url)
    assert time.monotonic() - began < 5.0


def test_an_answer_within_its_bound_is_read_whole(serving: Serving) -> None:
    server = serving(lambda: iter([HEAD + b"\r\n", b"one ", b"two"]))
    answer = small(server.url)
    assert (answer.status_code, answer.text) == (200, "one two")


# Everything that calls another server.


def witness(url: str) -> None:
    with httpx.Client() as client:
        answer = post_text(client)(f"{url}/add-checkpoint", "a checkpoint")
        if answer.status != 200:
            raise WitnessTrouble(f"it answered {answer.status}")


def authority(url: str) -> None:
    with httpx.Client() as client:
        ask_over_http(client)(f"{url}/tsr", b"a query")


def a_gate(url: str) -> None:
    client = Client(url, "south-1", Ed25519PrivateKey.generate(), clock=lambda: datetime.now(UTC))
    try:
        client.send_taps(["a tap"])
    finally:
        client.close()


def a_new_gate(url: str) -> None:
    provision(url, "code", "key", "key")


def a_door(url: str) -> None:
    driver = HttpDriver(DoorSettings(driver="http", url=url), "a secret of the door")
    try:
        driver.start(lambda *_: None, lambda: None)
    finally:
        driver.close()


CALLERS = [
    (witness, WitnessTrouble), (authority, TimestampTrouble), (a_door, DoorError),
    (a_gate, ServerRefused), (a_new_gate, ServerRefused),
]  # fmt: skip


@pytest.mark.parametrize(("call", "refused"), CALLERS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_led_to_another_server(
    serving: Serving, call: Callable[[str], None], refused: type[Exception], status: int
) -> None:
    other = serving(lambda: iter([HEAD + b"\r\n", json.dumps({"answers": ["x"]}).encode()]))
    there = f"HTTP/1.1 {status} There\r\nLocation: {other.url}/x\r\nContent-Length: 0\r\n\r\n"
    asked = serving(lambda: iter([there.encode()]))
    with pytest.raises(refused):
        call(asked.url)
    assert (asked.asked, other.asked) == (1, 0)


@pytest.mark.parametrize(("call", "refused"), CALLERS[:3])
def test_nobody_listens_to_an_answer_without_end(
    serving: Serving, call: Callable[[str], None], refused: type[Exception]
) -> None:
    with pytest.raises(refused, match="longer than"):
        call(serving(endless).url)


@pytest.mark.parametrize("call", [a_gate, a_new_gate])
def test_a_gate_unpacks_nothing(serving: Serving, call: Callable[[str], None]) -> None:
    with pytest.raises(ServerUnreachable, match="packed"):
        call(serving(packed).url)


# Settings.

NOT_WEB = ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:70/_x", "//host/x",
           "javascript:1", "http:///x", "https://", "http://a\nb/", "https://me:secret77@host/",
           "data:text/plain,x", "")  # fmt: skip


def text_with(tmp_path: Path, setting: str, url: str) -> str:
    create_witness(tmp_path, "witness.example/w1")
    key = open_witness(tmp_path, time.time).cosigner.text()
    text, quoted = TEMPLATE.format(operator="Test", origin="fares.test/x"), json.dumps(url)
    tables = {
        "witnesses": f'[[witnesses]]\nurl = {quoted}\nkey = "{key}"\n',
        "timestamp": f'[timestamp]\nurl = {quoted}\ncertificate = "x.pem"\n',
    }
    if setting in tables:
        return text + tables[setting]
    return f"{setting} = {quoted}\n{text}"


@pytest.mark.parametrize(
    ("setting", "good", "said"),
    [
        ("witnesses", "https://witness.example/w", "begins with https://|does not belong"),
        ("timestamp", "http://tsa.example:8080/tsr", "begins with https://|does not belong"),
        ("public_url", "https://transit.example", "such as https://transit.example"),
        ("fares_url", "postgresql://me:secret@host/fares", "begins with postgresql://"),
    ],
)
def test_a_server_calls_web_addresses_only(
    tmp_path: Path, setting: str, good: str, said: str
) -> None:
    text = text_with(tmp_path, setting, "GOOD")
    parse_settings(text.replace('"GOOD"', json.dumps(good)), tmp_path)
    for url in NOT_WEB:
        with pytest.raises(SettingsError, match=said) as caught:
            parse_settings(text.replace('"GOOD"', json.dumps(url)), tmp_path)
        assert "secret77" not in str(caught.value)


@pytest.mark.parametrize("url", [*NOT_WEB, "http://127.0.0.1.evil.example:80", "https://evil.test"])
def test_a_processor_is_asked_at_its_own_address_only(tmp_path: Path, url: str) -> None:
    data = DataDirectory(tmp_path)
    data.keys.mkdir()
    keys = f'secret_key = "sk_test"\nwebhook_secret = "whsec_x1"\naddress = {json.dumps(url)}\n'
    (data.keys / "stripe.toml").write_text(keys, encoding="utf-8")
    with pytest.raises(ProcessorUnusable, match="address"):
        open_processor(data)


@pytest.mark.parametrize("url", NOT_WEB)
def test_a_gate_calls_web_addresses_only(url: str) -> None:
    with pytest.raises(GateConfigError):
        safe_server(url)
    given: list[dict[str, Any]] = [
        {"driver": "http", "url": url},
        {"driver": "mqtt", "broker": url, "topic": "door"},
    ]
    for settings in given:
        with pytest.raises(ValidationError):
            DoorSettings(**settings)
