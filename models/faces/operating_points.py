"""Operating points: which score opens a gate, as measured, for which gallery.

A threshold means nothing by itself. It belongs to an engine, a score rule, a background, a
gallery size, a number of enrolment pictures and of fused frames, and the rate of strangers
let through that somebody decided to accept. A table holds the measured ones, one a line:

    {"format": "facefare-operating-points-1", "measured": {"data": "...", "seed": 1, ...},
     "points": [
       {"engine_id": "dlib-resnet-1", "cohort_id": "nobody-1", "weight": 0.6, "neighbours": 5,
        "gallery_size": 1000, "enrolled_images": 3, "fused_frames": 1, "target_fpir": 0.001,
        "threshold": 0.4, "margin": 0.01, "fnir": 0.1, "fnir_low": 0.08, "fnir_high": 0.13,
        "fnir_one_frame": 0.1, "mated_searches": 9000, "nonmated_searches": 20000,
        "nonmated_people": 1500, "extrapolated": false}],
     "claims": [{..., "gallery_size": 300, "target_fmr": 0.0001, "threshold": 0.29, ...}]}

There is no default anywhere. Where the table has no row that is known to be strict enough,
``choose`` raises, and a gate does not start in charging mode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.faces.errors import FaceError
from models.faces.scoring import ScoreRule

FORMAT = "facefare-operating-points-1"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]

_HOW = "measure one with 'facefare faces calibrate DIR' (DIR holds one folder of pictures a person)"


class TableError(FaceError):
    """A file that is not a table of operating points."""


class NoOperatingPoint(FaceError):
    """Nothing was measured that would be strict enough here; the message says what to do."""


class _Measured(BaseModel):
    """What every measured threshold belongs to."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    engine_id: str = Field(min_length=1, max_length=64)
    cohort_id: str = Field(max_length=64)
    """The fixed part of the background; empty: the gallery alone."""
    weight: Share
    neighbours: Count
    enrolled_images: Count
    fused_frames: Count
    """Independent pictures: the threshold is the strictest of 1 to this number. The frames of
    one passage, however many, are worth one or two of them."""
    threshold: float = Field(allow_inf_nan=False)

    @property
    def rule(self) -> ScoreRule:
        return ScoreRule(self.weight, self.neighbours)


class OperatingPoint(_Measured):
    """One row for a search among ``gallery_size`` riders or fewer.

    ``fnir`` is the share of riders' searches missed (not first, below the threshold, or too
    close to the second) when the ``fused_frames`` are independent pictures, with its 95 %
    interval; ``fnir_one_frame`` is the same at this threshold with one picture. Frames of
    one passage lie between the two, near the second.
    """

    gallery_size: Count
    target_fpir: Annotated[float, Field(gt=0.0, lt=1.0)]
    # Zero would let rounding decide between two equal templates.
    margin: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    fnir: Share
    fnir_low: Share
    fnir_high: Share
    fnir_one_frame: Share
    mated_searches: Count
    nonmated_searches: Count
    nonmated_people: Count
    extrapolated: bool


class ClaimPoint(_Measured):
    """One row for comparing a face with the riders somebody claims to be.

    ``target_fmr`` is the share of strangers accepted *per claimed rider*; four digits that
    fit three riders triple it.
    """

    gallery_size: Annotated[int, Field(ge=0)]
    """How many riders the background had; it serves at this size and above. 0: the cohort alone."""
    target_fmr: Annotated[float, Field(gt=0.0, lt=1.0)]
    margin: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    fnmr: Share
    fnmr_low: Share
    fnmr_high: Share
    mated_comparisons: Count
    nonmated_comparisons: Count


class Table(BaseModel):
    """The contents of a table file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field(pattern=f"^{FORMAT}$")
    measured: Mapping[str, str | int | float]
    points: tuple[OperatingPoint, ...]
    claims: tuple[ClaimPoint, ...]


def parse_table(text: str, where: str = "the table") -> Table:
    """Read a table from JSON; raise ``TableError`` naming the first field that is wrong."""
    try:
        return Table.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise TableError(
            f"{where} is not a table of operating points ({field}: {first['msg']}); {_HOW}"
        ) from error


def read_table(path: Path) -> Table:
    """Read the table in the file ``path``; raise ``TableError`` where that cannot be done."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"the operating points in {path} cannot be read ({error}); {_HOW}"
        ) from error
    return parse_table(text, str(path))


