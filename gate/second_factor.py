"""What a pass or four digits are worth, with the face that was seen beside them.

    pass        opens by itself; the tap says so. With the living face of the same account in
                view, too unsure to open by itself, the tap says ``face+pass``.
    face+pass   opens only for the face whose template it carries, compared 1:1.
    digits      narrow the gallery to the riders with these last four digits of a telephone
                number, mostly one, and the face is compared with those.

Faces are compared at a threshold that was measured for claimed identities
(``models.faces.operating_points.ClaimPoint``): at most one stranger in 10,000 passes for a
given rider. Whoever types digits may try three times, and then has to wait: every number
tried is another rider's chance to be taken for.

Deny list and anti-passback are the same for every medium, and are kept by the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from gate.claims import Claims
from gate.decision import FRAMES_MIN, AskSecondFactor, Decision, Open, Refuse, Wait
from gate.liveness.check import Finding
from gate.presented import Presented, PresentedDigits, PresentedPass, SeenFace
from gate.qr import PassReader
from gate.words import Word
from models.faces.engine import Frame
from models.faces.errors import FaceError
from models.faces.matching import Gallery, Match
from models.faces.quantise import restore
from models.wire.pass_text import unpack_pass
from models.wire.passes import (
    CarriedTemplate,
    NotAPass,
    Pass,
    PassExpired,
    PassRefused,
    check_pass,
)
from models.wire.tap import Evidence, FaceAndPassEvidence, PassEvidence, pass_hash

SHARING_DIGITS_MAX = 5
"""Each rider with the same digits adds a stranger's chance; beyond this the pass is asked for."""

PATIENCE_S = 4.0
"""How long a face may take to fit what is presented, before the answer is no."""

PRESENTED_S = 5.0
"""How long a pass or digits count after they were last seen: the time to look up."""

WRONG_DIGITS_MAX = 3
WRONG_DIGITS_PAUSE_S = 60.0

__all__ = ["Claims", "PassAndDigits", "decide_digits", "decide_pass"]

log = logging.getLogger(__name__)


def decide_pass(
    text: str, seen: SeenFace | None, claims: Claims, now: datetime, waited_s: float
) -> Decision:
    """What the pass with this ``text`` opens; ``waited_s`` is how long it has been shown."""
    rules = claims.rules
    if rules is None:
        return Refuse(Word.PASS_UNREADABLE)
    try:
        shown = check_pass(
            unpack_pass(text), claims.keys, rules.issuer, now, timedelta(days=rules.valid_days_max)
        )
    except NotAPass:
        return Refuse(Word.PASS_UNREADABLE)
    except PassExpired:
        return Refuse(Word.PASS_EXPIRED)
    except PassRefused as error:
        return Refuse(str(error))
    if shown.pass_id in claims.revoked:
        return Refuse(Word.PASS_WITHDRAWN)
    try:
        if shown.template is None:
            return _decide_plain(shown, seen, claims)
        return _decide_carried(shown, shown.template, seen, claims, waited_s)
    except FaceError as error:
        log.error("a pass cannot be compared with a face here: %s", error)
        return Refuse(Word.NO_GALLERY)


def _decide_plain(shown: Pass, seen: SeenFace | None, claims: Claims) -> Decision:
    """The pass alone is enough; a face that fits it makes the record of the ride surer."""
    plain = Open(shown.account, PassEvidence(pass_hash=pass_hash(shown.pass_id)), "pass")
    claimed = claims.gallery.only((shown.account,))
    if seen is None or _not_yet(seen, "") is not None or not claimed.accounts:
        return plain
    if seen.engine_id != claimed.engine_id:
        return plain
    match = claims.compare(seen, claimed, claims.images[shown.account])
    return plain if match is None else _with_face(shown, match, seen)


def _decide_carried(
    shown: Pass, carried: CarriedTemplate, seen: SeenFace | None, claims: Claims, waited_s: float
) -> Decision:
    waiting = _not_yet(seen, Word.PASS_WITH_FACE)
    if seen is None or waiting is not None:
        return waiting or Wait(Word.PASS_WITH_FACE)
    template = restore(np.frombuffer(carried.codes, dtype=np.int8).reshape(1, -1))
    claimed = Gallery(carried.engine_id, claims.gallery.version, (shown.account,), template)
    match = claims.compare(seen, claimed, carried.images)
    if match is not None:
        return _with_face(shown, match, seen)
    late = waited_s >= PATIENCE_S
    return Refuse(Word.PASS_OTHER_FACE) if late else Wait(Word.PASS_WITH_FACE)


