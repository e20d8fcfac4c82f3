"""Exact nearest-rider search that reads a quarter of the bytes.

A million float32 templates are 512 MB, and a search is as slow as reading them. The index
keeps one signed byte a number (faiss, one thread) and proposes candidates; it also knows
the largest error its rounding can make, so it can say how high any template that it did
*not* propose could still score. The caller re-scores the candidates exactly and looks at
that limit: below the second best, the answer is proven; otherwise everything is scored.
No answer is ever approximate.

What is indexed is ``cos(p, g) - term(g)``, the part of the score that differs between
riders, as one inner product: ``(p, 1) . (g, -term)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from models.faces.scoring import Scores, Vectors

_CHUNK = 65_536
# faiss has fast kernels for whole groups of 16 numbers only: 136 columns take twice as long.
_GROUP = 16


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """``rows`` of the gallery; every other row has ``cos - term`` of at most ``limit``."""

    rows: npt.NDArray[np.intp]
    limit: float


class ExactIndex:
    """An index over ``templates`` (n, d) with their background ``terms`` (n,)."""

    def __init__(self, templates: Vectors, terms: Scores) -> None:
        # A second thread makes a single query slower, and the other core is the camera's.
        faiss.omp_set_num_threads(1)
        count, dimensions = templates.shape
        self._columns = -(-(dimensions + 1) // _GROUP) * _GROUP
        self._centre = float(terms.mean())
        self._step = max(float(np.abs(templates).max()), float(np.ptp(terms))) / 127.0
        self._error = 0.0
        self._index = faiss.IndexScalarQuantizer(
            self._columns, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        )
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            self._add(templates[part], terms[part] - np.float32(self._centre))

    def _add(self, templates: Vectors, terms: Scores) -> None:
        rows = np.zeros((len(templates), self._columns), dtype=np.float32)
        rows[:, : templates.shape[1]] = templates
        rows[:, templates.shape[1]] = -terms
        codes = np.rint(rows / np.float32(self._step))
        lost = rows - codes * np.float32(self._step)
        # |p . lost| <= |lost| for a unit p (Cauchy-Schwarz), and the term's own error is added.
        term_lost = np.abs(lost[:, templates.shape[1]])
        lost[:, templates.shape[1]] = 0.0
        error = np.sqrt(np.einsum("ij,ij->i", lost, lost)) + term_lost
        self._error = max(self._error, float(error.max()))
        self._index.add(codes)

    def candidates(self, probe: Vectors, count: int) -> Candidates:
        """The ``count`` most promising rows for one probe (d,)."""
        query = np.zeros((1, self._columns), dtype=np.float32)
        query[0, : len(probe)] = probe
        query[0, len(probe)] = 1.0
        values, rows = self._index.search(query, count)
        limit = float(values[0, -1]) * self._step - self._centre + self._error
        # float32 sums of a hundred products may differ in the last digits.
        return Candidates(rows[0].astype(np.intp), limit + 1e-5)
