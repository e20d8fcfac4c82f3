"""What changed in a gate's gallery since a version it keeps: a small document of its own.

    facefare-gallery-change-1 south-1 12 17\n   line: format, gate, base version, new version
    64 bytes, then the rest                     signature and box, as in ``models.wire.gallery``

    {"v":1,"base":12,"version":17,"gate":"south-1","engine_id":"dlib-resnet-1",
     "dimensions":128,"issued_at":"2026-11-22T18:49:07.250Z",
     "riders":[{"account":"5f0c…",…}],"gone":["77aa…"],"passes":{…}}

``riders`` are new or changed and replace those of the same account; ``gone`` are to be
recognised no more; ``passes`` is whole. A change is only good on the very version it names:
everything else is refused, and the gate asks for a whole gallery. Each change counts from
the whole gallery the gate keeps on its disk, so of any number of changes the newest is
enough, and one that got lost is not missed.
"""

from __future__ import annotations

from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.wire.gallery import (
    GalleryRefused,
    GalleryRider,
    GallerySnapshot,
    PassRules,
    check_age,
    open_document,
    seal_document,
)
from models.wire.tap import AccountId, ShortName

CHANGE_FORMAT = "facefare-gallery-change-1"
CHANGE_MEDIA_TYPE = "application/vnd.facefare.gallery-change"


class GalleryChange(BaseModel):
    """From the gallery ``base`` to ``version``: who is new or changed, and who is gone."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: Literal[1] = 1
    engine_id: str = Field(min_length=1, max_length=64)
    dimensions: int = Field(ge=1, le=4096)
    base: int = Field(ge=0, lt=2**53)
    version: int = Field(ge=0, lt=2**53)
    gate: ShortName
    issued_at: str
    riders: tuple[GalleryRider, ...]
    gone: tuple[AccountId, ...]
    passes: PassRules | None = None

    def applied_to(self, base: GallerySnapshot) -> GallerySnapshot:
        """The gallery after this change; raises ``GalleryRefused`` where they do not fit."""
        if base.version != self.base:
            raise GalleryRefused(
                f"the change counts from the gallery of version {self.base}, and this gate keeps "
                f"version {base.version}; fetch the whole gallery"
            )
        if (base.engine_id, base.dimensions) != (self.engine_id, self.dimensions):
            raise GalleryRefused("the change is for another engine; fetch the whole gallery")
        riders = {rider.account: rider for rider in base.riders}
        changed = {rider.account: rider for rider in self.riders}
        gone = set(self.gone)
        if not gone <= riders.keys() or gone & changed.keys() or len(changed) < len(self.riders):
            raise GalleryRefused("the change contradicts itself; fetch the whole gallery")
        kept = {account: rider for account, rider in riders.items() if account not in gone}
        try:
            return GallerySnapshot(
                engine_id=self.engine_id,
                dimensions=self.dimensions,
                version=self.version,
                gate=self.gate,
                issued_at=self.issued_at,
                riders=tuple({**kept, **changed}.values()),
                passes=self.passes,
            )
        except ValidationError as error:
            raise GalleryRefused(f"the change's contents cannot be used: {error}") from error


def seal_change(
    change: GalleryChange, box_key: X25519PublicKey, signing_key: Ed25519PrivateKey
) -> bytes:
    """Encrypt ``change`` to its gate's ``box_key`` and sign it as enrollment."""
    line = f"{CHANGE_FORMAT} {change.gate} {change.base} {change.version}\n".encode("ascii")
    return seal_document(line, change.model_dump_json().encode(), box_key, signing_key)


def is_change(data: bytes) -> bool:
    """Whether ``data`` claims to be a change, and not a whole gallery."""
    return data.startswith(CHANGE_FORMAT.encode() + b" ")


def open_change(
    data: bytes,
    base: GallerySnapshot,
    box_private_key: X25519PrivateKey,
    enrollment_public_key: Ed25519PublicKey,
    newest_version_seen: int,
) -> GallerySnapshot:
    """Verify and decrypt a change, and apply it to the gallery ``base`` of the same gate.

    Raises ``GalleryRefused`` if it is not a change, was altered, cut short, signed by another
    key, made for another gate or key, counts from another version than ``base``, or is older
    than ``newest_version_seen``.
    """
    document = open_document(data, CHANGE_FORMAT, base.gate, enrollment_public_key)
    line = document.numbers(2)
    check_age(line[1], newest_version_seen)
    try:
        change = GalleryChange.model_validate_json(document.decrypted(box_private_key))
    except ValidationError as error:
        raise GalleryRefused(f"the change's contents cannot be used: {error}") from error
    if (change.gate, change.base, change.version) != (base.gate, *line):
        raise GalleryRefused("the change's first line and its contents disagree")
    return change.applied_to(base)
