"""What goes wrong at a gate that is left alone: each fault is named, and goes by itself."""

from __future__ import annotations

import io
import json
import logging
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate import run, sync
from gate.camera import Camera
from gate.client import Client
from gate.clock import GateClock
from gate.errors import NotReady, OutboxError, ServerRefused
from gate.eyes import Eyes, load_eyes, patiently
from gate.faults import Fault
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.liveness.check import NoCheck
from gate.outbox import Outbox
from models.faces.dlib_engine import DlibEngine
from models.wire.gallery import GalleryRider, GallerySnapshot, seal_gallery
from models.wire.keys import base64url, raw_public
from models.wire.times import format_utc
from tests.test_gate_sync import Scripted, says
from tests.test_outbox import make_tap

ENROLLMENT = Ed25519PrivateKey.generate()


@pytest.fixture
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def identity(tmp_path: Path, server: str) -> GateIdentity:
    make_keys(tmp_path / "gate")
    file = GateFile(
        gate="south-1",
        station="south",
        direction="in",
        server=server,
        enrollment_key=base64url(raw_public(ENROLLMENT.public_key())),
    )
    save_identity(tmp_path / "gate", file)
    return load_identity(tmp_path / "gate")


def sealed(identity: GateIdentity, version: int, engine_id: str = "dlib-resnet-1") -> bytes:
    """A gallery of one rider, as enrollment seals it for this gate."""
    vector = np.eye(1, 128, dtype="<f4").tobytes()
    snapshot = GallerySnapshot(
        engine_id=engine_id,
        dimensions=128,
        version=version,
        gate=identity.file.gate,
        issued_at=format_utc(datetime.now(UTC)),
        riders=(GalleryRider(account="a" * 32, template=vector, images=3),),
    )
    return seal_gallery(snapshot, identity.box_key.public_key(), ENROLLMENT)


