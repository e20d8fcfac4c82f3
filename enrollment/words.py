"""The words of the pages for what the database keeps as short codes."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from models.faces.quality import Reason
from models.wire.passes import NotAPass, PassExpired, PassForged, PassNotYetValid, PassRefused

_WORDS: dict[str, LazyString] = {
    # roles
    "enroller": _l("Enroller"),
    "service": _l("Service desk"),
    "finance": _l("Finance"),
    "auditor": _l("Auditor"),
    "admin": _l("Admin"),
    # categories of riders
    "adult": _l("Adult"),
    "child": _l("Child"),
    "student": _l("Student"),
    "senior": _l("Senior"),
    "concession": _l("Concession"),
    # media
    "face": _l("face"),
    "face+pass": _l("face and pass"),
    "pass": _l("pass"),
    # states
    "active": _l("active"),
    "frozen": _l("frozen"),
    "left": _l("left"),
    "in": _l("in"),
    "out": _l("out"),
}

_PRINT = _l(
    "This looks like a printed photograph or a screen. The rider's own face has to be before the "
    "camera; if it is, turn towards the light and try again."
)

# The sentences of models.faces.quality.ADVICE, which knows no web framework.
_ADVICE: dict[Reason, LazyString] = {
    Reason.FACE_TOO_SMALL: _l("Come closer."),
    Reason.CROPPED: _l("Move to the middle of the picture."),
    Reason.NOT_SHARP: _l("Hold still; the picture is blurred."),
    Reason.TOO_DARK: _l("It is too dark here; turn towards the light."),
    Reason.TOO_BRIGHT: _l("The light is too strong; turn away from it."),
    Reason.TURNED: _l("Look straight at the camera."),
    Reason.TILTED_UP_OR_DOWN: _l("Hold your head level."),
    Reason.TILTED_SIDEWAYS: _l("Hold your head upright."),
    Reason.EYES_CLOSED: _l("Open your eyes."),
    Reason.MOUTH_COVERED: _l("Take off the mask, or uncover your mouth."),
}

# Likewise the sentences of models.wire.passes, by what is wrong with the pass.
_PASSES: dict[type[PassRefused], LazyString] = {
    NotAPass: _l("This is not a pass, or it is damaged."),
    PassForged: _l("This pass is not genuine, or another operator's. Ask for a new one."),
    PassExpired: _l("This pass has expired. Have a new one made at the desk."),
    PassNotYetValid: _l("This pass is not valid yet."),
}

_LANGUAGES = {"en": "English", "zh": "中文"}


def word(code: str) -> str:
    """The word for ``code`` in the language of the request; an unknown code stays as it is."""
    return str(_WORDS.get(code, code))


def role_name(role: str) -> str:
    """The role as a page names it."""
    return word(role)


def language_name(code: str) -> str:
    """The language by its own name."""
    return _LANGUAGES.get(code, code)


def photo_advice(reason: Reason) -> str:
    """What to do about a photo, as a sentence."""
    return str(_ADVICE[reason])


def print_advice() -> str:
    """What to do about a face that looks like a print or a screen."""
    return str(_PRINT)


def pass_problem(error: PassRefused) -> str:
    """What is wrong with a pass, as a sentence."""
    return str(_PASSES.get(type(error), _PASSES[NotAPass]))
