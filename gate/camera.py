"""Where frames come from: a clip, a folder of pictures, or a camera.

A clip is read frame by frame, at its own times. A camera is read by a thread that keeps
only the newest frame: a gate that falls behind must look at the rider who is there now,
not at the one of two seconds ago. A clip can also be played like a camera, and loses the
same frames. Frames are RGB and contiguous, upright, and cut to the region that is looked at.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from gate.errors import CameraError
from gate.picture import CameraFault, PictureJudge
from models.faces.engine import Frame

FRAME_AGE_S_MAX = 0.25
LOST_AFTER_S = 2.0
"""Without a picture for so long, the camera is taken for unplugged."""

RECONNECT_S_MIN = 0.5
RECONNECT_S_MAX = 10.0
ANSWER_MS_MAX = 5000
FOLDER_FPS = 5.0
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}

_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame and when it was taken, in seconds from the source's own start."""

    frame: Frame
    at_s: float


@dataclass(frozen=True, slots=True)
class Mount:
    """How the camera hangs: ``rotation`` in degrees clockwise makes its picture upright.

    ``region`` is the part of the upright picture that is looked at, as shares of it: left,
    top, right, bottom.
    """

    rotation: int = 0
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def upright(self, picture: cv2.typing.MatLike) -> Frame:
        """The frame the gate looks at, from the camera's BGR ``picture``."""
        if self.rotation:
            picture = cv2.rotate(picture, _TURNS[self.rotation])
        rows, columns = picture.shape[:2]
        left, top, right, bottom = self.region
        inside = picture[
            round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)
        ]
        return np.ascontiguousarray(cv2.cvtColor(inside, cv2.COLOR_BGR2RGB), dtype=np.uint8)


STRAIGHT = Mount()


def recorded(source: Path, mount: Mount = STRAIGHT) -> Iterator[TimedFrame]:
    """Every frame of a clip, or every picture of a folder in the order of their names.

    Raises ``CameraError`` where there is none.
    """
    if source.is_dir():
        return _folder(source, mount)
    if not source.is_file():
        raise CameraError(f"there is no clip or picture folder at {source}; check the path")
    return _clip(source, mount)


def _clip(path: Path, mount: Mount) -> Iterator[TimedFrame]:
    capture = cv2.VideoCapture(str(path))
    try:
        fps = capture.get(cv2.CAP_PROP_FPS) or 30.0
        number = 0
        while True:
            good, picture = capture.read()
            if not good:
                break
            yield TimedFrame(mount.upright(picture), number / fps)
            number += 1
        if number == 0:
            raise CameraError(f"{path} holds no pictures that can be read; is it a video file?")
    finally:
        capture.release()


def _folder(path: Path, mount: Mount) -> Iterator[TimedFrame]:
    pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise CameraError(f"the folder {path} holds no pictures")
    for number, file in enumerate(pictures):
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise CameraError(f"{file} is not a picture that can be read")
        yield TimedFrame(mount.upright(picture), number / FOLDER_FPS)


def _without_password(source: str) -> str:
    """The source as it may stand in a log: a camera's address often carries its password."""
    parts = urlsplit(source)
    if "@" not in parts.netloc:
        return source
    return urlunsplit(parts._replace(netloc="…@" + parts.netloc.rpartition("@")[2]))


class Source(Protocol):
    """What gives pictures one after another: a ``cv2.VideoCapture``, or a clip in its own time."""

    def read(self) -> tuple[bool, cv2.typing.MatLike]: ...

    def release(self) -> None: ...


class PlayedClip:
    """Gives a clip's frames to the reader when a camera would have taken them.

    ``began_s`` is when the clip's first frame was due, in seconds of ``monotonic``.
    """

    def __init__(self, path: Path, from_s: float = 0.0, to_s: float = float("inf")) -> None:
        if not path.is_file():
            raise CameraError(f"there is no clip at {path}; check the path")
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        self._fps = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self._number = 0
        self._to_s = to_s
        self.began_s: float | None = None
        self._skip_to(from_s)

    def read(self) -> tuple[bool, cv2.typing.MatLike]:
        """Decode the next frame and wait for its moment, as a camera does for the light."""
        if self._number / self._fps >= self._to_s:
            return False, _NO_PICTURE
        good, picture = self._capture.read()
        if self.began_s is None:
            self.began_s = time.monotonic() - self._number / self._fps
        due_s = self.began_s + self._number / self._fps
        self._number += 1
        time.sleep(max(0.0, due_s - time.monotonic()))
        return good, picture

    def release(self) -> None:
        self._capture.release()

    def _skip_to(self, from_s: float) -> None:
        while self._number / self._fps < from_s and self._capture.grab():
            self._number += 1


