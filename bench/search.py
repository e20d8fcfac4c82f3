"""``facefare bench search``: how long an exact search takes, beside a numpy matrix product.

Random unit vectors are the hard case: nothing about them helps an index. A probe is a
template with noise (cosine about 0.9). Ours is the whole score: cosines, background, and
the proof that nothing was missed. The peer only multiplies and takes the largest.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.progress import Progress

from bench.figures import Figure, answer, figure
from models.faces.cohort import Cohort
from models.faces.matching import Gallery, Matcher, Unknown
from models.faces.operating_points import OperatingPoint
from models.faces.scoring import Vectors

DIMENSIONS = 128
QUERIES = 200
TARGETS_MS = {100_000: 3.0, 1_000_000: 15.0}
PEER = "numpy float32 matrix product and argmax"


def run(seed: int, data_dir: object = None, progress: Progress | None = None) -> dict[str, Any]:
    """Measure both sizes. ``data_dir`` is not used: the vectors are drawn from ``seed``."""
    figures: list[Figure] = []
    right = total = 0
    for size, target in TARGETS_MS.items():
        task = progress.add_task(f"search among {size:,}", total=QUERIES) if progress else None
        rng = np.random.default_rng([seed, size])
        templates = _unit(rng.standard_normal((size, DIMENSIONS), dtype=np.float32))
        matcher = _matcher(templates, rng)
        ours, peer = [], []
        for row in rng.integers(size, size=QUERIES):
            probe = _noisy(templates[row], rng)
            started = time.perf_counter()
            found = matcher.search(probe, 1, "bench")
            middle = time.perf_counter()
            cosines = templates @ probe
            best = int(cosines.argmax())
            ours.append(middle - started)
            peer.append(time.perf_counter() - middle)
            right += not isinstance(found, Unknown) and _first(found) == str(best)
            if progress and task is not None:
                progress.advance(task)
        total += QUERIES
        name = "search_1m_ms" if size == 1_000_000 else f"search_{size // 1000}k_ms"
        peer_ms = round(float(np.median(peer)) * 1e3, 3)
        ours_ms = round(float(np.median(ours)) * 1e3, 3)
        spread = {"p5": 5, "p95": 95}
        around = {n: round(float(np.percentile(ours, p)) * 1e3, 3) for n, p in spread.items()}
        figures.append(figure(name, ours_ms, "ms", target, PEER, peer_ms, **around))
    share = right / total
    figures.append(figure("search_recall_at_1", share, "share", 1.0, PEER, 1.0, searches=total))
    return answer("search", seed, figures)


def _first(found: Any) -> str:
    return str(found.account if hasattr(found, "account") else found.accounts[0])


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
