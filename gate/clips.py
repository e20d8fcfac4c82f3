"""Frames that were recorded: a clip, or a folder of pictures.

A clip is read frame by frame, at its own times; or it is played like a camera, in real time,
and then loses the frames for which a gate has no time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from gate.errors import CameraError
from gate.frames import STRAIGHT, Mount, TimedFrame

FOLDER_FPS = 5.0
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


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
