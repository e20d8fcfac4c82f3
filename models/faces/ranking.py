"""The best two riders for a probe, exactly, whatever the size of the gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.faces.exact_index import ExactIndex
from models.faces.scoring import (
    Background,
    ProbeTerms,
    ScoreRule,
    Scores,
    Vectors,
    gallery_terms,
    probe_terms,
)

INDEX_FROM = 50_000
"""Below this size a plain matrix product is as quick as an index."""

_CANDIDATES = 128


@dataclass(frozen=True, slots=True)
class Best:
    """The two best rows; ``second`` is -1 in a gallery of one."""

    first: int
    second: int
    score: float
    margin: float


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Exact scores of one probe against ``templates``; ``index`` only saves reading them all."""

    templates: Vectors
    terms: Scores
    background: Background
    rule: ScoreRule
    index: ExactIndex | None

    def best(self, probe: Vectors) -> Best:
        """The best two rows for one probe (d,)."""
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


def rank(templates: Vectors, background: Background, rule: ScoreRule) -> Ranking:
    """Prepare to score probes against ``templates``, which must not be empty."""
    terms = gallery_terms(templates, background, rule)
    index = ExactIndex(templates, terms) if len(templates) > INDEX_FROM else None
    return Ranking(templates, terms, background, rule, index)


def _two_best(scores: Scores, rows: npt.NDArray[np.intp]) -> Best:
    first = int(scores.argmax())
    score = float(scores[first])
    if len(scores) == 1:
        return Best(int(rows[first]), -1, score, score)
    scores[first] = -np.inf
    second = int(scores.argmax())
    return Best(int(rows[first]), int(rows[second]), score, score - float(scores[second]))
