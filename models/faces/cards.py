"""Model cards: what a weights file is, where it comes from, and how to tell it is whole.

A card is a small TOML file. Weights are never part of this repository: ``fetch`` downloads
the file that a card names, checks its length and SHA-256 while it streams, and only then
gives it its name. A model that is loaded has been checked in the same way again.

    kind = "embedder"                 or "detector", or "liveness" (see LivenessCard)
    file = "face_recognition_sface_2021dec.onnx"
    bytes = 38696353
    sha256 = "0ba9fbfa…"
    source = "https://…"
    licence = "Apache-2.0"
    detector = "yunet"                which card finds the faces
    side_px = 112                     the aligned face it reads, square
    channels = "RGB"                  or "BGR"
    mean = 0.0                        it is fed (pixel − mean) × scale
    scale = 1.0
    dimensions = 128
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.faces.errors import FaceError, ModelFileError

TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 16
_POINTER = b"version https://git-lfs"


class CardError(FaceError):
    """There is no such card, or it cannot be read."""


class DownloadFailed(FaceError):
    """The file a card names could not be fetched."""


class _Card(BaseModel):
    """What every card says of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,40}$")
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$")
    bytes: int = Field(gt=0, le=2_000_000_000)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str = Field(min_length=1)


class _PublishedCard(_Card):
    """A file that lies at a public address."""

    source: str = Field(pattern=r"^https?://")


class DetectorCard(_PublishedCard):
    """A YuNet detector: faces scored ``score_min`` or higher count."""

    kind: Literal["detector"]
    score_min: float = Field(gt=0.0, lt=1.0)


class EmbedderCard(_PublishedCard):
    """An embedder that reads a square face, aligned on five points."""

    kind: Literal["embedder"]
    detector: str
    side_px: int = Field(ge=32, le=512)
    channels: Literal["RGB", "BGR"]
    mean: float
    scale: float = Field(gt=0.0)
    dimensions: int = Field(ge=16, le=4096)

    @property
    def engine_id(self) -> str:
        return f"onnx:{self.name}"


class LivenessCard(_Card):
    """A classifier that tells a living face from a picture of one.

    It reads the face's box enlarged ``crop_scale`` times, as ``side_px`` square BGR pixels
    (0-255), and gives ``classes`` logits, of which ``live_class`` is the living one.
    ``source`` is absent where no public address holds exactly this file; ``origin`` then
    says where such a file comes from.
    """

    kind: Literal["liveness"]
    source: str | None = Field(default=None, pattern=r"^https?://")
    origin: str = Field(min_length=1)
    crop_scale: float = Field(ge=1.0, le=8.0)
    side_px: int = Field(ge=32, le=512)
    classes: int = Field(ge=2, le=100)
    live_class: int = Field(ge=0, le=99)


AnyCard = DetectorCard | EmbedderCard | LivenessCard
_ADAPTER: TypeAdapter[AnyCard] = TypeAdapter(Annotated[AnyCard, Field(discriminator="kind")])


def read_card(path: Path) -> AnyCard:
    """Read a card; its name is its file name. Raises ``CardError`` with the field that is wrong."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return _ADAPTER.validate_python({"name": path.stem, **values})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"the model card {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CardError(f"the model card {path}: {field}: {first['msg']}") from error


def find_cards(folder: Path | None = None) -> dict[str, DetectorCard | EmbedderCard]:
    """The shipped engine cards by name, with those of ``folder`` (the operator's own) over them."""
    cards = _read_all(folder)
    return {name: card for name, card in cards.items() if not isinstance(card, LivenessCard)}


def find_liveness_cards(folder: Path | None = None) -> dict[str, LivenessCard]:
    """The same for the liveness cards: an operator's own conversion brings its own card."""
    cards = _read_all(folder)
    return {name: card for name, card in cards.items() if isinstance(card, LivenessCard)}


def _read_all(folder: Path | None) -> dict[str, AnyCard]:
    shipped = Path(str(resources.files("models.faces") / "cards"))
    places = [shipped] if folder is None or not folder.is_dir() else [shipped, folder]
    return {path.stem: read_card(path) for place in places for path in sorted(place.glob("*.toml"))}


def check_file(card: AnyCard, path: Path) -> None:
    """Raise ``ModelFileError`` unless ``path`` is exactly the file of the card."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
            size = path.stat().st_size
            if head == _POINTER:
                raise ModelFileError(
                    f"{path} is a text pointer to the weights, not the weights; fetch them with "
                    f"'facefare faces pull {card.name}'"
                )
            if size != card.bytes:
                raise ModelFileError(
                    f"{path} has {size} bytes instead of {card.bytes}: it is cut short or another "
                    f"file; fetch it again with 'facefare faces pull {card.name}'"
                )
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ModelFileError(
            f"the weights {path} are missing; fetch them with 'facefare faces pull {card.name}'"
        ) from error
    if digest != card.sha256:
        raise ModelFileError(
            f"{path} is not the file of the model card: its SHA-256 is {digest}; do not use it"
        )


def fetch(card: AnyCard, folder: Path, progress: Callable[[int], None]) -> Path:
    """Download the card's file into ``folder`` unless it is there; return its path.

    ``progress`` is called with the bytes so far. Nothing stays under the file's name unless
    it was checked. Raises ``DownloadFailed`` or ``ModelFileError``.
    """
    target = folder / card.file
    if target.exists():
        check_file(card, target)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{card.file}.part"
    try:
        _download(card, fresh, progress)
        check_file(card, fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _download(card: AnyCard, path: Path, progress: Callable[[int], None]) -> None:
    if card.source is None:
        raise DownloadFailed(
            f"no public address is known that holds exactly {card.file}: {card.origin} Put the "
            f"file at {path.with_suffix('')} yourself"
        )
    got = 0
    try:
        with (
            httpx.stream("GET", card.source, follow_redirects=True, timeout=TIMEOUT_S) as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_bytes(_CHUNK_BYTES):
                got += file.write(chunk)
                progress(got)
                if got > card.bytes:
                    break  # already too long: the check refuses it
    except httpx.HTTPError as error:
        raise DownloadFailed(
            f"{card.source} could not be fetched ({error}); try again, or put the file at "
            f"{path.with_suffix('')} yourself"
        ) from error
