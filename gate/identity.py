"""A gate's own directory: who it is, its keys, and what it last received.

GATE/gate.toml        name, station, direction, server, the server's public keys
GATE/signing.pem      Ed25519, made here, never leaves
GATE/box.pem          X25519, made here; the gallery is encrypted to it
GATE/outbox.sqlite    signed taps
GATE/gallery.sealed   the newest gallery, exactly as received
GATE/standings.json   accounts that may not ride, with the reason
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from gate.errors import GateConfigError
from models.wire.keys import (
    from_base64url,
    load_box_key,
    load_signing_key,
    save_private_key,
)
from models.wire.tap import Direction, ShortName


class GateFile(BaseModel):
    """The contents of ``gate.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: ShortName
    station: ShortName
    direction: Direction
    server: str
    enrollment_key: str  # Ed25519, base64url: signs the gallery


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
    def standings_path(self) -> Path:
        return self.path / "standings.json"


def make_keys(path: Path) -> tuple[Ed25519PrivateKey, X25519PrivateKey]:
    """Make the gate's two keys in ``path``, or return those that an earlier try left there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    """Write ``gate.toml``. JSON strings are valid TOML strings."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in file.model_dump().items()]
    (path / "gate.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_identity(path: Path) -> GateIdentity:
    """Read a provisioned gate's directory; raise ``GateConfigError`` with what is wrong."""
    try:
        file = GateFile.model_validate(tomllib.loads((path / "gate.toml").read_text("utf-8")))
    except FileNotFoundError as error:
        raise GateConfigError(
            f"{path} is not a provisioned gate; run 'facefare gate provision' first"
        ) from error
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise GateConfigError(f"{path / 'gate.toml'} cannot be read: {error}") from error
    return GateIdentity(
        path, file, load_signing_key(path / "signing.pem"), load_box_key(path / "box.pem")
    )
