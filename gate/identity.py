"""A gate's own directory: who it is, its keys, and what it last received.

GATE/gate.toml        name, station, direction, server, the server's public keys, and the
                      sections of gate.settings
GATE/signing.pem      Ed25519, made here, never leaves
GATE/box.pem          X25519, made here; the gallery is encrypted to it
GATE/outbox.sqlite    signed taps
GATE/gallery.sealed   the newest whole gallery, exactly as received
GATE/gallery-change.sealed   what changed since then, exactly as received
GATE/standings.json   accounts that may not ride, with the reason
GATE/operating-points.json   the operator's own table, where there is one
GATE/liveness.json    the liveness thresholds of this camera, where it was calibrated
GATE/door.secret      the door controller's password or token, where it wants one
GATE/release.token    made at each start: who can read it may open the door by hand
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from gate.errors import GateConfigError
from gate.settings import (
    WHOLE,
    CameraSettings,
    DoorSettings,
    Fraction,
    KioskSettings,
    MetricsSettings,
    PolicySettings,
    Region,
    safe_address,
    sentences,
    with_area,
)
from gate.template import written
from models.faces.engine import Box, Frame
from models.wire.keys import (
    from_base64url,
    load_box_key,
    load_signing_key,
    save_private_key,
)
from models.wire.tap import Direction, ShortName


def safe_server(address: str) -> str:
    """The address of a server to talk to; ``GateConfigError`` if it would be in the clear."""
    try:
        return safe_address(address, clear="http", sealed="https").rstrip("/")
    except ValueError as error:
        raise GateConfigError(str(error)) from error


class GateFile(BaseModel):
    """The contents of ``gate.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: ShortName
    station: ShortName
    direction: Direction
    server: str
    enrollment_key: str  # Ed25519, base64url: signs the gallery
    zone: Region = WHOLE
    face_share_min: Fraction = 0.16
    door: DoorSettings = DoorSettings()
    camera: CameraSettings = CameraSettings()
    kiosk: KioskSettings = KioskSettings()
    metrics: MetricsSettings = MetricsSettings()
    policy: PolicySettings = PolicySettings()

    @field_validator("server")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        return safe_address(value, clear="http", sealed="https").rstrip("/")

    @field_validator("zone")
    @classmethod
    def _has_an_area(cls, value: Region) -> Region:
        return with_area(value)

    def sees(self, box: Box, frame: Frame) -> bool:
        """Whether a face stands in the gate's zone: near enough, and in its part of the picture.

        ``zone`` is left, top, right, bottom as shares of the picture; the face's centre has to
        lie in it. ``face_share_min`` is the least width of a face as a share of the picture's:
        whoever walks past at a distance has not asked to be let through, and is never searched.
        """
        height, width = frame.shape[:2]
        left, top, right, bottom = self.zone
        across = (box.left + box.right) / 2 / width
        down = (box.top + box.bottom) / 2 / height
        near = bool(box.width >= self.face_share_min * width)
        return bool(near and left <= across <= right and top <= down <= bottom)


@dataclass(frozen=True, slots=True)
class GateIdentity:
    """A provisioned gate with its private keys in memory."""

    path: Path
    file: GateFile
    signing_key: Ed25519PrivateKey
    box_key: X25519PrivateKey

    @property
    def enrollment_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(from_base64url(self.file.enrollment_key))

    @property
    def outbox_path(self) -> Path:
        return self.path / "outbox.sqlite"

    @property
    def gallery_path(self) -> Path:
        return self.path / "gallery.sealed"

    @property
    def table_path(self) -> Path:
        return self.path / "operating-points.json"

    @property
    def liveness_path(self) -> Path:
        return self.path / "liveness.json"

    @property
    def door_secret_path(self) -> Path:
        return self.path / "door.secret"

    @property
    def release_token_path(self) -> Path:
        return self.path / "release.token"

    @property
    def standings_path(self) -> Path:
        return self.path / "standings.json"


def make_keys(path: Path) -> tuple[Ed25519PrivateKey, X25519PrivateKey]:
    """Make the gate's two keys in ``path``, or return those that an earlier try left there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        if (path / "gate.toml").exists():
            raise GateConfigError(f"{path} is provisioned already; choose another --dir")
        if not (path / "signing.pem").exists():
            save_private_key(path / "signing.pem", Ed25519PrivateKey.generate())
        if not (path / "box.pem").exists():
            save_private_key(path / "box.pem", X25519PrivateKey.generate())
    except OSError as error:
        raise GateConfigError(f"the gate's directory {path} cannot be written: {error}") from error
    return load_signing_key(path / "signing.pem"), load_box_key(path / "box.pem")


def save_identity(path: Path, file: GateFile) -> None:
    """Write ``gate.toml``, whole or not at all, with what every key does."""
    fresh = path / "gate.toml.new"
    fresh.write_text(written(file), encoding="utf-8")
    fresh.replace(path / "gate.toml")


def load_identity(path: Path) -> GateIdentity:
    """Read a provisioned gate's directory; raise ``GateConfigError`` with what is wrong."""
    try:
        file = GateFile.model_validate(tomllib.loads((path / "gate.toml").read_text("utf-8")))
    except FileNotFoundError as error:
        raise GateConfigError(
            f"{path} is not a provisioned gate; run 'facefare gate provision' first"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GateConfigError(f"{path / 'gate.toml'} cannot be read: {error}") from error
    except ValidationError as error:
        raise GateConfigError(f"{path / 'gate.toml'}: {sentences(error)}") from error
    return GateIdentity(
        path, file, load_signing_key(path / "signing.pem"), load_box_key(path / "box.pem")
    )
