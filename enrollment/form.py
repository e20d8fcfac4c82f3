"""The enrollment form: what a member of staff fills in with the rider beside them.

What has to be filled in depends on how the rider wants to ride: only ``face`` needs
stations, only ``face`` and ``face+pass`` need photos. ``enrollment.consent_texts`` has the
text that belongs to each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from enrollment.consent_texts import current_consent, languages
from enrollment.pins import is_usable_pin
from models.errors import FacefareError
from models.settings import Settings

CATEGORIES = ("adult", "child", "student", "senior", "concession")
FULL_FARE = "adult"  # every other category pays less, and somebody has to have seen why
STATIONS_MAX = 6  # "my stations" stay a handful: a template lies only where its owner rides
NAME_CHARACTERS_MAX = 120

AgeGroup = Literal["under-14", "14-or-over"]
Medium = Literal["face", "face+pass", "pass"]
MEDIA: tuple[Medium, ...] = ("face", "face+pass", "pass")


class EnrollmentRefused(FacefareError):
    """An enrollment that cannot go on; ``problems`` has one sentence for each fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def _tidy(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


def _check_pin(pin: str) -> str:
    if not is_usable_pin(pin):
        raise ValueError("not a usable PIN")
    return pin


Name = Annotated[
    str,
    BeforeValidator(_tidy),
    Field(min_length=1, max_length=NAME_CHARACTERS_MAX, pattern=r"^[^\x00-\x1f\x7f<>]+$"),
]
Pin = Annotated[str, AfterValidator(_check_pin)]


def _hands_free_needs_stations(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if info.data.get("medium") != "face":
        return ()
    if not value:
        raise ValueError("no station")
    return value


Stations = Annotated[
    tuple[str, ...],
    Field(max_length=STATIONS_MAX),
    AfterValidator(_hands_free_needs_stations),
]


class EnrollForm(BaseModel):
    """The fields of the form, checked one by one; what depends on settings is checked later.

    ``form_id`` is drawn when the page is made: the same form sent twice enrolls once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    category: Literal["adult", "child", "student", "senior", "concession"]
    evidence_checked: bool = False
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    age_group: AgeGroup
    guardian: Name | None = None
    phone_digits: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = Field(None, repr=False)
    pin: Pin | None = Field(None, repr=False)
    pin_again: str | None = Field(None, max_length=100, repr=False)
    medium: Medium = "face"
    stations: Stations
    consent_text: str = Field(max_length=40)
    consent_given: Literal[True]
    form_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None


class FaceForm(BaseModel):
    """What is asked when new photos are taken of a rider, or the medium changes to a face.

    The age is asked again only of a rider for whom a guardian agreed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    medium: Literal["face", "face+pass"]
    stations: Stations
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    age_group: AgeGroup | None = None
    guardian: Name | None = None
    consent_text: str = Field(max_length=40)
    consent_given: Literal[True]


class PinForm(BaseModel):
    """A new PIN, typed twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pin: Pin = Field(repr=False)
    pin_again: str = Field(max_length=100, repr=False)


GUARDIAN_AGREES = _l("For a rider under 14 a parent or guardian agrees: write the guardian's name.")

_WHAT_TO_DO = {
    "name": _l("Write the rider's name, up to %(max)s characters.", max=NAME_CHARACTERS_MAX),
    "category": _l("Choose the rider's category from the list."),
    "language": _l("Choose the rider's language from the list."),
    "age_group": _l("Say whether the rider is under 14."),
    "guardian": _l("Write the name of the parent or guardian."),
    "phone_digits": _l("Write the last four digits of the telephone number, or nothing."),
    "pin": _l(
        "Choose another PIN: six to twelve digits, no run such as 123456, no repeated pattern, "
        "no day such as a birthday."
    ),
    "pin_again": _l("The two PINs differ; type them again."),
    "medium": _l("Choose how the rider wants to ride."),
    "stations": _l("Choose one to %(max)s stations.", max=STATIONS_MAX),
    "consent_text": _l("Show the consent text to the rider again."),
    "consent_given": _l("Nothing can be taken without consent: the rider has to agree first."),
}


Form = TypeVar("Form", bound=BaseModel)


def read_form(fields: Mapping[str, Any]) -> EnrollForm:
    """Check the form's fields; raise ``EnrollmentRefused`` with a sentence for each fault."""
    return _read(EnrollForm, fields)


def read_face_form(fields: Mapping[str, Any]) -> FaceForm:
    """The same for the page that takes new photos."""
    return _read(FaceForm, fields)


def read_pin(fields: Mapping[str, Any]) -> str:
    """The new PIN; raise ``EnrollmentRefused`` where it is not usable or typed differently."""
    form = _read(PinForm, fields)
    if form.pin != form.pin_again:
        raise EnrollmentRefused(str(_WHAT_TO_DO["pin_again"]))
    return form.pin


def _read(kind: type[Form], fields: Mapping[str, Any]) -> Form:
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        faulty = dict.fromkeys(str(fault["loc"][0]) for fault in error.errors())
        problems = [
            str(
                _WHAT_TO_DO.get(
                    name, _l("The form has no field %(name)r; load the page again.", name=name)
                )
            )
            for name in faulty
        ]
        raise EnrollmentRefused(*problems) from error


def check_form(form: EnrollForm, settings: Settings) -> None:
    """Check what one field alone cannot tell; raise ``EnrollmentRefused`` with every fault."""
    problems = [
        *_unknown_stations(form.stations, settings),
        *_consent_problems(form.language, form.medium, form.consent_text),
    ]
    if form.age_group == "under-14" and form.guardian is None:
        problems.append(str(GUARDIAN_AGREES))
    if form.category != FULL_FARE and not form.evidence_checked:
        problems.append(
            _("Look at the evidence for the reduced fare, and say that you did. Keep no copy.")
        )
    if form.pin != form.pin_again:
        problems.append(str(_WHAT_TO_DO["pin_again"]))
    if problems:
        raise EnrollmentRefused(*problems)


def check_face_form(form: FaceForm, settings: Settings) -> None:
    """The same for the page that takes new photos."""
    problems = [
        *_unknown_stations(form.stations, settings),
        *_consent_problems(form.language, form.medium, form.consent_text),
    ]
    if problems:
        raise EnrollmentRefused(*problems)


def _unknown_stations(stations: tuple[str, ...], settings: Settings) -> list[str]:
    unknown = [station for station in stations if station not in settings.stations]
    if not unknown:
        return []
    return [_("There is no station %(name)r; choose stations from the list.", name=unknown[0])]


def _consent_problems(language: str, medium: str, text_id: str) -> list[str]:
    if language not in languages():
        return [str(_WHAT_TO_DO["language"])]
    if text_id == current_consent(language, medium).text_id:
        return []
    return [
        _(
            "The consent text has changed, or was shown in another language: show the rider "
            "the text below and ask again."
        )
    ]
