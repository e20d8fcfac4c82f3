"""Who is this? One probe against the gallery of a station, with the evidence.

    gallery = Gallery("dlib-resnet-1", version, accounts, templates)
    point = choose(table, gallery.engine_id, len(accounts), target_fpir=0.001)
    matcher = Matcher(gallery, shipped_cohort(gallery.engine_id), point)
    match matcher.search(fuse(embeddings), frames=len(embeddings), engine_id=...):
        case Match(account=account): ...         # above the threshold, clearly first
        case Ambiguous(accounts=accounts): ...   # above it, but two riders are too close
        case Unknown(): ...                      # nobody of this gallery

The score is that of ``models.faces.scoring``. Its background is the gallery itself; where
that is small, the cohort (faces of nobody) fills it up. The search is exact at every size.

``Verifier`` answers the other question, whether this is the rider somebody claims to be by
the digits of a phone or by a pass that carries the template.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.faces.cohort import Cohort
from models.faces.gallery import Gallery, MatchingError
from models.faces.operating_points import ClaimPoint, OperatingPoint
from models.faces.ranking import Best, Ranking, rank
from models.faces.scoring import (
    Background,
    EmbeddingRefused,
    ScoreRule,
    Vectors,
    check_vectors,
    fuse,
    gallery_background,
    strangers,
)

__all__ = [
    "Ambiguous",
    "Gallery",
    "Match",
    "Matcher",
    "MatchingError",
    "Unknown",
    "Verifier",
    "fuse",
]


@dataclass(frozen=True, slots=True)
class Match:
    """One rider, above the threshold and clearly ahead of the second.

    ``margin`` is the best score minus the second's; a lone rider is compared with zero.
    """

    account: str
    score: float
    margin: float
    frames: int
    engine_id: str
    gallery_version: int


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Above the threshold, but ``accounts`` (best first) are too close to tell apart."""

    accounts: tuple[str, str]
    score: float
    margin: float
    frames: int
    engine_id: str
    gallery_version: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody of this gallery. ``score`` and ``margin`` are None where the gallery is empty."""

    score: float | None
    margin: float | None
    frames: int
    engine_id: str
    gallery_version: int


Result = Match | Ambiguous | Unknown


class Matcher:
    """Searches one gallery at one operating point. Build a new one for a new gallery version."""

    def __init__(self, gallery: Gallery, cohort: Cohort | None, point: OperatingPoint) -> None:
        _check_belongs(gallery.engine_id, cohort, point)
        if len(gallery.accounts) > point.gallery_size:
            raise MatchingError(
                f"the operating point was measured for {point.gallery_size} riders, the gallery "
                f"has {len(gallery.accounts)}; choose the point for this gallery"
            )
        self.gallery = gallery
        self.point = point
        self._rule = point.rule
        self._background = gallery_background(gallery.templates, cohort.vectors if cohort else None)
        self._ranking = _ranking(gallery.templates, self._background, self._rule)

    def search(self, probe: npt.NDArray[np.generic], frames: int, engine_id: str) -> Result:
        """Who is ``probe`` (d,), fused from ``frames`` frames by ``engine_id``?

        Raises ``EmbeddingRefused`` for numbers that are no embedding (NaN among them) and
        ``MatchingError`` for the embedding of another engine.
        """
        vector = _check_probe(probe, frames, engine_id, self.gallery)
        best = self._ranking.best(vector) if self._ranking else None
        return _decide(best, self.gallery, self.point, frames)


class Verifier:
    """Compares a probe with the riders it claims to be, before the riders of this station."""

    def __init__(self, gallery: Gallery, cohort: Cohort | None, point: ClaimPoint) -> None:
        _check_belongs(gallery.engine_id, cohort, point)
        if len(gallery.accounts) < point.gallery_size:
            raise MatchingError(
                f"the threshold for claimed identities was measured before {point.gallery_size} "
                f"riders, the gallery has {len(gallery.accounts)}; choose it for this gallery"
            )
        self.gallery = gallery
        self.point = point
        self._nobody = cohort.vectors if cohort else None

    def verify(
        self, probe: npt.NDArray[np.generic], claimed: Gallery, frames: int, engine_id: str
    ) -> Result:
        """Is ``probe`` one of ``claimed``: the owner of a pass, or all who share four digits?

        ``Match`` names the rider; ``Unknown`` is the answer for everybody else. A claimed
        rider who is in the station's gallery too is no background. The errors are those of
        ``Matcher.search``.
        """
        _check_engine(claimed.engine_id, self.point)
        vector = _check_probe(probe, frames, engine_id, claimed)
        others = self.gallery.without(claimed.accounts)
        background = gallery_background(others.templates, self._nobody)
        everybody = strangers(background.vectors)
        ranking = _ranking(claimed.templates, everybody, self.point.rule)
        return _decide(ranking.best(vector) if ranking else None, claimed, self.point, frames)


def _ranking(templates: Vectors, background: Background, rule: ScoreRule) -> Ranking | None:
    """None for an empty gallery."""
    if not len(templates):
        return None
    if len(background.vectors) <= rule.neighbours + 1:
        raise MatchingError(
            f"a background of {len(background.vectors)} faces is too small for this score; "
            "use the engine's cohort or enrol more riders"
        )
    return rank(templates, background, rule)


def _decide(
    best: Best | None, gallery: Gallery, point: OperatingPoint | ClaimPoint, frames: int
) -> Result:
    evidence = (frames, gallery.engine_id, gallery.version)
    if best is None:
        return Unknown(None, None, *evidence)
    # Written so that anything but a clear yes, a NaN included, is a no.
    if not best.score >= point.threshold:
        return Unknown(best.score, best.margin, *evidence)
    account = gallery.accounts[best.first]
    if best.second >= 0 and not best.margin >= point.margin:
        return Ambiguous(
            (account, gallery.accounts[best.second]), best.score, best.margin, *evidence
        )
    return Match(account, best.score, best.margin, *evidence)


def _check_probe(
    probe: npt.NDArray[np.generic],
    frames: int,
    engine_id: str,
    gallery: Gallery,
) -> Vectors:
    if engine_id != gallery.engine_id:
        raise MatchingError(
            f"a probe of the engine {engine_id} cannot be compared with templates of "
            f"{gallery.engine_id}; use the same engine or enrol the riders again"
        )
    if frames < 1:
        raise MatchingError(f"a probe is fused from at least one frame, not from {frames}")
    if getattr(probe, "ndim", 0) != 1 or len(probe) != gallery.templates.shape[1]:
        raise EmbeddingRefused(
            f"a probe is {gallery.templates.shape[1]} numbers, not of shape "
            f"{getattr(probe, 'shape', None)}"
        )
    return check_vectors(probe.reshape(1, -1), "the probe").ravel()


def _check_engine(engine_id: str, point: OperatingPoint | ClaimPoint) -> None:
    if point.engine_id != engine_id:
        raise MatchingError(
            f"the operating point belongs to the engine {point.engine_id}, the templates to "
            f"{engine_id}; choose a point of the same engine"
        )


def _check_belongs(
    engine_id: str, cohort: Cohort | None, point: OperatingPoint | ClaimPoint
) -> None:
    _check_engine(engine_id, point)
    if cohort is not None and cohort.engine_id != engine_id:
        raise MatchingError(
            f"the cohort belongs to the engine {cohort.engine_id}, the templates to {engine_id}"
        )
    given = cohort.cohort_id if cohort else ""
    if given != point.cohort_id:
        raise MatchingError(
            f"the operating point was measured with the cohort {point.cohort_id or 'none'!r}, not "
            f"{given or 'none'!r}; use that cohort or calibrate again"
        )
