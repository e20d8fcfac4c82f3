"""A camera for Chromium that shows what a test wants it to see."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser

from models.faces.engine import Frame
from tests.conftest import CHROMIUM_FLAGS, chromium

SIDE = (640, 480)


def with_camera(browser: Browser, clip: Path, *, allowed: bool = True) -> Browser:
    """Another Chromium whose camera plays ``clip`` in a loop; not ``allowed`` asks nobody."""
    flags = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={clip}"]
    if allowed:
        flags.append("--use-fake-ui-for-media-stream")
    return browser.browser_type.launch(executable_path=chromium(), args=[*CHROMIUM_FLAGS, *flags])


def on_canvas(frame: Frame) -> Frame:
    """The frame as a webcam of the desk would see it: 640 by 480, the face in the middle."""
    height, width = frame.shape[:2]
    scale = min(SIDE[0] / width, SIDE[1] / height)
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((SIDE[1], SIDE[0], 3), 110, dtype=np.uint8)
    top, left = (SIDE[1] - small.shape[0]) // 2, (SIDE[0] - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def write_camera(frames: list[Frame], path: Path, fps: int = 30) -> None:
    """A Y4M file, which Chromium plays in a loop for its camera."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIDE[0]} H{SIDE[1]} F{fps}:1 Ip A1:1 C420\n".encode())
        for frame in frames:
            planes = cv2.cvtColor(on_canvas(frame), cv2.COLOR_RGB2YUV_I420)
            file.write(b"FRAME\n" + planes.tobytes())
