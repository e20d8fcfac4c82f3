"""The doctor and the staff's release, on a real gate directory with a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from gate import sync
from gate.client import Client
from gate.clock import GateClock
from gate.doctor import check_server, examine
from gate.errors import DoorError, GateConfigError
from gate.health import Check, Level
from gate.identity import GateIdentity, load_identity, save_identity
from gate.monitor import alone
from gate.outbox import Outbox
from gate.release import release
from models.access.gates import revoke_gate
from models.database import open_sqlite
from models.tables.access import AccessTable
from tests.station import Station, facefare, free_port
from tests.test_gate_faults import full_disk

MODELS = Path("nowhere")


class StillCamera(BaseHTTPRequestHandler):
    """A network camera before a wall, at 15 pictures a second, with a sensor's noise."""

    luma = 120

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        noise = np.random.default_rng(1)
        try:
            while True:
                wall = np.linspace(-20, 20, 320) + type(self).luma + noise.normal(0, 4, (240, 320))
                _, jpeg = cv2.imencode(".jpg", np.clip(wall, 0, 255).astype(np.uint8))
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n")
                self.wfile.write(jpeg.tobytes() + b"\r\n")
                time.sleep(1 / 15)
        except OSError:
            return  # the gate hung up

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StillCamera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    made = Station(tmp_path_factory.mktemp("doctor"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Nothing(BaseHTTPRequestHandler):
    """A proxy that knows of no server behind it."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        return


_number = iter(range(1000))


@pytest.fixture
def gate(station: Station, camera: str) -> GateIdentity:
    """A provisioned gate that has heard from its server."""
    made = changed(
        station.add_gate(f"hall-{next(_number)}"),
        camera={"source": camera},
        policy={"liveness": "still"},
    )
    client = Client(made.file.server, made.file.gate, made.signing_key)
    sync.fetch_gallery(made, client, -1)
    sync.fetch_blocked(made, client)
    client.close()
    return made


def changed(gate: GateIdentity, **sections: Any) -> GateIdentity:
    """The gate with other sections in its file."""
    file = type(gate.file).model_validate({**gate.file.model_dump(), **sections})
    save_identity(gate.path, file)
    return load_identity(gate.path)


def found(gate: GateIdentity) -> dict[str, Check]:
    return {check.name: check for check in examine(gate, None, MODELS)}


def test_a_gate_that_is_well_passes_every_check(gate: GateIdentity) -> None:
    done = facefare("gate", "doctor", "--dir", str(gate.path), "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    levels = {check["name"]: check["level"] for check in result["checks"]}
    assert levels == {
        "camera": "ok",
        "door": "warn",  # it is only printed
        "network": "ok",
        "keys": "ok",
        "clock": "ok",
        "outbox file": "ok",
        "gallery": "ok",
        "threshold": "ok",
        "liveness": "ok",
        "server": "ok",
        "outbox": "ok",
        "not charged": "ok",
        "disk": "ok",
    }
    assert "1" in next(c["says"] for c in result["checks"] if c["name"] == "camera")


def test_what_is_wrong_stands_on_its_line_and_the_command_fails(gate: GateIdentity) -> None:
    gate = changed(gate, camera={"source": "http://127.0.0.1:1/none"}, policy={"liveness": "full"})
    done = facefare("gate", "doctor", "--dir", str(gate.path), "--models", str(gate.path / "none"))
    assert done.returncode == 1
    lines = {line[5:19].strip(): line for line in done.stdout.splitlines() if len(line) > 19}
    assert lines["camera"].startswith("bad") and "camera.source" in lines["camera"]
    assert lines["liveness"].startswith("bad") and "weights" in lines["liveness"]
    assert lines["network"].startswith("ok")
    assert "Traceback" not in done.stderr


def test_a_dark_camera_asks_for_light(gate: GateIdentity) -> None:
    StillCamera.luma = 35
    try:
        check = found(gate)["camera"]
    finally:
        StillCamera.luma = 120
    assert (check.level, check.do) == (Level.WARN, "more light on the faces")


def test_a_door_that_cannot_be_reached_is_bad(gate: GateIdentity) -> None:
    secret = gate.door_secret_path
    secret.touch(mode=0o600)
    secret.write_text("a secret of a door", encoding="utf-8")
    gate = changed(gate, door={"driver": "http", "url": "http://127.0.0.1:1/door"})
    check = found(gate)["door"]
    assert check.level is Level.BAD and "does not answer" in check.says


def test_a_gate_without_a_network_says_so_and_nothing_of_keys(gate: GateIdentity) -> None:
    gate = changed(gate, server=f"http://127.0.0.1:{free_port()}")
    checks = found(gate)
    assert checks["network"].level is Level.BAD
    assert "keys" not in checks and "clock" not in checks


def test_a_revoked_gate_learns_it_from_the_doctor(gate: GateIdentity, station: Station) -> None:
    access = open_sqlite(station.data.access_db, AccessTable.metadata)
    revoke_gate(access, gate.file.gate, datetime.now(UTC))
    access.dispose()
    check = found(gate)["keys"]
    assert check.level is Level.BAD and "refuses" in check.says


def test_a_clock_that_is_wrong_is_told_by_how_much(gate: GateIdentity) -> None:
    late = GateClock(lambda: datetime.now(UTC) - timedelta(hours=1))
    checks = {check.name: check for check in check_server(gate, late)}
    assert checks["clock"].level is Level.BAD
    assert "behind" in checks["clock"].says


def test_a_damaged_outbox_is_found(gate: GateIdentity) -> None:
    Outbox(gate.outbox_path)
    for path in gate.path.glob("outbox.sqlite-*"):
        path.unlink()
    data = bytearray(gate.outbox_path.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    gate.outbox_path.write_bytes(data)
    done = facefare("gate", "doctor", "--dir", str(gate.path))
    assert done.returncode == 1
    assert "outbox file   " in done.stdout and "is damaged" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_damaged_outbox_and_a_full_disk_stand_in_the_json_too(gate: GateIdentity) -> None:
    Outbox(gate.outbox_path)
    with alone(gate), full_disk(4096):
        assert found(gate)["outbox"].level is Level.BAD
    for path in gate.path.glob("outbox.sqlite-*"):
        path.unlink()
    gate.outbox_path.write_bytes(b"not a database at all" * 400)
    done = facefare("gate", "doctor", "--dir", str(gate.path), "--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "is damaged" in checks["outbox file"]["says"]
    assert checks["outbox"]["level"] == "bad" and "cannot be used" in checks["outbox"]["says"]
    assert checks["liveness"]["level"] == "ok"


def test_a_proxy_in_the_servers_place_is_a_matter_of_the_network(gate: GateIdentity) -> None:
    """Whoever follows the hint must not provision the gate anew."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        checks = found(changed(gate, server=f"http://127.0.0.1:{proxy.server_port}"))
    finally:
        proxy.shutdown()
        proxy.server_close()
    assert checks["network"].level is Level.BAD and "status 404" in checks["network"].says
    assert "keys" not in checks


def test_a_gate_without_a_gallery_is_not_ready(gate: GateIdentity) -> None:
    sync.forget_gallery(gate)
    checks = found(gate)
    assert checks["gallery"].level is Level.BAD
    assert checks["threshold"].level is Level.WARN


def test_a_gate_that_runs_is_asked_not_disturbed(gate: GateIdentity) -> None:
    with alone(gate):
        checks = found(gate)
        assert "camera" not in checks and "door" not in checks
        assert checks["program"].level is Level.OK
        silent = changed(gate, kiosk={"port": free_port()})
        assert found(silent)["program"].level is Level.BAD


def test_two_programs_cannot_run_one_gate(gate: GateIdentity) -> None:
    with alone(gate), pytest.raises(GateConfigError, match="another program"), alone(gate):
        pass
    with alone(gate):
        pass


def test_a_release_without_a_running_gate_says_what_to_do(gate: GateIdentity) -> None:
    with pytest.raises(GateConfigError, match=r"kiosk\.port"):
        release(gate, "ada")
    with pytest.raises(DoorError, match="does not answer"):
        release(changed(gate, kiosk={"port": free_port()}), "ada")
