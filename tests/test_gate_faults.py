"""What goes wrong at a gate that is left alone: each fault is named, and goes by itself."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate import run, sync
from gate.camera import Camera
from gate.client import Client
from gate.clock import GateClock
from gate.decision import Decision, Open, Refuse
from gate.errors import NotReady, OutboxError, ServerRefused
from gate.eyes import Eyes, load_eyes
from gate.faults import Fault, FaultBoard
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.liveness.check import Finding, LivenessScore, NoCheck
from gate.outbox import Outbox
from gate.presented import PresentedDigits, PresentedPass, SeenFace
from gate.recognition import Measured, make_matcher
from gate.refresh import Refresh
from gate.second_factor import PassAndDigits
from gate.settings import KioskSettings
from gate.sight import Knowledge
from gate.words import Word
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.faces.matching import Matcher
from models.wire.gallery import GalleryRider, GallerySnapshot, PassRules, seal_gallery
from models.wire.keys import base64url, raw_public
from models.wire.pass_text import pack_pass
from models.wire.passes import CarriedTemplate, Pass, PassMedium, sign_pass
from models.wire.times import format_utc
from tests.test_gate_sync import Scripted, says
from tests.test_outbox import make_tap

ENROLLMENT = Ed25519PrivateKey.generate()
PASSES = Ed25519PrivateKey.generate()


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


def sealed(
    identity: GateIdentity,
    version: int,
    engine_id: str = "dlib-resnet-1",
    issued_at: datetime | None = None,
) -> bytes:
    """A gallery of one rider, as enrollment seals it for this gate."""
    vector = np.eye(1, 128, dtype="<f4").tobytes()
    snapshot = GallerySnapshot(
        engine_id=engine_id,
        dimensions=128,
        version=version,
        gate=identity.file.gate,
        issued_at=format_utc(issued_at or datetime.now(UTC)),
        riders=(GalleryRider(account="a" * 32, template=vector, images=3, digits="4711"),),
        passes=PassRules(
            issuer="fares.example/metro",
            keys=(base64url(raw_public(PASSES.public_key())),),
            valid_days_max=366,
            revoked=("l0st--12bytes_AA",),
        ),
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
        detail = "this gate's key is not registered or was revoked"
        says(401, {"title": "GateUnknown", "detail": detail})
        assert "was revoked" in refresh(made)[Fault.GALLERY]
        assert made._knowledge.matcher is None
        assert not identity.gallery_path.exists()
        serve(sealed(identity, 2))
        assert refresh(made) == {}
        assert made._knowledge.matcher is not None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (302, {}),
        (404, b"<html>nothing here</html>"),
        (403, {"detail": "this network is for staff"}),
        (401, {"title": "TokenRefused", "detail": "the gate token has expired"}),
        (404, {"title": "GateUnknown"}),
        (200, b"<html>sign in to this network</html>"),
    ],
)
def test_what_answers_in_the_servers_place_takes_nothing_away(
    identity: GateIdentity, engine: DlibEngine, status: int, body: object
) -> None:
    serve(sealed(identity, 1))
    with gate(identity, engine) as made:
        refresh(made)
        says(status, body, Location="https://elsewhere")
        assert refresh(made) != {}
        assert made._knowledge.matcher is not None
        assert identity.gallery_path.exists()
    with gate(identity, engine) as again:
        assert refresh(again) != {}
        assert again._knowledge.matcher is not None, "after a restart as well"
        assert again._knowledge.blocked == {}


def shown(
    knowledge: Knowledge, medium: PassMedium = "pass", pass_id: str = "r4nD0m-12bytes_A"
) -> Decision:
    """What a pass opens now, held up by a rider whose face is that of the gallery's."""
    now = datetime.now(UTC)
    codes = np.eye(1, 128, dtype=np.int8).tobytes()
    template = CarriedTemplate("dlib-resnet-1", 3, codes) if medium == "face+pass" else None
    held = Pass(pass_id, "a" * 32, medium, now, now + timedelta(days=300), template)
    text = pack_pass(sign_pass(held, "fares.example/metro", PASSES))
    factor = PassAndDigits(lambda: knowledge.claims, lambda: now)
    return factor.decide(PresentedPass(text), SEEN)


