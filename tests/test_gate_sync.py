"""What a gate does with each answer of the server: every word of the ledger, every trouble."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate import sync
from gate.client import Client, provision
from gate.errors import ServerRefused, ServerUnreachable
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.outbox import Counts, Outbox
from models.faces.engine import Box
from models.wire.keys import base64url, raw_public
from tests.test_outbox import make_tap

Answer = tuple[int, bytes, dict[str, str]]


class Scripted(BaseHTTPRequestHandler):
    """A server that answers as the test says."""

    answer: Callable[[str, bytes], Answer]

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, payload, headers = type(self).answer(self.path, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = _reply  # noqa: N815 - the names the standard library calls

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    running.daemon_threads = True
    thread = Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def identity(tmp_path: Path, server: str) -> GateIdentity:
    signing_key, _ = make_keys(tmp_path / "gate")
    save_identity(
        tmp_path / "gate",
        GateFile(
            gate="south-1",
            station="south",
            direction="in",
            server=server,
            enrollment_key=base64url(raw_public(signing_key.public_key())),
        ),
    )
    return load_identity(tmp_path / "gate")


@pytest.fixture
def client(identity: GateIdentity) -> Iterator[Client]:
    made = Client(identity.file.server, identity.file.gate, identity.signing_key)
    yield made
    made.close()


def says(status: int, payload: object, **headers: str) -> None:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    Scripted.answer = staticmethod(lambda path, sent: (status, body, headers))  # type: ignore[method-assign]


def test_every_word_of_the_ledger_is_kept_for_what_it_means(
    identity: GateIdentity, client: Client
) -> None:
    outbox = Outbox(identity.outbox_path)
    words = ["accepted", "replayed", "quarantined", "refused"]
    taps = [outbox.append(make_tap, identity.signing_key) for _ in words]
    says(
        200,
        {"answers": [{"tap_id": t.tap_id, "status": w} for t, w in zip(taps, words, strict=True)]},
    )
    assert sync.deliver(outbox, client) == 4
    assert outbox.counts() == Counts(pending=0, accepted=2, refused=1, quarantined=1)


@pytest.mark.parametrize(
    "answers",
    [
        [{"status": "fine"}],
        [{"status": "accepted", "tap_id": "of-somebody-else"}],
        [],
        [{"status": "accepted"}, {"status": "accepted"}],
        None,
    ],
)
def test_an_answer_that_cannot_be_read_settles_nothing(
    identity: GateIdentity, client: Client, answers: object
) -> None:
    outbox = Outbox(identity.outbox_path)
    outbox.append(make_tap, identity.signing_key)
    says(200, {"answers": answers})
    with pytest.raises(ServerUnreachable):
        sync.deliver(outbox, client)
    assert outbox.counts().pending == 1


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (301, ServerRefused, "redirect to https://elsewhere"),
        (401, ServerRefused, "this gate's key was revoked"),
        (503, ServerUnreachable, "cannot answer now"),
        (429, ServerUnreachable, "cannot answer now"),
    ],
)
def test_trouble_is_told_apart(
    identity: GateIdentity, client: Client, status: int, kind: type[Exception], said: str
) -> None:
    outbox = Outbox(identity.outbox_path)
    outbox.append(make_tap, identity.signing_key)
    says(status, {"detail": "this gate's key was revoked"}, Location="https://elsewhere")
    with pytest.raises(kind, match=said):
        sync.deliver(outbox, client)
    assert outbox.counts().pending == 1


@pytest.mark.parametrize("page", [b"<html>sign in</html>", b"[]", b'{"blocked": "no"}'])
def test_a_page_in_the_servers_place_is_no_answer(
    identity: GateIdentity, client: Client, page: bytes
) -> None:
    outbox = Outbox(identity.outbox_path)
    outbox.append(make_tap, identity.signing_key)
    says(200, page)
    with pytest.raises(ServerUnreachable):
        sync.deliver(outbox, client)
    with pytest.raises(ServerUnreachable):
        sync.fetch_blocked(identity, client)
    assert outbox.counts().pending == 1
    assert sync.kept_blocked(identity) is None


def test_what_is_no_facefare_server_is_named_when_provisioning(server: str) -> None:
    says(200, b"<html>welcome</html>")
    with pytest.raises(ServerUnreachable, match="is not a Facefare server"):
        provision(server, "code", "key", "box")


def test_damaged_files_are_left_aside_and_not_trusted(identity: GateIdentity) -> None:
    assert sync.kept_blocked(identity) is None
    identity.standings_path.write_bytes(b"")
    assert sync.kept_blocked(identity) is None
    identity.gallery_path.write_bytes(b"facefare-gallery-1 south-1 3\nnot a gallery")
    assert sync.kept_gallery(identity) is None


def test_an_empty_deny_list_is_a_deny_list(identity: GateIdentity, client: Client) -> None:
    says(200, {"version": 1, "blocked": []})
    assert sync.fetch_blocked(identity, client) == {}
    assert sync.kept_blocked(identity) == {}


def test_only_a_near_face_inside_the_zone_is_seen(identity: GateIdentity) -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    zone = identity.file.model_copy(update={"zone": (0.25, 0.0, 0.75, 1.0)})
    assert zone.sees(Box(270, 100, 380, 210), frame)
    assert not zone.sees(Box(0, 100, 110, 210), frame), "beside the zone"
    assert not zone.sees(Box(270, 100, 370, 200), frame), "100 of 640 px: walking past"


def test_a_delivery_thread_outlives_what_nobody_expected() -> None:
    calls = []

    def work() -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("something new")
        return False

    repeating = sync.Repeating("test", work, pause_s=0.01)
    repeating.start()
    for _ in range(200):
        if len(calls) > 2:
            break
        repeating.wake()
        time.sleep(0.02)
    repeating.stop(5.0)
    assert len(calls) > 2


def test_a_key_made_twice_is_the_same_key(tmp_path: Path) -> None:
    first = make_keys(tmp_path / "g")[0]
    again = make_keys(tmp_path / "g")[0]
    assert isinstance(first, Ed25519PrivateKey)
    assert first.private_bytes_raw() == again.private_bytes_raw()
