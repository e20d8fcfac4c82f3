"""The slot ``onnx:<name>``: YuNet finds the faces, any embedder described by a card compares them.

YuNet's boxes are not those of dlib's detector; they are refitted so that dlib's landmarks,
and with them the one quality code, work on both. The face is aligned on five points to
the square the embedder reads. Both weights files are checked against their cards at every
load, and the embedder is tested on made-up faces: a broken or quantised-to-death model
that maps everybody to one vector is refused before it can match anybody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.cards import CardError, DetectorCard, EmbedderCard, check_file
from models.faces.dlib_engine import import_face_recognition
from models.faces.engine import Box, Embeddings, Face, Frame, around, as_frame, unit_rows
from models.faces.errors import ModelFileError
from models.faces.runtime import open_session

SELF_TEST_COSINE_MAX = 0.98
"""Two made-up faces that an embedder puts closer than this are one vector to it."""

DETECT_SIDE_MAX_PX = 640  # YuNet is made for faces up to 300 px: larger frames are searched smaller
THOROUGH_SIDE_MAX_PX = 1280
FRAME_SIDE_MIN_PX = 16
FACES_MAX = 200

# YuNet's box to that of dlib's detector, in units of S = sqrt(width × height): the median
# over 19 stills on which both found the face.
_REFIT_CENTRE = (0.018, 0.057)
_REFIT_SIDE = 0.925

# Eyes, nose tip and mouth corners in a 112 px square, as ArcFace and SFace were trained.
_FIVE_POINTS = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ],
    dtype=np.float32,
)

Chips = npt.NDArray[np.uint8]


class OnnxEngine:
    """See ``models.faces.engine.Engine``."""

    def __init__(self, card: EmbedderCard, detector: Any, landmarks: Any, session: Any) -> None:
        self.engine_id = card.engine_id
        self.dimensions = card.dimensions
        self._card = card
        self._detector = detector
        self._dlib, self._landmarks = landmarks
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def load(cls, card: EmbedderCard, detector_card: DetectorCard, folder: Path) -> OnnxEngine:
        """Load both files from ``folder`` after checking them; then test the embedder.

        Raises ``ModelFileError`` for a file that is not its card's, or an embedder that
        cannot tell two faces apart.
        """
        check_file(detector_card, folder / detector_card.file)
        check_file(card, folder / card.file)
        detector = cv2.FaceDetectorYN.create(
            str(folder / detector_card.file),
            "",
            (320, 320),
            detector_card.score_min,
            0.3,
            FACES_MAX,
        )
        api = import_face_recognition()
        engine = cls(
            card,
            detector,
            (api.dlib, api.pose_predictor_68_point),
            open_session(folder / card.file),
        )
        engine._self_test()
        return engine

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        """Every face, best detector score first. Boxes are refitted to dlib's convention."""
        frame = as_frame(frame)
        if min(frame.shape[:2]) < FRAME_SIDE_MIN_PX:
            return []
        side_max = THOROUGH_SIDE_MAX_PX if thorough else DETECT_SIDE_MAX_PX
        scale = min(1.0, side_max / max(frame.shape[:2]))
        columns = max(1, round(frame.shape[1] * scale))
        rows = max(1, round(frame.shape[0] * scale))
        searched = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
        self._detector.setInputSize((columns, rows))
        _, found = self._detector.detect(cv2.cvtColor(searched, cv2.COLOR_RGB2BGR))
        if found is None:
            return []
        best_first = sorted(found, key=lambda row: -row[14])
        return [self._face(frame, row[:4] / scale, float(row[14])) for row in best_first]

    def _face(self, frame: Frame, box: npt.NDArray[np.float32], score: float) -> Face:
        left, top, width, height = (float(number) for number in box)
        size = float(np.sqrt(width * height))
        centre_x = left + width / 2 + _REFIT_CENTRE[0] * size
        centre_y = top + height / 2 + _REFIT_CENTRE[1] * size
        half = _REFIT_SIDE * size / 2
        refitted = Box(
            round(centre_x - half),
            round(centre_y - half),
            round(centre_x + half),
            round(centre_y + half),
        )
        return self._with_landmarks(frame, refitted, score)

    def find_near(self, frame: Frame, face: Face) -> list[Face]:
        """The faces around where ``face`` was."""
        rows, columns = around(frame, face.box)
        found = self.find(np.ascontiguousarray(frame[rows, columns]))
        return [near.moved(columns.start, rows.start) for near in found]

    def follow(self, frame: Frame, face: Face) -> Face:
        """The same face in a frame shortly after."""
        return self._with_landmarks(as_frame(frame), face.box, face.score)

    def _with_landmarks(self, frame: Frame, box: Box, score: float) -> Face:
        rectangle = self._dlib.rectangle(box.left, box.top, box.right, box.bottom)
        shape = self._landmarks(frame, rectangle)
        points = np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float32)
        return Face(box, points, score)

    def embed(self, frame: Frame, faces: list[Face]) -> Embeddings:
        """Return (n, dimensions) float32 rows of unit length, averaged with the mirror image's."""
        if not faces:
            return np.empty((0, self.dimensions), dtype=np.float32)
        frame = as_frame(frame)
        chips = np.stack([align(frame, face.landmarks, self._card.side_px) for face in faces])
        both = self._run(np.concatenate([chips, chips[:, :, ::-1]]))
        return unit_rows(both[: len(faces)] + both[len(faces) :])

    def _run(self, chips: Chips) -> Embeddings:
        pixels = chips if self._card.channels == "RGB" else chips[..., ::-1]
        tensor = (pixels.transpose(0, 3, 1, 2).astype(np.float32) - self._card.mean) * (
            self._card.scale
        )
        # One at a time: many published graphs have a fixed batch of one.
        rows = [
            self._session.run(None, {self._input: np.ascontiguousarray(tensor[n : n + 1])})[0]
            for n in range(len(tensor))
        ]
        return unit_rows(np.concatenate(rows).reshape(len(chips), -1).astype(np.float32))

    def _self_test(self) -> None:
        faces = np.stack([_made_up_face(self._card.side_px, seed) for seed in (1, 2)])
        try:
            rows = self._run(faces)
        except Exception as error:  # onnxruntime raises a family of its own
            raise ModelFileError(
                f"the embedder {self._card.name} cannot be run as its card says: {error}"
            ) from error
        if rows.shape[1] != self.dimensions:
            raise ModelFileError(
                f"the embedder {self._card.name} gives {rows.shape[1]} numbers, its card says "
                f"{self.dimensions}"
            )
        if not np.isfinite(rows).all() or float(rows[0] @ rows[1]) > SELF_TEST_COSINE_MAX:
            raise ModelFileError(
                f"the embedder {self._card.name} cannot tell two faces apart; it is broken or not "
                "an embedder, and nothing may be matched with it"
            )


