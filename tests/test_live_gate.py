"""The gate on a live camera: a network camera shows a rider walking up, in real time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest

from facefare.walkup import FPS, write_walkups
from gate.clips import recorded
from models.faces.dlib_engine import DlibEngine
from tests.conftest import read_rgb
from tests.station import Station

FRAMES: list[bytes] = []


class NetworkCamera(BaseHTTPRequestHandler):
    """Plays the walk-up at its own speed, over and over, as JPEG pictures."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        started = time.monotonic()
        try:
            while True:
                number = int((time.monotonic() - started) * FPS) % len(FRAMES)
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n")
                self.wfile.write(FRAMES[number] + b"\r\n")
                time.sleep(1 / FPS)
        except OSError:
            return  # the gate hung up

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def camera(tmp_path: Path, engine: DlibEngine, stills: Path) -> Iterator[str]:
    frame = read_rgb(stills / "obama2.jpg")
    write_walkups([(frame, engine.find(frame)[0])], tmp_path / "clip.mp4", seed=3)
    FRAMES.clear()
    for timed in recorded(tmp_path / "clip.mp4"):
        good, jpeg = cv2.imencode(".jpg", cv2.cvtColor(timed.frame, cv2.COLOR_RGB2BGR))
        assert good
        FRAMES.append(jpeg.tobytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), NetworkCamera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_rider_before_a_live_camera_is_let_through_once(
    tmp_path: Path, camera: str, stills: Path
) -> None:
    station = Station(tmp_path)
    try:
        station.start()
        account = station.enroll([stills / "obama.jpg"])
        gate = station.add_gate("hall-1")
        process = subprocess.Popen(
            [sys.executable, "-m", "facefare", "gate", "run", "--camera", camera,
             "--dir", str(gate.path), "--liveness", "off", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            until = time.monotonic() + 60
            while not station.charged() and time.monotonic() < until:
                assert process.poll() is None
                time.sleep(0.2)
            time.sleep(8)  # the rider walks up again; anti-passback holds
        finally:
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        summary = json.loads(out)
        assert (summary["opened"], summary["pending"]) == (1, 0), said
        assert station.charged() == [account]
        assert "already passed" in said
    finally:
        station.stop()
