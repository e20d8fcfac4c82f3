"""The newest frame of a camera.

It is read by a thread that keeps only the newest frame: a gate that falls behind must look
at the rider who is there now, not at the one of two seconds ago. A camera that goes away is
tried again and again, and what is wrong with its pictures has a name.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import cv2

from gate.clips import PlayedClip
from gate.frames import STRAIGHT, Mount, TimedFrame
from gate.picture import CameraFault, PictureJudge

FRAME_AGE_S_MAX = 0.25
LOST_AFTER_S = 2.0
"""Without a picture for so long, the camera is taken for unplugged."""

RECONNECT_S_MIN = 0.5
RECONNECT_S_MAX = 10.0
ANSWER_MS_MAX = 5000

log = logging.getLogger(__name__)


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
            opened = False
            try:
                source = self._open()
                opened = source is not None
                if source is not None:
                    self._read_until_lost(source)
            except Exception as error:  # noqa: BLE001 - said below
                # Whatever it is, it must not end the reader for good: without pictures the
                # camera is soon taken for unplugged, and is tried again.
                log.warning("the camera %s cannot be read: %s", self.name, error)
            if self._ends:
                return
            # A camera that gives up at once is not hammered.
            self._stop.wait(RECONNECT_S_MIN if opened else pause_s)
            pause_s = RECONNECT_S_MIN if opened else min(RECONNECT_S_MAX, pause_s * 2)

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
