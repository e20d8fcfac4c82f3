"""What a gate knows to judge a claim: the pass rules, who has which digits, and the faces.

A claim is a pass or four digits: it says who somebody is, and the face is compared with
that rider alone, at a threshold measured for claimed identities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gate.decision import FRAMES_MIN
from gate.presented import SeenFace
from gate.recognition import Measured
from models.faces.matching import Gallery, Match, Verifier
from models.faces.operating_points import choose_claim
from models.wire.gallery import GallerySnapshot, PassRules

TARGET_FMR = 1e-4
"""At most one stranger in ten thousand passes for the rider they claim to be."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a gate knows to judge a claim; made anew for each gallery that arrives."""

    gallery: Gallery
    images: Mapping[str, int]
    digits: Mapping[str, tuple[str, ...]]
    rules: PassRules | None
    keys: Mapping[str, Ed25519PublicKey]
    revoked: frozenset[str]
    measured: Measured

    @classmethod
    def of(cls, snapshot: GallerySnapshot, gallery: Gallery, measured: Measured) -> Claims:
        """From a received gallery; ``gallery`` are its templates, as the matcher has them."""
        digits: dict[str, tuple[str, ...]] = {}
        for rider in snapshot.riders:
            if rider.digits is not None:
                digits[rider.digits] = (*digits.get(rider.digits, ()), rider.account)
        return replace(
            cls.passes_only(snapshot.passes, snapshot.version, measured),
            gallery=gallery,
            images={rider.account: rider.images for rider in snapshot.riders},
            digits=digits,
        )

    @classmethod
    def passes_only(cls, rules: PassRules | None, version: int, measured: Measured) -> Claims:
        """Where nobody may be recognised: passes need no gallery. One that carries a template is
        compared before the faces of nobody."""
        dimensions = measured.cohort.vectors.shape[1] if measured.cohort else 1
        templates = np.empty((0, dimensions), np.float32)
        return cls(
            gallery=Gallery(measured.engine_id, version, (), templates),
            images={},
            digits={},
            rules=rules,
            keys=rules.public_keys() if rules else {},
            revoked=frozenset(rules.revoked) if rules else frozenset(),
            measured=measured,
        )

    def compare(self, seen: SeenFace, claimed: Gallery, images: int) -> Match | None:
        """The rider of ``claimed`` whose face this is, or None; ``images`` made the templates.

        Raises ``FaceError`` where nothing was measured for this case, or the parts do not
        belong together.
        """
        point = choose_claim(
            self.measured.table, claimed.engine_id, len(self.gallery.accounts), TARGET_FMR,
            enrolled_images=images, fused_frames=FRAMES_MIN,
        )  # fmt: skip
        verifier = Verifier(self.gallery, self.measured.cohort, point)
        verdict = verifier.verify(seen.embedding, claimed, seen.frames, seen.engine_id)
        return verdict if isinstance(verdict, Match) else None
