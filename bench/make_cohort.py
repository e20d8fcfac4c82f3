"""Draw the faces of nobody that fill a score's background (``models.faces.cohort``).

    scripts/make-cohort PICTURES OUT.npz [--leave-out TSV] [--seed N]

A mixture of Gaussians is fitted to the embeddings of a quarter of the people, chosen by a
hash of the name; the other three quarters stay untouched for measuring. The mixture is
k-means on the sphere with one covariance a cluster, half its own and half that of all
clusters (a cluster has fewer faces than dimensions). Samples closer to a fitted face than
``COSINE_MAX`` are thrown away. The file says how it was made and how near it comes to
real faces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from bench.embeddings import cached_people, left_out
from models.faces.dlib_engine import DlibEngine
from models.faces.open_set import Faces
from models.faces.quantise import quantise, restore
from models.faces.scoring import Vectors, fuse

CLUSTERS = 30
SAMPLES = 700
"""As many as people are fitted; with 3,000 more riders are missed (docs/calibration.md)."""
PICTURES_PER_PERSON = 3
COSINE_MAX = 0.95
"""About nine in ten of one person's own pictures are nearer (``about`` in the file has it)."""

Floats = npt.NDArray[np.float64]


def is_fitted(name: str) -> bool:
    """Whether the cohort may be fitted to this person; the others are for measuring."""
    return hashlib.sha256(f"facefare:{name}".encode()).digest()[0] % 4 == 0


def split(faces: Faces) -> tuple[Faces, Faces]:
    """The people a cohort is fitted to, and the others."""
    fitted = {name: rows for name, rows in faces.items() if is_fitted(name)}
    return fitted, {name: rows for name, rows in faces.items() if name not in fitted}


def draw_cohort(faces: Faces, seed: int) -> Vectors:
    """``SAMPLES`` faces of nobody, from a mixture fitted to ``faces``: (n, d) unit rows."""
    rng = np.random.default_rng(seed)
    every = np.concatenate(list(faces.values()))
    few = np.concatenate([v[:PICTURES_PER_PERSON] for v in faces.values()])
    points = few.astype(np.float64)
    cluster = _cluster(points, rng)
    shares = np.bincount(cluster, minlength=CLUSTERS) / len(points)
    means = np.stack([points[cluster == c].mean(axis=0) for c in range(CLUSTERS)])
    spread = points - means[cluster]
    pooled = spread.T @ spread / len(points)
    roots = [_root(spread[cluster == c], pooled) for c in range(CLUSTERS)]
    kept: list[Vectors] = []
    while sum(map(len, kept)) < SAMPLES:
        chosen = rng.choice(CLUSTERS, p=shares, size=SAMPLES)
        noise = rng.standard_normal((SAMPLES, points.shape[1]))
        samples = means[chosen] + np.stack(
            [roots[c] @ z for c, z in zip(chosen, noise, strict=True)]
        )
        # Judged as they will be read from the file, after rounding to a byte a number.
        vectors = restore(quantise(_unit(samples).astype(np.float32)))
        kept.append(vectors[nearest(vectors, every) <= COSINE_MAX])
    return np.concatenate(kept)[:SAMPLES]


def nearest(vectors: Vectors, others: Vectors) -> Vectors:
    """The highest cosine of each of ``vectors`` to any of ``others``."""
    return np.asarray((vectors @ others.T).max(axis=1), dtype=np.float32)


def _cluster(points: Floats, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    centres = points[rng.choice(len(points), CLUSTERS, replace=False)]
    for _ in range(30):
        cluster = (points @ centres.T).argmax(axis=1)
        for c in range(CLUSTERS):
            # An empty cluster starts again at some face.
            inside = points[cluster == c]
            centres[c] = inside.mean(axis=0) if len(inside) else points[rng.integers(len(points))]
        centres = _unit(centres)
    return np.asarray(cluster, dtype=np.intp)


def _root(spread: Floats, pooled: Floats) -> Floats:
    own = spread.T @ spread / max(len(spread), 1)
    values, axes = np.linalg.eigh((own + pooled) / 2)
    return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float64)


def describe(vectors: Vectors, fitted: Faces, others: Faces) -> dict[str, float]:
    """How near the cohort comes to real faces, beside how near people come to each other."""
    rows = np.concatenate(list(fitted.values()))
    held = np.concatenate(list(others.values()))
    own = [v[0] @ fuse(v[1:]) for v in others.values() if len(v) > 1]
    to_fitted, to_others = nearest(vectors, rows), nearest(vectors, held)
    strangers = nearest(np.stack([v[0] for v in fitted.values()]), held)
    figures = {
        "nearest_fitted_face_max": to_fitted.max(),
        "nearest_fitted_face_median": np.median(to_fitted),
        "nearest_other_face_max": to_others.max(),
        "nearest_other_face_median": np.median(to_others),
        "two_people_nearest_median": np.median(strangers),
        "two_people_nearest_max": strangers.max(),
        "own_pictures_cosine_median": np.median(own),
        "own_pictures_cosine_10th_percentile": np.percentile(own, 10),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="scripts/make-cohort", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--leave-out", type=Path, default=Path("no such file"))
    parser.add_argument("--cohort-id", default="nobody-1")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    engine = DlibEngine.load()
    with Progress(console=Console(stderr=True)) as progress:
        people = cached_people(options.pictures, engine, progress, left_out(options.leave_out))
    fitted, others = split(people.faces)
    vectors = draw_cohort(fitted, options.seed)
    about = {
        "cohort_id": options.cohort_id,
        "engine_id": engine.engine_id,
        "made_by": "bench/make_cohort.py",
        "data": f"{options.pictures.name}: {len(fitted)} of {len(people.faces)} people",
        "seed": options.seed,
        "clusters": CLUSTERS,
        "samples": SAMPLES,
        "cosine_to_a_fitted_face_max": COSINE_MAX,
        "pictures_per_person_max": PICTURES_PER_PERSON,
        **describe(vectors, fitted, others),
    }
    np.savez_compressed(options.out, vectors=quantise(vectors), about=json.dumps(about, indent=1))
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
