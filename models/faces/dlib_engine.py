"""The default engine ``dlib-resnet-1``: face_recognition's own parts, its network through ONNX.

Detector (HOG), landmarks (68 points) and weights are those of ``face_recognition``. Only
the multiplication is done elsewhere: ``dlib_weights`` rebuilds the network as an ONNX
graph, which onnxruntime runs a dozen times faster on one core. At load the two are
compared on the same chips; if they ever disagree, the reference is used instead.

A face is embedded from four views: cropped as face_recognition crops it, the same mirrored,
cropped tighter and mirrored, and aligned on five points in place of 68. Their normalised
mean misses fewer riders than any one of them (docs/calibration.md has what each is worth).
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from models.faces.dlib_weights import CHIP_SIZE, build_onnx, read_parameters
from models.faces.engine import Box, Embeddings, Face, Frame, around, as_frame, unit_rows
from models.faces.errors import EngineUnavailable, ModelFileError
from models.faces.runtime import open_session

ENGINE_ID = "dlib-resnet-1"
DIMENSIONS = 128

PARITY_L2_MAX = 1e-4
"""How far onnxruntime may be from dlib's own embedding of the same chip."""

CHIP_PADDING = 0.25
"""Room around the face as face_recognition leaves it, and as the network was trained."""

TIGHT_PADDING = 0.15

FRAME_SIDE_MIN = 40  # smaller than any face the detector can see
THOROUGH_SIDE_MAX = 1600  # above it, upsampling needs more memory than it is worth

Chips = npt.NDArray[np.uint8]
Embedder = Callable[[Chips], npt.NDArray[np.float32]]

log = logging.getLogger(__name__)


def import_face_recognition() -> Any:
    """Import ``face_recognition`` and return its ``api`` module.

    Without ``pkg_resources`` the package prints a hint and *ends the process with code 0*,
    which a supervisor would take for success. Raises ``EngineUnavailable`` instead.
    """
    truncated_allowed = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
            return importlib.import_module("face_recognition.api")
    except (ImportError, SystemExit) as error:
        raise EngineUnavailable(
            "face_recognition cannot be loaded: its models package needs pkg_resources; "
            "install 'setuptools<81' and face_recognition_models, or run scripts/install"
        ) from error
    finally:
        # The package lets Pillow decode half a photo as if it were whole, for everybody.
        ImageFile.LOAD_TRUNCATED_IMAGES = truncated_allowed


