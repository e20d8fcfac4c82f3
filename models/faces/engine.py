"""What an engine is: it finds faces in a frame and turns each into an embedding.

An engine has an id and a version in one word (``dlib-resnet-1``). A template always
carries it: embeddings of two engines cannot be compared, and are never tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.faces.errors import FrameError

Frame = npt.NDArray[np.uint8]
"""A picture: (rows, columns, 3), RGB, contiguous."""

Embeddings = npt.NDArray[np.float32]
"""(n, dimensions), each row of unit length."""


NEAR = 0.4
"""How far around a face it is searched for again, in widths of it. Of 251 faces that walk up to a
gate none is missed there a frame later; a larger piece takes longer and finds no more."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the frame; it may reach beyond the frame's border."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.width * self.height + other.width * other.height - shared)


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face: ``landmarks`` is (68, 2) in pixels, ``score`` the detector's own."""

    box: Box
    landmarks: npt.NDArray[np.float32]
    score: float

    def moved(self, right: int, down: int) -> Face:
        """The face found in a piece of a frame, whose corner lies so far right and down in it."""
        box = self.box
        there = Box(box.left + right, box.top + down, box.right + right, box.bottom + down)
        return Face(there, self.landmarks + np.array([right, down], np.float32), self.score)


def around(frame: Frame, box: Box) -> tuple[slice, slice]:
    """Rows and columns of ``frame`` where the face of ``box`` still is in the next moment."""
    rows, columns = frame.shape[:2]
    across, down = round(box.width * NEAR), round(box.height * NEAR)
    return (
        slice(max(0, box.top - down), min(rows, box.bottom + down)),
        slice(max(0, box.left - across), min(columns, box.right + across)),
    )


class Engine(Protocol):
    """A detector, an aligner and an embedder that belong together."""

    @property
    def engine_id(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        """Return every face of ``frame``, best detector score first.

        ``thorough`` takes several times as long and finds smaller faces: for photographs,
        not for a stream. Raises ``FrameError`` for anything that is not a picture.
        """
        ...

    def find_near(self, frame: Frame, face: Face) -> list[Face]:
        """The faces where ``face`` was shortly before: ``find`` for a part of its time."""
        ...

    def follow(self, frame: Frame, face: Face) -> Face:
        """``face`` in a frame shortly after it was found: the same box, landmarks anew."""
        ...

    def embed(self, frame: Frame, faces: list[Face]) -> Embeddings:
        """Return the embedding of each face, the mean over its views, of unit length."""
        ...


def as_frame(picture: npt.NDArray[np.generic]) -> Frame:
    """Check that ``picture`` is a frame and return it contiguous.

    dlib's detector reads a reversed or cropped numpy view after its memory is gone and
    silently finds nothing, or garbage; every picture passes through here first.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise FrameError(
            "a frame has three channels (RGB) of 8 bits, rows × columns × 3; this one is "
            f"{picture.dtype} with shape {picture.shape}"
        )
    return np.ascontiguousarray(picture, dtype=np.uint8)


def unit_rows(rows: npt.NDArray[np.float32]) -> Embeddings:
    """Scale every row to length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)
