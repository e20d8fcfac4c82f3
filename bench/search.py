"""``facefare bench search``: how long an exact search takes, beside a numpy matrix product.

Random unit vectors are the hard case: nothing about them helps an index. A probe is a
template with noise (cosine about 0.9). Ours is the whole score: cosines, background, and
the proof that nothing was missed. The peer only multiplies and takes the largest. They take
turns in rounds; ``after_the_peer`` is the first search of a round, when the peer's half
gigabyte has just swept the processor's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from rich.progress import Progress

from bench.figures import Figure, answer, figure
from models.faces.cohort import Cohort
from models.faces.matching import Ambiguous, Gallery, Match, Matcher, Result, Unknown
from models.faces.operating_points import OperatingPoint
from models.faces.scoring import Vectors

Answer = TypeVar("Answer")

DIMENSIONS = 128
QUERIES = 200
ROUNDS = 10
TARGETS_MS = {100_000: 3.0, 1_000_000: 15.0}
PEER = "numpy float32 matrix product and argmax"


def run(seed: int, data_dir: object = None, progress: Progress | None = None) -> dict[str, Any]:
    """Measure both sizes. ``data_dir`` is not used: the vectors are drawn from ``seed``."""
    figures: list[Figure] = []
    right = 0
    for size, target in TARGETS_MS.items():
        task = progress.add_task(f"search among {size:,}", total=ROUNDS) if progress else None
        ours, peer = _Times(), _Times()
        for round_right in _rounds(size, seed, ours, peer):
            right += round_right
            if progress and task is not None:
                progress.advance(task)
        figures.append(_time_figure(size, target, ours, peer))
    total = QUERIES * len(TARGETS_MS)
    share = right / total
    figures.append(
        figure("search_recall_at_1", share, "share", 1.0, PEER, 1.0, at_least=True, searches=total)
    )
    return answer("search", seed, figures)


@dataclass
class _Times:
    """Seconds of every search, and of the first of each round."""

    every: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)

    def run(self, search: Callable[[Vectors], Answer], probes: list[Vectors]) -> list[Answer]:
        """Time ``search`` on each of ``probes`` and return the answers."""
        answers = []
        for number, probe in enumerate(probes):
            started = time.perf_counter()
            answers.append(search(probe))
            self.every.append(time.perf_counter() - started)
            if number == 0:
                self.cold.append(self.every[-1])
        return answers


def _rounds(size: int, seed: int, ours: _Times, peer: _Times) -> Iterator[int]:
    """One round after the other: how many of ours found the rider that the peer found."""
    rng = np.random.default_rng([seed, size])
    templates = _unit(rng.standard_normal((size, DIMENSIONS), dtype=np.float32))
    matcher = _matcher(templates, rng)
    for _ in range(ROUNDS):
        rows = rng.integers(size, size=QUERIES // ROUNDS)
        probes = [_noisy(templates[row], rng) for row in rows]
        found = ours.run(partial(matcher.search, frames=1, engine_id="bench"), probes)
        best = peer.run(partial(_largest, templates), probes)
        yield sum(_first(mine) == str(row) for mine, row in zip(found, best, strict=True))


def _largest(templates: Vectors, probe: Vectors) -> int:
    return int((templates @ probe).argmax())


def _time_figure(size: int, target: float, ours: _Times, peer: _Times) -> Figure:
    name = "search_1m_ms" if size == 1_000_000 else f"search_{size // 1000}k_ms"
    return figure(
        name,
        round(float(np.median(ours.every)) * 1e3, 3),
        "ms",
        target,
        PEER,
        round(float(np.median(peer.every)) * 1e3, 3),
        p95=round(float(np.percentile(ours.every, 95)) * 1e3, 3),
        after_the_peer=round(float(np.median(ours.cold)) * 1e3, 3),
    )


def _first(found: Result) -> str | None:
    match found:
        case Match(account=account):
            return account
        case Ambiguous(accounts=(account, _)):
            return account
        case Unknown():
            return None


def _unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _noisy(template: Vectors, rng: np.random.Generator) -> Vectors:
    noise = rng.standard_normal(DIMENSIONS, dtype=np.float32) * np.float32(0.5 / DIMENSIONS**0.5)
    return _unit((template + noise).reshape(1, -1)).ravel()


def _matcher(templates: Vectors, rng: np.random.Generator) -> Matcher:
    accounts = tuple(map(str, range(len(templates))))
    nobody = _unit(rng.standard_normal((700, DIMENSIONS), dtype=np.float32))
    point = OperatingPoint(
        engine_id="bench",
        cohort_id="random",
        weight=0.7,
        neighbours=5,
        gallery_size=len(templates),
        enrolled_images=1,
        fused_frames=1,
        target_fpir=0.001,
        threshold=0.0,
        margin=0.01,
        fnir=0.0,
        fnir_low=0.0,
        fnir_high=0.0,
        fnir_one_frame=0.0,
        mated_searches=1,
        nonmated_searches=1,
        nonmated_people=1,
        extrapolated=False,
    )
    return Matcher(
        Gallery("bench", 1, accounts, templates), Cohort("random", "bench", nobody), point
    )
