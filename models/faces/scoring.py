"""The score: how alike two faces are, beyond how alike each is to everybody.

    s(p, g) = cos(p, g) - b/2 * near(p) - b/2 * near(g)

``near(x)`` is the mean of the ``k`` highest cosines between ``x`` and a *background* of
faces that are neither of the two. A raw cosine of this kind of network is high for any two
people of a group the network was trained on too little; the background of such a face is
high as well, so the score takes it off again (docs/calibration.md has the figures).

The background is made of strangers, riders, or both. A rider in it is left out wherever
that rider is the one compared: from ``near(g)`` always, from ``near(p)`` in the score
against that rider. Without this the right rider would be counted as the probe's own
background and pay for being the right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.faces.errors import FaceError

Vectors = npt.NDArray[np.float32]
"""(n, dimensions), rows of unit length."""

Scores = npt.NDArray[np.float32]

BACKGROUND_MIN = 1_000
"""Nobody's faces fill a background up to this size. They are stand-ins: a station's own
riders are the better background, and from here on the only one."""

BACKGROUND_RIDERS_MAX = 2_000
"""At most so many riders join the background: it keeps the score of a large gallery on the
scale that was measured, and the cost of a search small."""

UNIT_TOLERANCE = 1e-3
_CHUNK = 4096


class EmbeddingRefused(FaceError):
    """Numbers that are not embeddings: wrong type or shape, not finite, not of unit length."""


def check_vectors(vectors: npt.NDArray[np.generic], what: str) -> Vectors:
    """Return ``vectors`` as a contiguous (n, d) float32 array, or raise ``EmbeddingRefused``.

    A view that is not contiguous is copied. Anything else that is not as promised (another
    number type or shape, NaN, infinity, a row that is not of unit length) is refused, not
    repaired: it means that the caller holds something other than an embedding.
    """
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        found = getattr(vectors, "dtype", type(vectors).__name__)
        raise EmbeddingRefused(f"{what} must be float32 numbers, not {found}")
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise EmbeddingRefused(f"{what} must be rows of numbers, not of shape {vectors.shape}")
    solid = np.ascontiguousarray(vectors)
    lengths = np.sqrt(np.einsum("ij,ij->i", solid, solid))
    # A NaN makes the comparison false, so it is refused here too.
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
    if len(wrong):
        raise EmbeddingRefused(
            f"row {wrong[0]} of {what} has length {lengths[wrong[0]]:.4g}, not 1; "
            "normalise embeddings, and drop a face whose embedding is not finite"
        )
    return solid


def fuse(embeddings: npt.NDArray[np.generic]) -> Vectors:
    """Return the normalised mean (d,) of the unit rows of ``embeddings`` (n, d).

    This makes a template of enrolment pictures and a probe of frames. The mean, not the
    nearest picture: taking the nearest of three misses half of the riders instead of a third.
    """
    rows = check_vectors(embeddings, "the embeddings to fuse")
    if not len(rows):
        raise EmbeddingRefused("there is no embedding to fuse; at least one face is needed")
    mean = rows.mean(axis=0, dtype=np.float64)
    length = float(np.sqrt(mean @ mean))
    if length < UNIT_TOLERANCE:
        raise EmbeddingRefused("the embeddings cancel each other out; they cannot be one person")
    return np.asarray(mean / length, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """``weight`` is b and ``neighbours`` is k of the formula above."""

    weight: float = 0.7
    neighbours: int = 5


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """The faces a score is taken against.

    ``vectors``: (n, d). ``riders``: (n,) the row each has in the gallery, -1 for strangers.
    """

    vectors: Vectors
    riders: npt.NDArray[np.intp]


def strangers(vectors: Vectors) -> Background:
    """A background of people who are in no gallery."""
    return Background(vectors, np.full(len(vectors), -1, dtype=np.intp))


def gallery_background(templates: Vectors, nobody: Vectors | None) -> Background:
    """The background of a gallery: its own riders (n, d), and as many of ``nobody`` (m, d) as
    a small gallery lacks."""
    count = min(len(templates), BACKGROUND_RIDERS_MAX)
    riders = np.linspace(0, len(templates) - 1, count).astype(np.intp)
    if nobody is None:
        return Background(templates[riders], riders)
    lacking = nobody[: max(0, BACKGROUND_MIN - count)]
    rows = np.concatenate([riders, np.full(len(lacking), -1, dtype=np.intp)])
    return Background(np.concatenate([templates[riders], lacking]), rows)


def gallery_terms(templates: Vectors, background: Background, rule: ScoreRule) -> Scores:
    """``b/2 * near(g)`` of every template (n, d), each left out of its own background: (n,)."""
    own = np.full(len(templates), -1, dtype=np.intp)
    inside = background.riders >= 0
    own[background.riders[inside]] = np.flatnonzero(inside)
    terms = np.empty(len(templates), dtype=np.float32)
    for start in range(0, len(templates), _CHUNK):
        part = slice(start, start + _CHUNK)
        cosines = templates[part] @ background.vectors.T
        rows = np.flatnonzero(own[part] >= 0)
        cosines[rows, own[part][rows]] = -2.0
        terms[part] = np.sort(_largest(cosines, rule.neighbours), axis=1).mean(axis=1)
    return terms * np.float32(rule.weight / 2)


@dataclass(frozen=True, slots=True, eq=False)
class ProbeTerms:
    """``b/2 * near(p)`` of a batch of n probes.

    ``everybody`` (n,) is the term with nobody left out. ``riders`` (n, k) are the gallery
    rows found among the nearest (-1: a stranger) and ``allowance`` (n, k) is what the score
    against each of these riders gains, because that rider is no background to itself.
    """

    everybody: Scores
    riders: npt.NDArray[np.intp]
    allowance: Scores


def probe_terms(probes: Vectors, background: Background, rule: ScoreRule) -> ProbeTerms:
    """The background terms of ``probes`` (n, d)."""
    k = rule.neighbours
    cosines = probes @ background.vectors.T
    nearest = np.argpartition(-cosines, k, axis=1)[:, : k + 1]
    values = np.take_along_axis(cosines, nearest, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    nearest = np.take_along_axis(nearest, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    half = np.float32(rule.weight / 2)
    return ProbeTerms(
        everybody=half * values[:, :k].mean(axis=1),
        riders=background.riders[nearest[:, :k]],
        allowance=half / np.float32(k) * (values[:, :k] - values[:, k:]),
    )


def score_all(
    probes: Vectors, templates: Vectors, terms: Scores, background: Background, rule: ScoreRule
) -> Scores:
    """The score of every probe (m, d) against every template (n, d): (m, n).

    ``terms`` are the templates' ``gallery_terms``.
    """
    near = probe_terms(probes, background, rule)
    scores = probes @ templates.T
    scores -= terms
    scores -= near.everybody[:, None]
    rows, places = np.nonzero(near.riders >= 0)
    scores[rows, near.riders[rows, places]] += near.allowance[rows, places]
    return scores


def _largest(values: Scores, count: int) -> Scores:
    return -np.partition(-values, count - 1, axis=1)[:, :count]
