"""Do these photos show one person, and is that person enrolled already?

Pure arithmetic on embeddings of unit length. The limits are cosines and belong to one
engine: without measured limits nobody is enrolled with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import FacefareError
from models.faces.engine import Embeddings

Vector = npt.NDArray[np.float32]


class NoLimits(FacefareError):
    """An engine for which it was never measured how alike two people look."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``same_photos_min``: a photo against the mean of the rider's other photos.
    ``duplicate_min``: a new template against an enrolled one."""

    same_photos_min: float
    duplicate_min: float


# Measured on 1,775 people of Labeled Faces in the Wild, 298 of them with four photos or more,
# often years apart. At 0.91 one photo in 150 of the same person is refused where there are two
# photos and none where there are three, and 1-3 % of strangers' photos pass. At 0.96 a newcomer
# is stopped wrongly in 0.3 % of cases against 1,775 enrolled; a second enrollment is found in
# 89 % of cases with one new photo against three, and in all 138 cases with three against three.
LIMITS = {"dlib-resnet-1": Limits(same_photos_min=0.91, duplicate_min=0.96)}


def limits_for(engine_id: str) -> Limits:
    """The engine's limits; raise ``NoLimits`` where there are none."""
    try:
        return LIMITS[engine_id]
    except KeyError as error:
        raise NoLimits(
            f"it was not measured yet how alike two people look to the engine {engine_id}; "
            "enroll with another engine"
        ) from error


def fuse(embeddings: Embeddings) -> Vector:
    """The template: the mean of the embeddings, brought back to unit length."""
    return _unit(embeddings.mean(axis=0))


def odd_one_out(embeddings: Embeddings, same_photos_min: float) -> int | None:
    """The row that is least like the mean of the others, if it is too unlike; else None.

    Against the mean of *all* photos a stranger's photo would vouch for itself.
    """
    if len(embeddings) < 2:
        return None
    others = (embeddings.sum(axis=0) - embeddings) / (len(embeddings) - 1)
    cosines = np.einsum("nd,nd->n", embeddings, others) / np.linalg.norm(others, axis=1)
    worst = int(cosines.argmin())
    return worst if cosines[worst] < same_photos_min else None


def most_alike(template: Vector, enrolled: Embeddings, duplicate_min: float) -> int | None:
    """The row of ``enrolled`` most like ``template``, if that is too much alike; else None."""
    if len(enrolled) == 0:
        return None
    cosines = enrolled @ template
    best = int(cosines.argmax())
    return best if cosines[best] >= duplicate_min else None


def _unit(vector: npt.NDArray[np.floating]) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
