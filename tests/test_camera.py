"""Frame sources: clips and folders frame by frame, a camera's newest frame only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

from gate.camera import FRAME_AGE_S_MAX, Camera
from gate.clips import PlayedClip, recorded
from gate.errors import CameraError
from gate.frames import Mount
from gate.picture import LASTS_S, SENTENCES, CameraFault, PictureJudge
from models.faces.engine import Frame


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
            if len(seen) == 6:
                break
            time.sleep(0.15)  # fifteen frames pass meanwhile
    finally:
        camera.stop()
    assert seen == sorted(seen)
    # A stream begins when it can: its first two frames may come as far apart as it likes.
    assert min(np.diff(seen[1:])) > 3, "frames were queued"


def watched(camera: Camera, seconds: float) -> list[CameraFault | None]:
    """What is wrong with the camera, asked over and over."""
    until, faults = time.monotonic() + seconds, []
    while time.monotonic() < until:
        camera.next(0.05)
        faults.append(camera.fault)
    return faults


def test_a_camera_that_is_not_there_is_named_and_tried_again() -> None:
    camera = Camera("http://guard:secret@127.0.0.1:9/stream")
    camera.start()
    try:
        faults = watched(camera, 2.6)
    finally:
        camera.stop()
    assert faults[0] is None
    assert faults[-1] is CameraFault.UNPLUGGED
    said = SENTENCES[CameraFault.UNPLUGGED].format(camera.name)
    assert "127.0.0.1:9/stream gives no picture; check the cable" in said
    assert "secret" not in said


class Scripted:
    """A source that gives what the test says: a picture, or None for an end."""

    def __init__(self, pictures: Iterator[Frame | None]) -> None:
        self._pictures = pictures

    def read(self) -> tuple[bool, Frame]:
        time.sleep(0.03)
        picture = next(self._pictures)
        return (False, NOTHING) if picture is None else (True, picture)

    def release(self) -> None:
        return


NOTHING = np.zeros((48, 64, 3), np.uint8)


def lively(number: int) -> Frame:
    """A picture with something in it, and a sensor's noise."""
    grains = np.random.default_rng(number).integers(0, 12, (48, 64, 3)).astype(np.uint8)
    return np.asarray(np.linspace(30, 200, 64, dtype=np.uint8)[None, :, None] + grains, np.uint8)


def level(luma: int) -> Callable[[int], Frame]:
    def picture(number: int) -> Frame:
        grains = np.random.default_rng(number).integers(-2, 3, (48, 64, 3))
        return np.clip(luma + grains, 0, 255).astype(np.uint8)

    return picture


def stuck(number: int) -> Frame:
    return lively(0)


@pytest.mark.parametrize(
    ("fault", "picture"),
    [
        (CameraFault.BLACK, level(3)),
        (CameraFault.OVER_EXPOSED, level(254)),
        (CameraFault.BLOCKED, level(120)),
        (CameraFault.FROZEN, stuck),
    ],
)
def test_a_fault_is_named_once_it_has_lasted_and_is_over_with_the_first_good_picture(
    fault: CameraFault, picture: Callable[[int], Frame]
) -> None:
    judge = PictureJudge()
    assert {judge.take(lively(number), number / 30) for number in range(60)} == {None}
    found = [judge.take(picture(number), number / 30) for number in range(60, 260)]
    first = found.index(fault)
    assert set(found[:first]) == {None}
    assert set(found[first:]) == {fault}
    assert LASTS_S[fault] <= (first + 1) / 30 <= LASTS_S[fault] + 0.1
    assert judge.take(lively(999), 999 / 30) is None


def test_a_rider_in_black_before_the_lens_is_no_fault() -> None:
    judge = PictureJudge()
    found = [judge.take(level(3)(number), number / 30) for number in range(45)]
    found += [judge.take(lively(number), number / 30) for number in range(45, 60)]
    assert set(found) == {None}


