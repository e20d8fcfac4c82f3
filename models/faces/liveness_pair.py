"""The MiniFASNet pair of Silent-Face-Anti-Spoofing: does this look like a print or a screen?

Each of two small networks reads the face with some of its surroundings (2.7 and 4.0 times
the box), where paper edges, fingers and bezels show; the mean of their live shares counts.
They were trained on the boxes of another detector. dlib's box is mapped back to that kind
of box first: with dlib's own box one of eleven live clips falls from 0.90 to 0.34.

A clean still photograph that fills the camera's view looks alive to both: the gate has a
second check against those, and a desk has staff.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.cards import CardError, LivenessCard, check_file, find_liveness_cards
from models.faces.engine import Box, Frame
from models.faces.errors import ModelFileError
from models.faces.runtime import open_session

PAIR = ("minifasnet-v2", "minifasnet-v1se")

# dlib's box to one of the RetinaFace and YuNet kind, in units of S = its side / 0.925: the
# inverse of the refit in models.faces.onnx_engine, three parts wide to four high.
_REFIT_SIDE = 0.925
_REFIT_CENTRE = (0.018, 0.057)
_WIDE_BY_HIGH = 0.75

SELF_TEST_SPREAD_MIN = 1e-4
"""Two pictures as unlike as black and noise must not give the very same answer."""


class LivenessPair:
    """The networks of ``cards``, and the mean of what they say."""

    def __init__(self, networks: list[tuple[LivenessCard, Any]]) -> None:
        self._networks = networks

    @classmethod
    def load(cls, folder: Path) -> LivenessPair:
        """Load both files from ``folder``, check them against their cards, and test them.

        Raises ``ModelFileError`` or ``CardError`` in words.
        """
        cards = find_liveness_cards(folder)
        missing = [name for name in PAIR if name not in cards]
        if missing:
            raise CardError(f"there is no liveness card {missing[0]!r}; reinstall facefare")
        for name in PAIR:
            check_file(cards[name], folder / cards[name].file)
        networks = [(cards[name], open_session(folder / cards[name].file)) for name in PAIR]
        pair = cls(networks)
        pair._self_test()
        return pair

    def live_share(self, frame: Frame, box: Box) -> float:
        """0 to 1, 1 is live, for the face in dlib's ``box`` of an RGB ``frame``."""
        shares = [
            _share(card, session, enlarged_crop(frame, box, card.crop_scale, card.side_px))
            for card, session in self._networks
        ]
        return float(np.mean(shares))

    def _self_test(self) -> None:
        noise = np.random.default_rng(0)
        for card, session in self._networks:
            side = card.side_px
            black = np.zeros((side, side, 3), dtype=np.uint8)
            grains = noise.integers(0, 256, (side, side, 3)).astype(np.uint8)
            shares = [_share(card, session, picture) for picture in (black, grains)]
            if not np.isfinite(shares).all() or abs(shares[0] - shares[1]) < SELF_TEST_SPREAD_MIN:
                raise ModelFileError(
                    f"the liveness network {card.name} gives the same answer to a black picture "
                    "and to noise; it is broken, and no door may depend on it"
                )


def _share(card: LivenessCard, session: Any, crop: npt.NDArray[np.uint8]) -> float:
    """The softmax of the live class for one RGB crop."""
    tensor = crop[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    name = session.get_inputs()[0].name
    try:
        logits = np.asarray(session.run(None, {name: np.ascontiguousarray(tensor)})[0])
    except Exception as error:  # onnxruntime raises a family of its own
        raise ModelFileError(
            f"the liveness network {card.name} cannot be run as its card says: {error}"
        ) from error
    if logits.shape != (1, card.classes) or card.live_class >= card.classes:
        raise ModelFileError(
            f"the liveness network {card.name} gives an answer of shape {logits.shape}, its card "
            f"says {card.classes} classes of which number {card.live_class} is live"
        )
    powers = np.exp(logits[0] - logits[0].max())
    return float(powers[card.live_class] / powers.sum())


def enlarged_crop(frame: Frame, box: Box, scale: float, side_px: int) -> npt.NDArray[np.uint8]:
    """The face's surroundings as the networks were trained: (side, side, 3).

    The box grows ``scale`` times about its middle, less where the picture is smaller, and is
    pushed back inside where it reaches beyond a border. The result is squeezed to a square.
    """
    rows, columns = frame.shape[:2]
    size = box.width / _REFIT_SIDE
    width, height = size * np.sqrt(_WIDE_BY_HIGH), size / np.sqrt(_WIDE_BY_HIGH)
    scale = min((rows - 1) / height, (columns - 1) / width, scale)
    width, height = width * scale, height * scale
    left = (box.left + box.right) / 2 - _REFIT_CENTRE[0] * size - width / 2
    top = (box.top + box.bottom) / 2 - _REFIT_CENTRE[1] * size - height / 2
    left = min(max(left, 0.0), columns - 1 - width)
    top = min(max(top, 0.0), rows - 1 - height)
    x, y = max(0, int(left)), max(0, int(top))
    inside = frame[y : int(top + height) + 1, x : int(left + width) + 1]
    return np.asarray(cv2.resize(np.ascontiguousarray(inside), (side_px, side_px)), dtype=np.uint8)