_NO_PICTURE = np.zeros((1, 1, 3), dtype=np.uint8)


class Camera:
    """The newest frame of a camera, read by a thread that reconnects by itself.

    ``source`` is a device number or an address (rtsp://, http://). ``fault`` says by name
    what is wrong with its pictures.
    """

    def __init__(self, source: str, mount: Mount = STRAIGHT) -> None:
        self.name = _without_password(source)
        self.fault: CameraFault | None = None
        self.replaced = 0  # frames that a newer one replaced before the gate was ready
        self.too_old = 0  # frames that were older than 250 ms when the gate was ready
        self._open: Callable[[], Source | None] = lambda: _opened(source)
        self._ends = False
        self._mount = mount
        self._judge = PictureJudge()
        self._newest: TimedFrame | None = None
        self._taken: TimedFrame | None = None
        self._last_s = time.monotonic()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    @classmethod
    def playing(cls, clip: PlayedClip, mount: Mount = STRAIGHT) -> Camera:
        """The clip as a camera: in its own time, and once."""
        camera = cls(str(clip.path), mount)
        camera._open = lambda: clip
        camera._ends = True
        return camera

    def start(self) -> None:
        """Begin to read; a camera that is not there is tried again and again."""
        self._last_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_MS_MAX / 1000 + 1)

    @property
    def ended(self) -> bool:
        """A played clip is over and its last frame was taken."""
        return self._stop.is_set() or (self._ends and not self._thread.is_alive())

    def next(self, wait_s: float) -> TimedFrame | None:
        """The newest frame, once; None where no fresh one comes within ``wait_s``.

        A frame that a faulty camera gives is not handed out: nobody may be recognised, nor
        found to be living, by a picture of some time ago.
        """
        with self._changed:
            if self._newest is self._taken:
                self._changed.wait(wait_s)
            newest = self._newest
        now_s = time.monotonic()
        if newest is None or newest is self._taken:
            lost = now_s - self._last_s >= LOST_AFTER_S and not self._ends
            self.fault = CameraFault.UNPLUGGED if lost else self.fault
            return None
        self._taken, self._last_s = newest, newest.at_s
        self.fault = self._judge.take(newest.frame, newest.at_s)
        if now_s - newest.at_s > FRAME_AGE_S_MAX:
            self.too_old += 1
            return None
        return None if self.fault else newest

    def frames(self) -> Iterator[TimedFrame]:
        """Each newest frame once, until the camera is stopped or its clip is over."""
        while not self.ended:
            timed = self.next(0.5)
            if timed is not None:
                yield timed

    def _read(self) -> None:
        pause_s = RECONNECT_S_MIN
        while not self._stop.is_set():
            source = self._open()
            if source is None:
                self._stop.wait(pause_s)
                pause_s = min(RECONNECT_S_MAX, pause_s * 2)
                continue
            pause_s = RECONNECT_S_MIN
            try:
                self._read_until_lost(source)
            except cv2.error as error:
                # One picture that cannot be converted must not end the reader for good.
                log.warning(
                    "the camera %s gave a picture that cannot be read: %s", self.name, error
                )
            if self._ends:
                return
            self._stop.wait(RECONNECT_S_MIN)  # a camera that gives up at once is not hammered

    def _read_until_lost(self, source: Source) -> None:
        try:
            while not self._stop.is_set():
                good, picture = source.read()
                if not good:
                    return
                frame = TimedFrame(self._mount.upright(picture), time.monotonic())
                with self._changed:
                    self.replaced += self._newest is not self._taken
                    self._newest = frame
                    self._changed.notify_all()
        finally:
            source.release()


def _opened(source: str) -> Source | None:
    """The camera, if it gives a picture."""
    if source.isdigit():
        capture = cv2.VideoCapture(int(source))
    else:
        # Without limits a dead address holds the reader for half a minute.
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, ANSWER_MS_MAX]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, ANSWER_MS_MAX]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if capture.isOpened() and capture.read()[0]:
        return capture
    capture.release()
    return None
