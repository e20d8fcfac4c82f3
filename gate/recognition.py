"""From an opened gallery to a matcher that may charge, or a sentence why not.

A gate charges by face only at an operating point that was measured for its engine, its
gallery's size, the number of enrolment photos and the frames it fuses. There is no default.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gate.decision import FRAMES_MIN
from gate.errors import NotReady
from models.faces.cohort import Cohort, shipped_cohort
from models.faces.matching import Ambiguous, Gallery, Match, Matcher, Unknown
from models.faces.operating_points import (
    OperatingPoint,
    Table,
    choose,
    read_table,
    shipped_table,
)
from models.faces.tracking import Track
from models.wire.gallery import GallerySnapshot

TARGET_FPIR = 0.001
"""At most one stranger in a thousand who step into the zone is taken for a rider."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured for an engine, read once: operating points and cohort."""

    engine_id: str
    table: Table
    cohort: Cohort | None

    @classmethod
    def of(cls, engine_id: str, own_table: Path) -> Measured:
        """The operator's own table where the file exists, else the one that comes along.

        Raises ``TableError`` or ``NoOperatingPoint``.
        """
        table = read_table(own_table) if own_table.exists() else shipped_table(engine_id)
        return cls(engine_id, table, shipped_cohort(engine_id))


def make_matcher(snapshot: GallerySnapshot, measured: Measured) -> Matcher:
    """Build the matcher for a received gallery.

    Raises ``NotReady`` for a gallery of another engine and ``NoOperatingPoint`` where nothing
    strict enough was measured.
    """
    if snapshot.engine_id != measured.engine_id:
        raise NotReady(
            f"the gallery was made with the engine {snapshot.engine_id}, this gate runs "
            f"{measured.engine_id}; set the same engine on both sides"
        )
    point = operating_point(snapshot, measured)
    gallery = Gallery(
        snapshot.engine_id,
        snapshot.version,
        tuple(rider.account for rider in snapshot.riders),
        _templates(snapshot),
    )
    return Matcher(gallery, measured.cohort, point)


def operating_point(snapshot: GallerySnapshot, measured: Measured) -> OperatingPoint:
    """The measured row for this gallery: the rider with the fewest photos sets the standard."""
    return choose(
        measured.table,
        measured.engine_id,
        gallery_size=max(1, len(snapshot.riders)),
        target_fpir=TARGET_FPIR,
        enrolled_images=min((rider.images for rider in snapshot.riders), default=1),
        fused_frames=FRAMES_MIN,
    )


def _templates(snapshot: GallerySnapshot) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = [np.frombuffer(rider.template, dtype="<f4") for rider in snapshot.riders]
    return np.array(rows, dtype=np.float32).reshape(len(rows), snapshot.dimensions)


def recognise(matcher: Matcher, track: Track, engine_id: str) -> Match | Ambiguous | Unknown:
    """Search the gallery for the fused face of ``track``, embedded by ``engine_id``."""
    return matcher.search(track.fused(), track.frames, engine_id)