def decide_digits(digits: str, seen: SeenFace | None, claims: Claims, waited_s: float) -> Decision:
    """Whether the face is that of a rider with these last four digits."""
    waiting = _not_yet(seen, Word.HOLD_STILL)
    if seen is None or waiting is not None:
        return waiting or Wait(Word.HOLD_STILL)
    accounts = claims.digits.get(digits, ())
    if 0 < len(accounts) <= SHARING_DIGITS_MAX:
        claimed = claims.gallery.only(accounts)
        fewest = min(claims.images[account] for account in accounts)
        try:
            match = claims.compare(seen, claimed, fewest)
        except FaceError as error:
            log.error("digits cannot be compared with a face here: %s", error)
            return AskSecondFactor(Word.SHOW_PASS)
        if match is not None:
            return Open(match.account, _evidence(match, seen), "face")
    # The same words after the same time, whether nobody has these digits or somebody else.
    late = waited_s >= PATIENCE_S
    return AskSecondFactor(Word.DIGITS_WRONG) if late else Wait(Word.HOLD_STILL)


def _not_yet(seen: SeenFace | None, advice: str) -> Decision | None:
    """What to say while the face does not suffice as evidence; None once it does."""
    if seen is None or seen.frames < FRAMES_MIN or seen.liveness is None:
        return Wait(advice)
    if seen.liveness.finding is Finding.LOOKING:
        return Wait(seen.liveness.reason)
    if seen.liveness.finding is not Finding.LIVE:
        return AskSecondFactor(seen.liveness.reason)
    return None


def _with_face(shown: Pass, match: Match, seen: SeenFace) -> Open:
    evidence = FaceAndPassEvidence(
        **_evidence(match, seen).model_dump(), pass_hash=pass_hash(shown.pass_id)
    )
    return Open(shown.account, evidence, "face+pass")


def _evidence(match: Match, seen: SeenFace) -> Evidence:
    return Evidence(
        engine=match.engine_id,
        score=round(match.score, 4),
        margin=round(match.margin, 4),
        frames=match.frames,
        liveness=None if seen.liveness is None else seen.liveness.evidence,
        gallery_version=match.gallery_version,
    )


@dataclass
class PassAndDigits:
    """The gate's reader of passes and digits: a ``gate.presented.SecondFactor``.

    ``claims()`` is what the gate knows now, None while there is no gallery; ``wall_clock``
    judges the times of passes. ``typed`` may be called from the kiosk's thread.
    """

    claims: Callable[[], Claims | None]
    wall_clock: Callable[[], datetime]
    reader: PassReader = field(default_factory=PassReader)
    _typed: str | None = None
    _presented: Presented | None = None
    _since_s: float = 0.0
    _until_s: float = 0.0
    _now_s: float = 0.0
    _wrong: int = 0
    _wrong_until_s: float = 0.0

    def typed(self, digits: str) -> None:
        """Somebody typed digits at the kiosk."""
        self._typed = digits

    def look(self, frame: Frame, now_s: float) -> Presented | None:
        """What is presented now: digits just typed, a pass in this frame, or one seen lately."""
        self._now_s = now_s
        typed, self._typed = self._typed, None
        text = self.reader.read(frame)
        if typed is not None:
            self._begin(PresentedDigits(typed), now_s)
        elif text is not None:
            self._begin(PresentedPass(text), now_s)
        if now_s >= self._until_s:
            self._presented = None
        return self._presented

    def _begin(self, presented: Presented, now_s: float) -> None:
        if presented != self._presented:
            self._since_s = now_s
        self._presented, self._until_s = presented, now_s + PRESENTED_S

    def decide(self, presented: Presented, seen: SeenFace | None) -> Decision:
        """What it opens, as far as is known now."""
        claims = self.claims()
        if claims is None:
            return Refuse(Word.NO_GALLERY)
        waited_s = self._now_s - self._since_s
        match presented:
            case PresentedPass(text=text):
                return decide_pass(text, seen, claims, self.wall_clock(), waited_s)
            case PresentedDigits() if not claims.gallery.accounts:
                return Refuse(Word.NO_GALLERY)
            case PresentedDigits(digits=digits):
                return self._decide_digits(digits, seen, claims, waited_s)

    def _decide_digits(
        self, digits: str, seen: SeenFace | None, claims: Claims, waited_s: float
    ) -> Decision:
        if self._now_s < self._wrong_until_s:
            return AskSecondFactor(Word.SHOW_PASS)
        decision = decide_digits(digits, seen, claims, waited_s)
        if isinstance(decision, AskSecondFactor):
            self._presented = None  # each number is tried once
            self._wrong += 1
            if self._wrong >= WRONG_DIGITS_MAX:
                self._wrong, self._wrong_until_s = 0, self._now_s + WRONG_DIGITS_PAUSE_S
        elif isinstance(decision, Open):
            self._wrong = 0  # only success forgives: stepping back does not
        return decision

    def clear(self) -> None:
        """The passage is over: forget what was presented."""
        self._presented, self._typed = None, None
        self._until_s = 0.0