SEEN = SeenFace(
    np.eye(1, 128, dtype=np.float32)[0], 3, "dlib-resnet-1", None,
    LivenessScore(Finding.LIVE, pair=0.9),
)  # fmt: skip


def only_passes_open(knowledge: Knowledge) -> None:
    """Nobody is recognised, and every kind of pass is judged as ever."""
    assert knowledge.matcher is None
    decision = shown(knowledge)
    assert isinstance(decision, Open) and decision.medium == "pass"
    decision = shown(knowledge, "face+pass")
    assert isinstance(decision, Open) and decision.medium == "face+pass"
    assert shown(knowledge, pass_id="l0st--12bytes_AA") == Refuse(Word.PASS_WITHDRAWN)
    factor = PassAndDigits(lambda: knowledge.claims, lambda: datetime.now(UTC))
    assert factor.decide(PresentedDigits("4711"), SEEN) == Refuse(Word.NO_GALLERY)


@pytest.mark.parametrize("reason", ["another engine", "nothing measured"])
def test_passes_open_also_where_the_gallery_cannot_be_used(
    identity: GateIdentity, engine: DlibEngine, reason: str
) -> None:
    serve(sealed(identity, 1))
    with gate(identity, engine) as made:
        refresh(made)
        assert made._knowledge.matcher is not None
        if reason == "another engine":
            serve(sealed(identity, 2, engine_id="onnx:other"))
        else:
            serve(sealed(identity, 2))
            nothing = made.refresh._measured.table.model_copy(update={"points": ()})
            made.refresh._measured = replace(made.refresh._measured, table=nothing)
        assert Fault.GALLERY in refresh(made)
        only_passes_open(made._knowledge)


class Alone:
    """What a gate keeps up to date, with a clock that a test can set."""

    def __init__(self, identity: GateIdentity) -> None:
        self.off = timedelta(0)
        self.knowledge, self.faults = Knowledge(), FaultBoard()
        self.clock = GateClock(lambda: datetime.now(UTC) + self.off)
        self.client = Client(
            identity.file.server, identity.file.gate, identity.signing_key, clock=self.clock
        )
        measured = Measured.of("dlib-resnet-1", identity.table_path)
        self.refresh = Refresh(
            identity, self.client, self.knowledge, measured, self.clock, self.faults, io.StringIO()
        )

    def ask(self) -> None:
        with contextlib.suppress(FacefareError):
            self.refresh.everything()


AGES = pytest.mark.parametrize(
    "off", [timedelta(days=8), timedelta(days=-2)], ids=["a week later", "the clock set back"]
)


@AGES
def test_a_gate_without_its_server_falls_back_to_passes(
    identity: GateIdentity, off: timedelta
) -> None:
    serve(sealed(identity, 1))
    made = Alone(identity)
    try:
        made.ask()
        assert made.knowledge.matcher is not None
        says(503, {"detail": "busy"})
        made.ask()
        assert made.knowledge.matcher is not None
        made.off = off
        made.ask()
        only_passes_open(made.knowledge)
        assert "riders may have left since" in made.faults.standing()[Fault.GALLERY]
    finally:
        made.client.close()


@AGES
def test_a_gate_that_starts_without_its_server_falls_back_to_passes(
    identity: GateIdentity, off: timedelta
) -> None:
    serve(sealed(identity, 1))
    first, second = Alone(identity), Alone(identity)
    try:
        first.ask()
        says(503, {"detail": "busy"})
        second.off = off
        second.ask()
        only_passes_open(second.knowledge)
        assert second.knowledge.blocked == {}
    finally:
        first.client.close()
        second.client.close()


