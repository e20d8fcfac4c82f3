"""Frame sources: clips and folders frame by frame, a camera's newest frame only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from gate.camera import FRAME_AGE_S_MAX, Camera, recorded
from gate.errors import CameraError


def write_clip(path: Path, frames: int, fps: float = 20.0) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 5, np.uint8))
    writer.release()


def test_a_clip_gives_every_frame_at_its_own_time(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 30)
    frames = list(recorded(tmp_path / "clip.mp4"))
    assert [frame.at_s for frame in frames] == [pytest.approx(n / 20) for n in range(30)]
    assert all(frame.frame.flags.c_contiguous for frame in frames)


def test_frames_are_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((48, 64, 3), (0, 0, 255), np.uint8))
    (frame,) = recorded(tmp_path)
    assert tuple(frame.frame[0, 0]) == (255, 0, 0)


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        picture = np.full((48, 64, 3), number * 50, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), picture)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [int(frame.frame[0, 0, 0]) for frame in recorded(tmp_path)] == [0, 50, 100]


def test_sources_that_give_no_pictures_say_why(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="there is no clip or picture folder"):
        recorded(tmp_path / "none.mp4")
    with pytest.raises(CameraError, match="holds no pictures"):
        list(recorded(tmp_path))
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(CameraError, match="is it a video file"):
        list(recorded(tmp_path / "broken.mp4"))
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(CameraError, match="is not a picture that can be read"):
        list(recorded(tmp_path))


class Mjpeg(BaseHTTPRequestHandler):
    """A network camera: 100 frames a second, each brighter than the last."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(200):
                good, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), number, np.uint8))
                assert good
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n")
                self.wfile.write(jpeg.tobytes() + b"\r\n")
                time.sleep(0.01)
        except OSError:
            return  # the gate hung up

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def network_camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_slow_gate_sees_the_newest_frame_and_never_an_old_one(network_camera: str) -> None:
    camera = Camera(network_camera)
    camera.start()
    seen = []
    try:
        for timed in camera.frames():
            assert time.monotonic() - timed.at_s <= FRAME_AGE_S_MAX
            seen.append(int(timed.frame[0, 0, 0]))
            if len(seen) == 5:
                break
            time.sleep(0.15)  # fifteen frames pass meanwhile
    finally:
        camera.stop()
    assert seen == sorted(seen)
    assert min(np.diff(seen)) > 3, "frames were queued"


def test_a_camera_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(CameraError, match="gives no picture; check the cable"):
        Camera("http://127.0.0.1:9/none").start()


def test_a_cameras_password_is_in_no_message() -> None:
    with pytest.raises(CameraError) as caught:
        Camera("http://guard:secret@127.0.0.1:9/stream").start()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)