def test_an_unplugged_camera_is_named_and_works_again_when_it_is_plugged_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gate.camera.LOST_AFTER_S", 0.3)
    plugged = threading.Event()
    plugged.set()

    def pictures() -> Iterator[Frame | None]:
        for number in count():
            yield lively(number) if plugged.is_set() else None

    camera = Camera("0")
    camera._open = lambda: Scripted(pictures()) if plugged.is_set() else None
    camera.start()
    try:
        assert camera.next(1.0) is not None
        plugged.clear()
        assert watched(camera, 1.0)[-1] is CameraFault.UNPLUGGED
        plugged.set()
        assert watched(camera, 1.5)[-1] is None
        assert camera.next(0.5) is not None
    finally:
        camera.stop()


def test_a_faulty_cameras_pictures_are_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is recognised by a picture that stands still."""
    monkeypatch.setitem(LASTS_S, CameraFault.FROZEN, 0.2)
    camera = Camera("0")
    camera._open = lambda: Scripted(stuck(number) for number in count())
    camera.start()
    try:
        watched(camera, 0.6)
        assert camera.fault is CameraFault.FROZEN
        assert camera.next(0.3) is None
    finally:
        camera.stop()


def marked() -> Frame:
    """A picture (BGR) with a white upper left corner."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:10, :10] = 255
    return picture


@pytest.mark.parametrize(
    ("rotation", "shape", "corner"),
    [
        (0, (40, 60), (0, 0)),
        (90, (60, 40), (0, -1)),
        (180, (40, 60), (-1, -1)),
        (270, (60, 40), (-1, 0)),
    ],
)
def test_a_camera_may_hang_any_way_round(
    rotation: int, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    frame = Mount(rotation).upright(marked())
    assert frame.shape[:2] == shape
    assert frame[corner].tolist() == [255, 255, 255]
    assert frame.flags.c_contiguous


def test_only_the_region_is_looked_at() -> None:
    assert Mount(0, (0.0, 0.0, 0.5, 0.25)).upright(marked()).shape == (10, 30, 3)
    turned = Mount(90, (0.75, 0.0, 1.0, 0.25)).upright(marked())
    assert turned.shape == (15, 10, 3)
    assert turned[0, -1].tolist() == [255, 255, 255], "the region is of the upright picture"


def test_a_clip_played_in_real_time_loses_what_a_slow_gate_has_no_time_for(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48)
    )
    for number in range(45):
        writer.write(lively(number))
    writer.release()
    played = PlayedClip(tmp_path / "clip.mp4")
    camera = Camera.playing(played)
    camera.start()
    started, ages, seen = time.monotonic(), [], 0
    while not camera.ended:
        timed = camera.next(0.5)
        if timed is not None:
            ages.append(time.monotonic() - timed.at_s)
            seen += 1
            time.sleep(0.1)
    camera.stop()
    assert 1.4 <= time.monotonic() - started <= 3.0
    assert 8 <= seen <= 16
    assert seen + camera.replaced + camera.too_old in range(40, 46)
    assert max(ages) <= FRAME_AGE_S_MAX


def test_a_clip_to_be_played_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="there is no clip at"):
        PlayedClip(tmp_path / "none.mp4")


@pytest.mark.parametrize("fails", ["when it is opened", "while it is read"])
def test_whatever_goes_wrong_with_a_camera_it_is_named_and_tried_again(
    fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gate.camera.LOST_AFTER_S", 0.3)
    broken = threading.Event()
    broken.set()

    def pictures() -> Iterator[Frame | None]:
        for number in count():
            if broken.is_set():
                raise ValueError("a driver of an unknown kind")
            yield lively(number)

    def opened() -> Scripted:
        if broken.is_set() and fails == "when it is opened":
            raise OSError("a driver of an unknown kind")
        return Scripted(pictures())

    camera = Camera("0")
    camera._open = opened
    camera.start()
    try:
        assert watched(camera, 1.0)[-1] is CameraFault.UNPLUGGED
        broken.clear()
        assert camera.next(3.0) is not None
        assert camera.fault is None
    finally:
        camera.stop()
    assert "cannot be read: a driver of an unknown kind" in caplog.text