def test_a_clock_a_little_behind_is_no_clock_that_was_set_back(identity: GateIdentity) -> None:
    serve(sealed(identity, 1, issued_at=datetime.now(UTC) + timedelta(minutes=4)))
    first, second = Alone(identity), Alone(identity)
    try:
        first.ask()
        says(503, {"detail": "busy"})
        second.ask()
        assert second.knowledge.matcher is not None
    finally:
        first.client.close()
        second.client.close()


def test_while_a_gallery_is_made_ready_the_one_before_it_recognises(
    identity: GateIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sealed(identity, 1))
    made = Alone(identity)
    found = []

    def watched(snapshot: GallerySnapshot, measured: Measured) -> Matcher:
        found.append((made.knowledge.matcher is not None, made.knowledge.claims is not None))
        return make_matcher(snapshot, measured)

    try:
        made.ask()
        monkeypatch.setattr("gate.refresh.make_matcher", watched)
        serve(sealed(identity, 2))
        made.ask()
    finally:
        made.client.close()
    assert found == [(True, True)]
    assert made.knowledge.matcher is not None and made.knowledge.matcher.gallery.version == 2


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


@contextmanager
def begun(identity: GateIdentity, out: io.StringIO, models: Path) -> Iterator[str]:
    """A gate with a screen that begins in a thread; yields the screen's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = identity.file.model_copy(update={"kiosk": KioskSettings(port=port)})
    ready = threading.Event()

    def begin() -> None:
        whole = replace(identity, file=file)
        with run.waiting(whole, out, lambda: load_eyes(identity, "full", models)):
            ready.wait(60)

    beginning = threading.Thread(target=begin)
    beginning.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ready.set()
        beginning.join(60)
    assert not beginning.is_alive()


def shown_at(address: str, fault: Fault | None) -> dict[str, Any]:
    """The screen's state once ``fault``, or none, stands there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            state: dict[str, Any] = httpx.get(f"{address}/state").json()
            if (fault in state["faults"]) if fault else not state["faults"]:
                return state
        time.sleep(0.05)
    raise AssertionError(f"{fault} never stood on the screen")


def test_weights_that_are_a_text_pointer_are_waited_for_and_the_screen_says_so(
    identity: GateIdentity, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.eyes.RETRY_S", 0.1)
    models, out = tmp_path / "models", io.StringIO()
    models.mkdir()
    for file in (data / "models").glob("*MiniFASNet*.onnx"):
        (models / file.name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with begun(identity, out, models) as screen:
        state = shown_at(screen, Fault.EYES)
        assert (state["sign"], state["title"]["en"]) == ("fault", "Out of order")
        assert state["advice"]["en"] == "This gate is not running. Please use another gate."
        assert "is a text pointer to the weights" in httpx.get(f"{screen}/health").text
        assert "is a text pointer to the weights, not the weights" in out.getvalue()
        assert "facefare faces pull minifasnet" in out.getvalue()
        for file in (data / "models").glob("*MiniFASNet*.onnx"):
            (models / file.name).write_bytes(file.read_bytes())
        assert shown_at(screen, None)["sign"] == "wait"
    assert out.getvalue().count("out of service") == 1, "said once"


def test_an_outbox_that_cannot_be_read_at_the_start_is_waited_for_and_the_screen_says_so(
    identity: GateIdentity, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.eyes.RETRY_S", 0.1)
    identity.outbox_path.write_bytes(b"no database" * 1000)
    with begun(identity, io.StringIO(), data / "models") as screen:
        state = shown_at(screen, Fault.RECORD)
        assert state["advice"]["en"].startswith("This gate cannot record rides now.")
        assert "cannot be used" in httpx.get(f"{screen}/health").json()["problem"]
        identity.outbox_path.unlink()
        assert shown_at(screen, None)["sign"] == "wait"


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