def serve(gallery: bytes) -> None:
    """A server with this gallery and an empty deny list."""

    def answer(path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if path.startswith("/api/v1/gallery"):
            return 200, gallery, {}
        return 200, json.dumps({"version": 1, "blocked": []}).encode(), {}

    Scripted.answer = staticmethod(answer)  # type: ignore[method-assign]


@contextmanager
def gate(identity: GateIdentity, engine: DlibEngine) -> Iterator[run.RunningGate]:
    with run.running(identity, io.StringIO(), Eyes(engine, NoCheck())) as made:
        yield made


def refresh(made: run.RunningGate) -> dict[Fault, str]:
    """What the refresh thread does once, with its errors where it leaves them."""
    try:
        made.refresh.everything()
    except Exception as error:  # noqa: BLE001 - the thread goes on as well
        logging.getLogger(__name__).info("%s", error)
    return made._faults.standing()


def test_a_gallery_of_an_unknown_engine_is_named_and_replaced_by_a_good_one(
    identity: GateIdentity, engine: DlibEngine
) -> None:
    serve(sealed(identity, 1, engine_id="onnx:other"))
    with gate(identity, engine) as made:
        faults = refresh(made)
        assert "made with the engine onnx:other" in faults[Fault.GALLERY]
        assert "set the same engine on both sides" in faults[Fault.GALLERY]
        assert made._knowledge.matcher is None
        serve(sealed(identity, 2))
        assert refresh(made) == {}
        assert made._knowledge.matcher is not None


def test_a_revoked_gate_forgets_its_riders_and_says_so(
    identity: GateIdentity, engine: DlibEngine
) -> None:
    serve(sealed(identity, 1))
    with gate(identity, engine) as made:
        assert refresh(made) == {}
        assert identity.gallery_path.exists()
        says(401, {"detail": "this gate's key is not registered or was revoked"})
        assert "was revoked" in refresh(made)[Fault.GALLERY]
        assert made._knowledge.matcher is None
        assert not identity.gallery_path.exists()
        serve(sealed(identity, 2))
        assert refresh(made) == {}
        assert made._knowledge.matcher is not None


def test_without_a_server_the_gate_goes_on_with_what_it_kept(
    identity: GateIdentity, engine: DlibEngine
) -> None:
    serve(sealed(identity, 1))
    with gate(identity, engine) as made:
        refresh(made)
    says(503, {"detail": "busy"})
    with gate(identity, engine) as again:
        assert set(refresh(again)) == {Fault.OFFLINE}
        assert again._knowledge.matcher is not None
        assert again._knowledge.blocked == {}


def test_a_gate_that_never_had_a_gallery_waits_for_its_server(
    identity: GateIdentity, engine: DlibEngine
) -> None:
    says(503, {"detail": "busy"})
    with gate(identity, engine) as made:
        assert set(refresh(made)) == {Fault.OFFLINE}
        assert made._knowledge.matcher is None and made._knowledge.blocked is None
        with pytest.raises(NotReady, match="has no gallery it can use"):
            made.open_for_business()
        serve(sealed(identity, 1))
        assert refresh(made) == {}


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_is_named_and_the_servers_time_counts(
    identity: GateIdentity, hours: int
) -> None:
    wrong = GateClock(lambda: datetime.now(UTC) + timedelta(hours=hours))
    tokens = 0

    def answer(path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        nonlocal tokens
        tokens += 1
        if tokens == 1:
            return 401, b'{"detail": "the gate token is from the future"}', {}
        return 200, b'{"version": 1, "blocked": []}', {}

    Scripted.answer = staticmethod(answer)  # type: ignore[method-assign]
    client = Client(
        identity.file.server,
        identity.file.gate,
        identity.signing_key,
        clock=wrong,
        learn=wrong.learn,
    )
    try:
        assert sync.fetch_blocked(identity, client) == {}
    finally:
        client.close()
    assert tokens == 2, "asked again with a token of the right time"
    assert abs((wrong() - datetime.now(UTC)).total_seconds()) < 5
    assert f"s {'ahead of' if hours > 0 else 'behind'} the server's" in wrong.problem
    assert "NTP" in wrong.problem


def test_a_clock_that_is_put_right_counts_again() -> None:
    off = timedelta(hours=1)
    clock = GateClock(lambda: datetime.now(UTC) + off)
    assert clock.learn(format_datetime(datetime.now(UTC), usegmt=True))
    off = timedelta(0)
    assert clock.learn(format_datetime(datetime.now(UTC), usegmt=True))
    assert clock.problem == ""
    assert not clock.learn(format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True))
    assert not clock.learn("yesterday"), "what is no date changes nothing"


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file may grow beyond ``room`` bytes: to SQLite that is a disk without space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_no_tap_is_taken_and_afterwards_the_chain_goes_on(
    identity: GateIdentity,
) -> None:
    outbox = Outbox(identity.outbox_path)
    first = outbox.append(make_tap, identity.signing_key)
    with full_disk(4096):
        with pytest.raises(OutboxError, match="cannot be used"):
            outbox.append(make_tap, identity.signing_key)
        with pytest.raises(OutboxError, match="cannot be used"):
            outbox.prepare()
    outbox.prepare()
    second = outbox.append(make_tap, identity.signing_key)
    assert (first.seq, second.seq) == (1, 2)
    assert [tap_id for tap_id, _ in outbox.pending(10)] == [first.tap_id, second.tap_id]


def test_the_record_fault_goes_when_the_disk_has_room_again(
    identity: GateIdentity, engine: DlibEngine
) -> None:
    serve(sealed(identity, 1))
    with gate(identity, engine) as made:
        made._faults.set(Fault.RECORD, "the outbox cannot be used")
        with full_disk(4096), pytest.raises(OutboxError):
            made._deliver_once()
        assert Fault.RECORD in made._faults.standing()
        made._deliver_once()
        assert made._faults.standing() == {}


def test_a_gallery_that_cannot_be_kept_is_used_all_the_same(
    identity: GateIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    serve(sealed(identity, 1))
    client = Client(identity.file.server, identity.file.gate, identity.signing_key)
    try:
        with full_disk(100):
            snapshot = sync.fetch_gallery(identity, client, -1)
    finally:
        client.close()
    assert snapshot is not None and snapshot.version == 1
    assert "gallery.sealed cannot be written" in caplog.text
    assert list(identity.path.glob("*.new")) == []


def test_weights_that_are_a_text_pointer_are_waited_for(
    identity: GateIdentity, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.eyes.RETRY_S", 0.1)
    models, out = tmp_path / "models", io.StringIO()
    models.mkdir()
    for file in (data / "models").glob("*MiniFASNet*.onnx"):
        (models / file.name).write_text("version https://git-lfs.github.com/spec/v1\n")
    got: list[Eyes] = []

    def load() -> None:
        got.append(patiently(lambda: load_eyes(identity, "full", models), out))

    loading = threading.Thread(target=load)
    loading.start()
    until = time.monotonic() + 30
    while "out of service" not in out.getvalue() and time.monotonic() < until:
        time.sleep(0.05)
    assert "is a text pointer to the weights, not the weights" in out.getvalue()
    assert "facefare faces pull minifasnet" in out.getvalue()
    for file in (data / "models").glob("*MiniFASNet*.onnx"):
        (models / file.name).write_bytes(file.read_bytes())
    loading.join(30)
    assert len(got) == 1
    assert out.getvalue().count("out of service") == 1, "said once"


def test_a_dead_camera_stands_on_the_board_and_on_the_screen(
    identity: GateIdentity, engine: DlibEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.camera.LOST_AFTER_S", 0.2)
    serve(sealed(identity, 1))
    out = io.StringIO()
    camera = Camera("http://127.0.0.1:9/none")
    with run.running(identity, out, Eyes(engine, NoCheck())) as made:
        watching = threading.Thread(target=made.watch, args=(camera,))
        watching.start()
        until = time.monotonic() + 30
        while Fault.CAMERA not in made._faults.standing() and time.monotonic() < until:
            time.sleep(0.05)
        standing = made._faults.standing()
        camera.stop()
        watching.join(10)
    assert "gives no picture; check the cable" in standing[Fault.CAMERA]
    assert "screen: out of service" in out.getvalue()


def test_a_gate_is_refused_by_a_server_that_is_none(identity: GateIdentity) -> None:
    says(301, {}, Location="https://elsewhere")
    client = Client(identity.file.server, identity.file.gate, identity.signing_key)
    try:
        with pytest.raises(ServerRefused, match="redirect"):
            sync.fetch_blocked(identity, client)
    finally:
        client.close()
