"""The cohort: faces of nobody, for the background of a score.

A small gallery has too few riders to tell a face that is like everybody's from one that is
like one rider's. The cohort fills the background with faces that belong to no person: they
are drawn from a mixture of Gaussians fitted to embeddings of a public research set
(``scripts/make-cohort``), and thinned so that none lies close to a face of that set. The
file is an ``.npz`` with ``vectors`` (int8 codes, see ``models.faces.quantise``) and
``about`` (JSON: how it was made, with which seed, and how near it comes to real people).
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np

from models.faces.errors import FaceError
from models.faces.quantise import restore
from models.faces.scoring import Vectors, check_vectors


class CohortError(FaceError):
    """A cohort file that is missing or cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """``vectors``: (n, dimensions), unit rows, of nobody, for one engine."""

    cohort_id: str
    engine_id: str
    vectors: Vectors

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", check_vectors(self.vectors, "the cohort"))


def read_cohort(file: Traversable) -> tuple[Cohort, dict[str, Any]]:
    """Read a cohort file: the cohort, and what is known about how it was made."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            vectors = restore(archive["vectors"])
        return Cohort(about["cohort_id"], about["engine_id"], vectors), about
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CohortError(
            f"{file.name} is not a cohort file ({error}); install it again"
        ) from error


def shipped_cohort(engine_id: str) -> Cohort | None:
    """The cohort that comes with Facefare for ``engine_id``; none means: the gallery alone."""
    file = resources.files("models.faces") / "tables" / f"{engine_id.replace(':', '-')}.npz"
    return read_cohort(file)[0] if file.is_file() else None