class DlibEngine:
    """See ``models.faces.engine.Engine``; ``detect_side_max`` bounds the searched picture in px."""

    engine_id = ENGINE_ID
    dimensions = DIMENSIONS

    def __init__(self, api: Any, embedder: Embedder, detect_side_max: int) -> None:
        self._dlib = api.dlib
        self._detector = api.face_detector
        self._landmarks = api.pose_predictor_68_point
        self._five_points = api.pose_predictor_5_point
        self._embedder = embedder
        self._detect_side_max = detect_side_max

    @classmethod
    def load(cls, detect_side_max: int = 1280) -> DlibEngine:
        """Load the models (about half a second) and test them on themselves."""
        api = import_face_recognition()
        return cls(api, _tested_embedder(api), detect_side_max)

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        """Every face, best detector score first. Boxes are in pixels of ``frame``."""
        frame = as_frame(frame)
        if min(frame.shape[:2]) < FRAME_SIDE_MIN:
            return []
        scale = min(1.0, self._detect_side_max / max(frame.shape[:2]))
        found = self._detect(_shrunk(frame, scale), thorough)
        return [self._face(frame, rectangle, scale, score) for score, rectangle in found]

    def find_near(self, frame: Frame, face: Face) -> list[Face]:
        """The faces around where ``face`` was; a fifth of a search's time."""
        frame = as_frame(frame)
        rows, columns = around(frame, face.box)
        piece = np.ascontiguousarray(frame[rows, columns])
        if min(piece.shape[:2]) < FRAME_SIDE_MIN:
            return []
        scale = min(1.0, self._detect_side_max / max(frame.shape[:2]))
        found = self._detect(_shrunk(piece, scale), thorough=False)
        faces = [self._face(piece, rectangle, scale, score) for score, rectangle in found]
        return [face.moved(columns.start, rows.start) for face in faces]

    def _detect(self, searched: Frame, thorough: bool) -> list[tuple[float, Any]]:
        """(score, rectangle), best first.

        On grey the detector needs a quarter less time than on colour. On 1,194 LFW pictures
        it finds a face in 1,180 of them instead of 1,188, so a photograph without a face is
        looked at again in colour, and then enlarged.
        """
        grey = cv2.cvtColor(searched, cv2.COLOR_RGB2GRAY)
        rectangles, scores, _ = self._detector.run(grey, 0, 0.0)
        if thorough and not rectangles:
            rectangles, scores, _ = self._detector.run(np.ascontiguousarray(searched), 0, 0.0)
        if thorough and not rectangles and max(searched.shape[:2]) <= THOROUGH_SIDE_MAX:
            rectangles, scores, _ = self._detector.run(np.ascontiguousarray(searched), 1, 0.0)
        pairs = zip(scores, rectangles, strict=True)
        return sorted(pairs, key=lambda pair: -pair[0])

    def _face(self, frame: Frame, rectangle: Any, scale: float, score: float) -> Face:
        sides = (rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom())
        left, top, right, bottom = (round(side / scale) for side in sides)
        shape = self._landmarks(frame, self._dlib.rectangle(left, top, right, bottom))
        points = np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float32)
        return Face(Box(left, top, right, bottom), points, float(score))

    def follow(self, frame: Frame, face: Face) -> Face:
        """The same face in a frame shortly after; a thirtieth of a search's time."""
        box = face.box
        rectangle = self._dlib.rectangle(box.left, box.top, box.right, box.bottom)
        return self._face(as_frame(frame), rectangle, 1.0, face.score)

    def embed(self, frame: Frame, faces: list[Face]) -> Embeddings:
        """Return (n, 128) float32 rows of unit length, each the mean over the four views.

        One call of the network a face: more at once are no faster, and only take memory.
        """
        frame = as_frame(frame)
        means = np.empty((len(faces), DIMENSIONS), dtype=np.float32)
        for row, face in enumerate(faces):
            means[row] = unit_rows(self._embedder(self._views(frame, face))).mean(axis=0)
        return unit_rows(means)

    def _views(self, frame: Frame, face: Face) -> Chips:
        """(4, 150, 150, 3). Of the two further crops one is mirrored: both ways gain nothing."""
        plain = self.chip(frame, face)
        outline = self._outline(face)
        tight: Chips = self._dlib.get_face_chip(frame, outline, CHIP_SIZE, TIGHT_PADDING)
        five = self._five_points(frame, outline.rect)
        upright: Chips = self._dlib.get_face_chip(frame, five, CHIP_SIZE, CHIP_PADDING)
        return np.stack([plain, plain[:, ::-1], tight[:, ::-1], upright])

    def chip(self, frame: Frame, face: Face) -> Chips:
        """The aligned face as face_recognition's network reads it: (150, 150, 3) RGB."""
        chip: Chips = self._dlib.get_face_chip(frame, self._outline(face), CHIP_SIZE, CHIP_PADDING)
        return chip

    def _outline(self, face: Face) -> Any:
        """The box and the 68 points of ``face`` as dlib takes them."""
        box = face.box
        return self._dlib.full_object_detection(
            self._dlib.rectangle(box.left, box.top, box.right, box.bottom),
            [self._dlib.point(round(float(x)), round(float(y))) for x, y in face.landmarks],
        )


def _shrunk(frame: Frame, scale: float) -> Frame:
    if scale == 1.0:
        return frame
    smaller = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, dtype=np.uint8)


def reference_embedder(api: Any) -> Embedder:
    """dlib's own network as the prebuilt wheel runs it: (n, 150, 150, 3) to (n, 128)."""

    def embed(chips: Chips) -> npt.NDArray[np.float32]:
        contiguous = (np.ascontiguousarray(chip) for chip in chips)
        rows = [np.array(api.face_encoder.compute_face_descriptor(chip)) for chip in contiguous]
        return np.array(rows, dtype=np.float32)

    return embed


def onnx_embedder(weights: Path) -> Embedder:
    """The same network through onnxruntime on one thread; raises ``ModelFileError``."""
    session = open_session(build_onnx(read_parameters(weights)))

    def embed(chips: Chips) -> npt.NDArray[np.float32]:
        tensor = np.ascontiguousarray(chips.transpose(0, 3, 1, 2), dtype=np.float32)
        rows: npt.NDArray[np.float32] = session.run(None, {"chips": tensor})[0]
        return rows

    return embed


def _tested_embedder(api: Any) -> Embedder:
    """The fast embedder if it agrees with the reference on made-up chips, else the reference."""
    reference = reference_embedder(api)
    try:
        fast = onnx_embedder(Path(api.face_recognition_model))
    except (ModelFileError, ImportError) as error:
        log.warning("embedding with face_recognition itself, a dozen times slower: %s", error)
        return reference
    chips = np.random.default_rng(0).integers(0, 256, (2, CHIP_SIZE, CHIP_SIZE, 3), np.uint8)
    distance = float(np.linalg.norm(fast(chips) - reference(chips), axis=1).max())
    if distance > PARITY_L2_MAX:
        log.warning("embedding with face_recognition itself: the fast copy is %.1e off", distance)
        return reference
    return fast
