"""Made-up faces for the tests: people are directions, pictures scatter round them."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.faces.cohort import Cohort
from models.faces.matching import Gallery
from models.faces.operating_points import ClaimPoint, OperatingPoint
from models.faces.scoring import Vectors

ENGINE = "made-up-1"
DIMENSIONS = 32


def unit(rows: np.ndarray[Any, Any]) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def people(count: int, seed: int, dimensions: int = DIMENSIONS) -> Vectors:
    """One direction a person."""
    return unit(np.random.default_rng(seed).standard_normal((count, dimensions)))


def pictures_of(person: Vectors, count: int, seed: int, spread: float = 0.08) -> Vectors:
    """Pictures of one person, scattered round their direction."""
    noise = np.random.default_rng(seed).standard_normal((count, len(person)))
    return unit(person + spread * noise)


def many(count: int, pictures: int, seed: int = 1) -> dict[str, Vectors]:
    """``count`` people with 1 to ``pictures`` pictures each."""
    return {
        f"person-{number:04}": pictures_of(person, 1 + number % pictures, seed * 100_000 + number)
        for number, person in enumerate(people(count, seed))
    }


def gallery(templates: Vectors, version: int = 3, engine_id: str = ENGINE) -> Gallery:
    accounts = tuple(f"{row:032x}" for row in range(len(templates)))
    return Gallery(engine_id, version, accounts, templates)


def cohort(count: int = 60, seed: int = 99, engine_id: str = ENGINE) -> Cohort:
    return Cohort("made-up-cohort", engine_id, people(count, seed))


def point(**changes: Any) -> OperatingPoint:
    fields: dict[str, Any] = {
        "engine_id": ENGINE,
        "cohort_id": "made-up-cohort",
        "weight": 0.7,
        "neighbours": 5,
        "gallery_size": 1_000_000,
        "enrolled_images": 3,
        "fused_frames": 3,
        "target_fpir": 0.001,
        "threshold": 0.4,
        "margin": 0.01,
        "fnir": 0.1,
        "fnir_low": 0.05,
        "fnir_high": 0.15,
        "fnir_one_frame": 0.2,
        "mated_searches": 1000,
        "nonmated_searches": 10_000,
        "nonmated_people": 500,
        "extrapolated": False,
    }
    return OperatingPoint(**{**fields, **changes})


def claim_point(**changes: Any) -> ClaimPoint:
    fields: dict[str, Any] = {
        "engine_id": ENGINE,
        "cohort_id": "made-up-cohort",
        "weight": 0.7,
        "neighbours": 5,
        "gallery_size": 0,
        "enrolled_images": 3,
        "fused_frames": 3,
        "target_fmr": 0.0001,
        "threshold": 0.3,
        "margin": 0.01,
        "fnmr": 0.01,
        "fnmr_low": 0.0,
        "fnmr_high": 0.02,
        "mated_comparisons": 1000,
        "nonmated_comparisons": 1_000_000,
    }
    return ClaimPoint(**{**fields, **changes})
