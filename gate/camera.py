"""Where frames come from: a clip, a folder of pictures, or a camera.

A clip is read frame by frame, at its own times. A camera is read by a thread that keeps
only the newest frame: a gate that falls behind must look at the rider who is there now,
not at the one of two seconds ago. Frames are RGB and contiguous.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from gate.errors import CameraError
from models.faces.engine import Frame

FRAME_AGE_S_MAX = 0.25
RECONNECT_S_MIN = 0.5
RECONNECT_S_MAX = 10.0
FOLDER_FPS = 5.0
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame and when it was taken, in seconds from the source's own start."""

    frame: Frame
    at_s: float


def recorded(source: Path) -> Iterator[TimedFrame]:
    """Every frame of a clip, or every picture of a folder in the order of their names.

    Raises ``CameraError`` where there is none.
    """
    if source.is_dir():
        return _folder(source)
    if not source.is_file():
        raise CameraError(f"there is no clip or picture folder at {source}; check the path")
    return _clip(source)


def _clip(path: Path) -> Iterator[TimedFrame]:
    capture = cv2.VideoCapture(str(path))
    try:
        fps = capture.get(cv2.CAP_PROP_FPS) or 30.0
        number = 0
        while True:
            good, picture = capture.read()
            if not good:
                break
            yield TimedFrame(_rgb(picture), number / fps)
            number += 1
        if number == 0:
            raise CameraError(f"{path} holds no pictures that can be read; is it a video file?")
    finally:
        capture.release()


def _folder(path: Path) -> Iterator[TimedFrame]:
    pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise CameraError(f"the folder {path} holds no pictures")
    for number, file in enumerate(pictures):
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise CameraError(f"{file} is not a picture that can be read")
        yield TimedFrame(_rgb(picture), number / FOLDER_FPS)


def _rgb(picture: cv2.typing.MatLike) -> Frame:
    return np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _without_password(source: str) -> str:
    """The source as it may stand in a log: a camera's address often carries its password."""
    parts = urlsplit(source)
    if "@" not in parts.netloc:
        return source
    return urlunsplit(parts._replace(netloc="…@" + parts.netloc.rpartition("@")[2]))


class Camera:
    """The newest frame of a camera, read by a thread that reconnects by itself.

    ``source`` is a device number or an address (rtsp://, http://).
    """

    def __init__(self, source: str) -> None:
        self._source: int | str = int(source) if source.isdigit() else source
        self._name = _without_password(source)
        self._newest: TimedFrame | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def start(self) -> None:
        """Open the camera; raise ``CameraError`` if it gives no picture at all."""
        capture = self._open()
        if capture is None:
            raise CameraError(
                f"the camera {self._name} gives no picture; check the cable, the address "
                "and whether another program uses it"
            )
        capture.release()
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def frames(self) -> Iterator[TimedFrame]:
        """Each newest frame once; frames older than 250 ms are passed over."""
        last: TimedFrame | None = None
        while not self._stop.is_set():
            with self._changed:
                if self._newest is last:
                    self._changed.wait(0.5)
                newest = self._newest
            if newest is None or newest is last:
                continue
            last = newest
            if time.monotonic() - newest.at_s <= FRAME_AGE_S_MAX:
                yield newest

    def _open(self) -> cv2.VideoCapture | None:
        capture = cv2.VideoCapture(self._source)
        if capture.isOpened() and capture.read()[0]:
            return capture
        capture.release()
        return None

    def _read(self) -> None:
        pause_s = RECONNECT_S_MIN
        while not self._stop.is_set():
            capture = self._open()
            if capture is None:
                log.warning("the camera %s does not answer", self._name)
                self._stop.wait(pause_s)
                pause_s = min(RECONNECT_S_MAX, pause_s * 2)
                continue
            pause_s = RECONNECT_S_MIN
            try:
                self._read_until_lost(capture)
            except cv2.error as error:
                # One picture that cannot be converted must not end the reader for good.
                log.warning(
                    "the camera %s gave a picture that cannot be read: %s", self._name, error
                )
            self._stop.wait(RECONNECT_S_MIN)  # a camera that gives up at once is not hammered

    def _read_until_lost(self, capture: cv2.VideoCapture) -> None:
        try:
            while not self._stop.is_set():
                good, picture = capture.read()
                if not good:
                    return
                frame = TimedFrame(_rgb(picture), time.monotonic())
                with self._changed:
                    self._newest = frame
                    self._changed.notify_all()
        finally:
            capture.release()
