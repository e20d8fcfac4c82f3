"""A whole station: camera, gate, door controller, screen and figures, as a rider passes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import httpx
import pytest
from playwright.sync_api import Browser

from facefare.walkup import FPS, write_walkups
from gate.clips import recorded
from gate.identity import GateIdentity
from models.faces.dlib_engine import DlibEngine
from tests.conftest import read_rgb
from tests.station import Station, facefare, free_port
from tests.test_door_http import DoorController, controller
from tests.test_gate_doctor import changed

__all__ = ["controller"]  # a fixture


class PatientCamera(BaseHTTPRequestHandler):
    """Shows the empty start of a walk-up until the test is ready, then plays it."""

    frames: list[bytes]
    starts_s = float("inf")

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            while True:
                since_s = max(0.0, time.monotonic() - type(self).starts_s)
                number = int(since_s * FPS)
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n")
                self.wfile.write(self.frames[number % len(self.frames)] + b"\r\n")
                time.sleep(1 / FPS)
        except OSError:
            return  # the gate hung up

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def camera(tmp_path: Path, engine: DlibEngine, stills: Path) -> Iterator[str]:
    frame = read_rgb(stills / "obama2.jpg")
    write_walkups([(frame, engine.find(frame)[0])], tmp_path / "clip.mp4", seed=3)
    PatientCamera.frames, PatientCamera.starts_s = [], float("inf")
    for timed in recorded(tmp_path / "clip.mp4"):
        good, jpeg = cv2.imencode(".jpg", cv2.cvtColor(timed.frame, cv2.COLOR_RGB2BGR))
        assert good
        PatientCamera.frames.append(jpeg.tobytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), PatientCamera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def equipped(tmp_path: Path, camera: str, controller: str, stills: Path) -> Iterator[Equipped]:
    station = Station(tmp_path)
    try:
        station.start()
        yield Equipped(station, camera, controller, stills)
    finally:
        station.stop()


class Equipped:
    """A station whose gate has a screen, figures and an HTTP door."""

    def __init__(self, station: Station, camera: str, controller: str, stills: Path) -> None:
        self.station = station
        self.account = station.enroll([stills / "obama.jpg"])
        gate = station.add_gate("hall-1")
        gate.door_secret_path.touch(mode=0o600)
        gate.door_secret_path.write_text("a secret of a door", encoding="utf-8")
        self.gate: GateIdentity = changed(
            gate,
            door={"driver": "http", "url": controller},
            camera={"source": camera},
            kiosk={"port": free_port()},
            metrics={"port": free_port()},
            policy={"liveness": "off"},
        )
        self.screen = f"http://127.0.0.1:{self.gate.file.kiosk.port}"
        self.figures = f"http://127.0.0.1:{self.gate.file.metrics.port}/metrics"

    def run(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "facefare", "gate", "run",
             "--dir", str(self.gate.path), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "FACEFARE_LOG": "json"},
        )  # fmt: skip


def wait_until_it_answers(url: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None
        try:
            httpx.get(url)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} does not answer")


ON_SCREEN = "document.body.className + document.querySelector('#money').textContent"


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_rider_passes_and_every_part_of_the_station_tells_so(
    equipped: Equipped, browser: Browser
) -> None:
    process = equipped.run()
    context = browser.new_context(viewport={"width": 800, "height": 480})
    try:
        wait_until_it_answers(equipped.screen, process)
        page = context.new_page()
        page.goto(equipped.screen)
        wait_until(lambda: "frames_total" in httpx.get(equipped.figures).text)
        PatientCamera.starts_s = time.monotonic()
        # Asked again and again without a pause: an open gate is soon idle again.
        wait_until(lambda: all(part in page.evaluate(ON_SCREEN) for part in (" go", "CN¥2.00")))
        shown = page.content() + httpx.get(f"{equipped.screen}/state").text
        figures = httpx.get(equipped.figures).text
        health = httpx.get(f"{equipped.screen}/health").json()
        doctor = facefare("gate", "doctor", "--dir", str(equipped.gate.path))
        released = facefare("gate", "release", "--dir", str(equipped.gate.path), "--by", "ada")
        time.sleep(0.5)
    finally:
        context.close()
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert json.loads(out)["opened"] == 1, said

    commands = [json.loads(body)["command"] for _, body in DoorController.heard]
    assert commands.count("open") == 2, "one rider, one release"
    assert 'facefare_gate_passages_total{phase="open",reason=""} 1.0' in figures
    assert re.search(r"facefare_gate_frames_total [1-9]", figures)
    assert health["ok"], health
    assert "it runs and is well" in doctor.stdout and doctor.returncode == 0, doctor.stdout
    assert released.returncode == 0, released.stderr
    assert '"event": "released", "detail": "ada"' in said

    told = (shown, figures, json.dumps(health), doctor.stdout, said, out)
    everything = "\n".join((*told, *(str(body) for _, body in DoorController.heard)))
    assert equipped.account not in everything
    assert equipped.account[:8] not in everything
