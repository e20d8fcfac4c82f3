"""Do these photos show one person, is that a face like others, and is it enrolled already?

Pure arithmetic on embeddings of unit length. How alike two templates are is the score of
``models.faces.scoring`` before the faces of nobody, so that a pair scores the same whoever
else is enrolled. The limits belong to one engine: without measured limits nobody is
enrolled with it. docs/enrollment.md has the figures, ``bench.duplicates`` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from models.errors import FacefareError
from models.faces.cohort import Cohort, shipped_cohort
from models.faces.engine import Embeddings
from models.faces.scoring import ScoreRule, gallery_terms, score_all, strangers

Vector = npt.NDArray[np.float32]
"""(dimensions,), unit length."""


class NoLimits(FacefareError):
    """An engine for which it was never measured how alike two people look."""


class Likeness(IntEnum):
    """What a new template's likeness to an enrolled one asks of the desk."""

    ASK = 1
    """Staff look and say that it is somebody else."""
    LOOK_ALIKE = 2
    """The same, and gates ask both riders for more than the face from then on."""
    SAME = 3
    """Very probably the same person: a second member of staff has to say that it is not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``same_photos_min``: cosine of a photo with the mean of the rider's other photos.

    ``ask_min``: (riders enrolled at most, score) in rising order; the last has no end.
    ``look_alike_min`` and ``duplicate_min``: scores. ``typical``: the range in which the mean
    cosine of a real template with the cohort lies.
    """

    same_photos_min: float
    ask_min: tuple[tuple[float, float], ...]
    look_alike_min: float
    duplicate_min: float
    typical: tuple[float, float]

    def level(self, score: float, riders: int) -> Likeness | None:
        """What ``score`` asks for where so many ``riders`` are enrolled; None: nothing."""
        if score >= self.duplicate_min:
            return Likeness.SAME
        if score >= self.look_alike_min:
            return Likeness.LOOK_ALIKE
        ask_min = next(least for most, least in self.ask_min if riders <= most)
        return Likeness.ASK if score >= ask_min else None


# Measured on Labeled Faces in the Wild, whose pictures of one person are often years apart.
# same_photos_min: one photo in 150 of the same person is refused where there are two photos
# and none where there are three; 1-3 % of strangers' photos pass. The others: docs/enrollment.md.
LIMITS = {
    "dlib-resnet-1": Limits(
        same_photos_min=0.91,
        ask_min=((100, 0.2825), (1000, 0.295), (float("inf"), 0.305)),
        look_alike_min=0.305,
        duplicate_min=0.315,
        typical=(0.76, 0.886),
    )
}


def limits_for(engine_id: str) -> Limits:
    """The engine's limits; raise ``NoLimits`` where there are none."""
    try:
        return LIMITS[engine_id]
    except KeyError as error:
        raise _not_measured(engine_id) from error


@cache
def nobody(engine_id: str) -> Cohort:
    """The faces of nobody that likeness is measured before; ``NoLimits`` if there are none."""
    cohort = shipped_cohort(engine_id)
    if cohort is None:
        raise _not_measured(engine_id)
    return cohort


def _not_measured(engine_id: str) -> NoLimits:
    return NoLimits(
        f"it was not measured yet how alike two people look to the engine {engine_id}; "
        "enroll with another engine"
    )


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


def typicality(template: Vector, cohort: Cohort) -> float:
    """The mean cosine of a template with everybody and nobody.

    A mean of several people's embeddings, or a face that was averaged or smoothed, lies nearer
    to the middle of all faces than any one person does, and would open gates for many.
    """
    return float((cohort.vectors @ template).mean())


def is_one_face(template: Vector, cohort: Cohort, limits: Limits) -> bool:
    """False for a template outside the range of real people; NaN is outside."""
    least, most = limits.typical
    return least <= typicality(template, cohort) <= most


def likeness(template: Vector, enrolled: Embeddings, cohort: Cohort) -> Embeddings:
    """The score of ``template`` with each row of ``enrolled`` (n, d): (n,)."""
    background, rule = strangers(cohort.vectors), ScoreRule()
    terms = gallery_terms(enrolled, background, rule)
    scores = score_all(template.reshape(1, -1), enrolled, terms, background, rule)
    return np.asarray(scores[0], dtype=np.float32)


def _unit(vector: npt.NDArray[np.floating]) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
