"""Read a folder of pictures by person into embeddings by person.

    DIR/anna/1.jpg  DIR/anna/2.png  DIR/bo/a.jpg  ...

The face nearest to the middle of a picture is taken as the person's; a picture without a
face, or that cannot be read, is left out and counted. Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.engine import Engine, Face, Frame
from models.faces.errors import FaceError
from models.faces.open_set import Faces
from models.faces.scoring import Vectors

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

OnPicture = Callable[[int, int], None]
"""Called with the number of pictures done and the number of all."""


class PicturesRefused(FaceError):
    """A folder that holds no pictures by person."""


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """``faces`` by person; ``pictures`` were read, ``without_face`` of them were of no use."""

    faces: Faces
    pictures: int
    without_face: int


def list_pictures(directory: Path, leave_out: Collection[str] = ()) -> list[Path]:
    """The pictures of ``directory`` in a fixed order, without those named ``person/file``.

    Raises ``PicturesRefused`` where there is none.
    """
    found = sorted(
        path
        for path in directory.glob("*/*")
        if path.suffix.lower() in SUFFIXES and f"{path.parent.name}/{path.name}" not in leave_out
    )
    if not found:
        raise PicturesRefused(
            f"{directory} holds no pictures by person; "
            "make one folder a person with the pictures inside (JPEG, PNG, BMP or WebP)"
        )
    return found


def read_people(
    pictures: list[Path], engine: Engine, on_picture: OnPicture = lambda done, total: None
) -> People:
    """Embed the person of every picture; the folder a picture lies in names the person."""
    rows: dict[str, list[Vectors]] = {}
    missing = 0
    for done, path in enumerate(pictures, 1):
        embedding = _embed_person(path, engine)
        if embedding is None:
            missing += 1
        else:
            rows.setdefault(path.parent.name, []).append(embedding)
        on_picture(done, len(pictures))
    faces = {name: np.stack(vectors) for name, vectors in sorted(rows.items())}
    return People(faces, len(pictures), missing)


def _embed_person(path: Path, engine: Engine) -> Vectors | None:
    picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        return None
    frame = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    found = engine.find(frame, thorough=True)
    if not found:
        return None
    embedding = engine.embed(frame, [min(found, key=lambda face: _off_centre(face, frame))])[0]
    return embedding if np.isfinite(embedding).all() else None


def _off_centre(face: Face, frame: Frame | npt.NDArray[np.uint8]) -> float:
    rows, columns = frame.shape[:2]
    across = (face.box.left + face.box.right - columns) / 2
    down = (face.box.top + face.box.bottom - rows) / 2
    return float(across * across + down * down)