def align(frame: Frame, landmarks: npt.NDArray[np.float32], side_px: int) -> Chips:
    """Turn, scale and move the face so that its five points lie where embedders expect them.

    ``landmarks``: (68, 2) pixels of ``frame``. Returns (side, side, 3) RGB.
    """
    five = np.stack(
        [
            landmarks[36:42].mean(axis=0),
            landmarks[42:48].mean(axis=0),
            landmarks[30],
            landmarks[48],
            landmarks[54],
        ]
    ).astype(np.float32)
    matrix, _ = cv2.estimateAffinePartial2D(
        five, _FIVE_POINTS * (side_px / 112.0), method=cv2.LMEDS
    )
    if matrix is None:  # landmarks that coincide: nothing to align, and nobody to recognise
        return np.zeros((side_px, side_px, 3), dtype=np.uint8)
    return np.asarray(cv2.warpAffine(frame, matrix, (side_px, side_px)), dtype=np.uint8)


def _made_up_face(side_px: int, seed: int) -> Chips:
    """A cartoon of a face: skin, eyes, nose and mouth of random size and place. Nobody's."""
    made = np.random.default_rng(seed)
    picture = np.full((112, 112, 3), made.integers(40, 200, 3), dtype=np.uint8)
    skin = tuple(int(tone) for tone in made.integers(90, 230, 3))
    cv2.ellipse(picture, (56, 60), tuple(made.integers(34, 52, 2).tolist()), 0, 0, 360, skin, -1)
    for x in (38, 74):
        eye = tuple(made.integers(3, 9, 2).tolist())
        cv2.ellipse(picture, (x, 52), eye, 0, 0, 360, (20, 20, 20), -1)
    cv2.line(picture, (56, 56), (56, int(made.integers(66, 78))), (80, 60, 60), 2)
    mouth = (int(made.integers(8, 20)), int(made.integers(2, 8)))
    cv2.ellipse(picture, (56, 92), mouth, 0, 0, 360, (120, 30, 40), -1)
    return np.asarray(cv2.resize(picture, (side_px, side_px)), dtype=np.uint8)


def find_engine_cards(
    name: str, cards: dict[str, DetectorCard | EmbedderCard]
) -> tuple[EmbedderCard, DetectorCard]:
    """The embedder's card called ``name`` and its detector's; raises ``CardError``."""
    card = cards.get(name)
    if not isinstance(card, EmbedderCard):
        known = ", ".join(n for n, c in cards.items() if isinstance(c, EmbedderCard))
        raise CardError(f"there is no embedder card {name!r}; there are: {known}")
    detector = cards.get(card.detector)
    if not isinstance(detector, DetectorCard):
        raise CardError(f"the card {name} names the detector {card.detector!r}, which has no card")
    return card, detector