def shipped_table(engine_id: str) -> Table:
    """The table that comes with Facefare for ``engine_id``; raise ``NoOperatingPoint`` if none."""
    folder = resources.files("models.faces") / "tables"
    file = folder / f"{engine_id.replace(':', '-')}.json"
    if not file.is_file():
        raise NoOperatingPoint(f"no operating points come with the engine {engine_id}; {_HOW}")
    return parse_table(file.read_text(encoding="utf-8"), file.name)


def write_table(table: Table, path: Path) -> None:
    """Write ``table`` to ``path``, one row a line."""
    parts = [
        f'{{"format": {json.dumps(table.format)},\n "measured": '
        + json.dumps(dict(table.measured), indent=2).replace("\n", "\n ")
    ]
    for name, rows in (("points", table.points), ("claims", table.claims)):
        lines = ",\n".join(f"  {json.dumps(row.model_dump())}" for row in rows)
        parts.append(f' "{name}": [\n{lines}]')
    path.write_text(",\n".join(parts) + "}\n", encoding="utf-8")


def choose(
    table: Table,
    engine_id: str,
    gallery_size: int,
    target_fpir: float,
    enrolled_images: int = 3,
    fused_frames: int = 1,
    allow_extrapolated: bool = False,
) -> OperatingPoint:
    """The row for a gallery of ``gallery_size`` riders with ``enrolled_images`` pictures each.

    A row serves galleries up to its own size and probes of up to its own number of frames,
    so the next larger one is taken. Rows beyond the measured sizes are computed, not
    measured, and only used where ``allow_extrapolated`` says so.

    Raises ``NoOperatingPoint`` where no row is known to be strict enough.
    """
    rows = [
        row
        for row in table.points
        if row.engine_id == engine_id
        and abs(row.target_fpir - target_fpir) <= 1e-9
        and row.enrolled_images <= enrolled_images
    ]
    case = f"the engine {engine_id} at a false-positive rate of {target_fpir:.3%}"
    if not rows:
        raise NoOperatingPoint(f"no operating point was measured for {case}; {_HOW}")
    fitting = [
        row for row in rows if row.gallery_size >= gallery_size and row.fused_frames >= fused_frames
    ]
    if not fitting:
        raise NoOperatingPoint(
            f"the operating points for {case} reach {max(r.gallery_size for r in rows)} riders "
            f"and {max(r.fused_frames for r in rows)} fused frames, not {gallery_size} riders "
            f"and {fused_frames} frames; give the station a smaller gallery, fuse fewer frames, "
            f"or {_HOW}"
        )
    usable = [row for row in fitting if allow_extrapolated or not row.extrapolated]
    if not usable:
        raise NoOperatingPoint(
            f"for {gallery_size} riders there are only extrapolated operating points for {case}; "
            f"allow them knowingly, give the station a smaller gallery, or {_HOW}"
        )
    return min(usable, key=lambda r: (r.gallery_size, -r.enrolled_images, r.fused_frames))


def choose_claim(
    table: Table,
    engine_id: str,
    gallery_size: int,
    target_fmr: float,
    enrolled_images: int = 3,
    fused_frames: int = 1,
) -> ClaimPoint:
    """The row for checking a claimed identity at a gate whose gallery has ``gallery_size`` riders.

    The more riders stand in the background, the lower a claim scores and the threshold lies:
    here the next *smaller* size is the one known to be strict enough.

    Raises ``NoOperatingPoint`` where there is none.
    """
    rows = [
        row
        for row in table.claims
        if row.engine_id == engine_id
        and abs(row.target_fmr - target_fmr) <= target_fmr * 1e-6
        and row.gallery_size <= gallery_size
        and row.enrolled_images <= enrolled_images
        and row.fused_frames >= fused_frames
    ]
    if not rows:
        raise NoOperatingPoint(
            f"no threshold was measured for a claimed identity with the engine {engine_id} at a "
            f"false-match rate of {target_fmr:g}, {gallery_size} riders, {enrolled_images} "
            f"enrolled pictures and {fused_frames} fused frames; {_HOW}"
        )
    return min(rows, key=lambda r: (-r.gallery_size, -r.enrolled_images, r.fused_frames))
