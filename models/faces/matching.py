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

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.faces.cohort import Cohort
from models.faces.errors import FaceError
from models.faces.exact_index import ExactIndex
from models.faces.operating_points import ClaimPoint, OperatingPoint
from models.faces.scoring import (
    Background,
    EmbeddingRefused,
    ProbeTerms,
    ScoreRule,
    Scores,
    Vectors,
    check_vectors,
    fuse,
    gallery_background,
    gallery_terms,
    probe_terms,
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

INDEX_FROM = 50_000
"""Below this size a plain matrix product is as quick as an index."""

_CANDIDATES = 128


class MatchingError(FaceError):
    """Parts that do not belong together: engines, cohorts, sizes, numbers of frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """The riders a gate may recognise: row i of ``templates`` belongs to ``accounts[i]``.

    ``templates``: float32 (n, dimensions), unit rows (1e-3). A non-contiguous array is
    copied; another type or shape, NaN, or another length raises ``EmbeddingRefused``.
    An empty gallery has shape (0, dimensions).
    """

    engine_id: str
    version: int
    accounts: tuple[str, ...]
    templates: Vectors

    def __post_init__(self) -> None:
        templates = check_vectors(self.templates, "the gallery's templates").view()
        templates.flags.writeable = False
        object.__setattr__(self, "templates", templates)
        if len(self.accounts) != len(templates):
            raise MatchingError(
                f"the gallery names {len(self.accounts)} accounts for {len(templates)} templates"
            )
        if len(set(self.accounts)) != len(self.accounts):
            raise MatchingError("the gallery holds an account twice; a rider has one template")

    def only(self, accounts: Collection[str]) -> Gallery:
        """The part of the gallery that belongs to ``accounts``; unknown ones are left out."""
        wanted = set(accounts)
        return self._rows([row for row, who in enumerate(self.accounts) if who in wanted])

    def without(self, accounts: Collection[str]) -> Gallery:
        """The gallery of everybody but ``accounts``."""
        unwanted = set(accounts)
        return self._rows([row for row, who in enumerate(self.accounts) if who not in unwanted])

    def _rows(self, rows: list[int]) -> Gallery:
        kept = tuple(self.accounts[row] for row in rows)
        return Gallery(self.engine_id, self.version, kept, self.templates[rows])


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


@dataclass(frozen=True, slots=True)
class _Best:
    """The two best rows; ``second`` is -1 in a gallery of one."""

    first: int
    second: int
    score: float
    margin: float


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
        self._scorer = _scorer(gallery.templates, self._background, self._rule)

    def search(self, probe: npt.NDArray[np.generic], frames: int, engine_id: str) -> Result:
        """Who is ``probe`` (d,), fused from ``frames`` frames by ``engine_id``?

        Raises ``EmbeddingRefused`` for numbers that are no embedding (NaN among them) and
        ``MatchingError`` for the embedding of another engine.
        """
        vector = _check_probe(probe, frames, engine_id, self.gallery)
        best = self._scorer.best(vector) if self._scorer else None
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
        scorer = _scorer(claimed.templates, everybody, self.point.rule)
        return _decide(scorer.best(vector) if scorer else None, claimed, self.point, frames)


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """Exact scores of one probe against ``templates``; ``index`` only saves reading them all."""

    templates: Vectors
    terms: Scores
    background: Background
    rule: ScoreRule
    index: ExactIndex | None = field(default=None)

    def best(self, probe: Vectors) -> _Best:
        near = probe_terms(probe[None], self.background, self.rule)
        everybody = np.arange(len(self.templates))
        if self.index is None:
            return _two_best(self._scores(probe, near, everybody), everybody)
        found = self.index.candidates(probe, _CANDIDATES)
        # Riders near the probe gain by being left out of its background: always re-scored.
        gaining = near.riders[0][near.riders[0] >= 0]
        rows = np.union1d(found.rows, gaining)
        best = _two_best(self._scores(probe, near, rows), rows)
        if best.score - best.margin > found.limit - float(near.everybody[0]):
            return best
        return _two_best(self._scores(probe, near, everybody), everybody)

    def _scores(self, probe: Vectors, near: ProbeTerms, rows: npt.NDArray[np.intp]) -> Scores:
        """The scores of ``rows``, which are in ascending order."""
        every = len(rows) == len(self.templates)
        part = self.templates if every else self.templates[rows]
        scores = part @ probe - (self.terms if every else self.terms[rows])
        scores -= near.everybody[0]
        inside = near.riders[0] >= 0
        scores[np.searchsorted(rows, near.riders[0][inside])] += near.allowance[0][inside]
        return np.asarray(scores, dtype=np.float32)


def _scorer(templates: Vectors, background: Background, rule: ScoreRule) -> _Scorer | None:
    """None for an empty gallery."""
    if not len(templates):
        return None
    if len(background.vectors) <= rule.neighbours + 1:
        raise MatchingError(
            f"a background of {len(background.vectors)} faces is too small for this score; "
            "use the engine's cohort or enrol more riders"
        )
    terms = gallery_terms(templates, background, rule)
    index = ExactIndex(templates, terms) if len(templates) > INDEX_FROM else None
    return _Scorer(templates, terms, background, rule, index)


def _two_best(scores: Scores, rows: npt.NDArray[np.intp]) -> _Best:
    first = int(scores.argmax())
    score = float(scores[first])
    if len(scores) == 1:
        return _Best(int(rows[first]), -1, score, score)
    scores[first] = -np.inf
    second = int(scores.argmax())
    return _Best(int(rows[first]), int(rows[second]), score, score - float(scores[second]))


def _decide(
    best: _Best | None, gallery: Gallery, point: OperatingPoint | ClaimPoint, frames: int
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
