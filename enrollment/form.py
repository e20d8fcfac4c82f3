"""The enrollment form: what a member of staff fills in with the rider beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from enrollment.consent_texts import current_consent, languages
from models.errors import FacefareError
from models.settings import Settings

CATEGORIES = ("adult", "child", "student", "senior", "concession")
STATIONS_MAX = 6  # "my stations" stay a handful: a template lies only where its owner rides
NAME_CHARACTERS_MAX = 120

AgeGroup = Literal["under-14", "14-or-over"]


class EnrollmentRefused(FacefareError):
    """An enrollment that cannot go on; ``problems`` has one sentence for each fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def _tidy(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


Name = Annotated[
    str,
    BeforeValidator(_tidy),
    Field(min_length=1, max_length=NAME_CHARACTERS_MAX, pattern=r"^[^\x00-\x1f\x7f<>]+$"),
]


class EnrollForm(BaseModel):
    """The fields of the form, checked one by one; what depends on settings is checked later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    category: Literal["adult", "child", "student", "senior", "concession"]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    age_group: AgeGroup
    guardian: Name | None = None
    stations: tuple[str, ...] = Field(min_length=1, max_length=STATIONS_MAX)
    consent_text: str = Field(max_length=40)
    consent_given: Literal[True]


_WHAT_TO_DO = {
    "name": f"Write the rider's name, up to {NAME_CHARACTERS_MAX} characters.",
    "category": "Choose the rider's category from the list.",
    "language": "Choose the rider's language from the list.",
    "age_group": "Say whether the rider is under 14.",
    "guardian": "Write the name of the parent or guardian.",
    "stations": f"Choose one to {STATIONS_MAX} stations.",
    "consent_text": "Show the consent text to the rider again.",
    "consent_given": "Nothing can be taken without consent: the rider has to agree first.",
}


def read_form(fields: Mapping[str, Any]) -> EnrollForm:
    """Check the form's fields; raise ``EnrollmentRefused`` with a sentence for each fault."""
    try:
        return EnrollForm.model_validate(dict(fields))
    except ValidationError as error:
        faulty = dict.fromkeys(str(fault["loc"][0]) for fault in error.errors())
        problems = [
            _WHAT_TO_DO.get(name, f"The form has no field {name!r}; load the page again.")
            for name in faulty
        ]
        raise EnrollmentRefused(*problems) from error


def check_form(form: EnrollForm, settings: Settings) -> None:
    """Check what one field alone cannot tell; raise ``EnrollmentRefused`` with every fault."""
    problems = []
    unknown = [station for station in form.stations if station not in settings.stations]
    if unknown:
        problems.append(f"There is no station {unknown[0]!r}; choose stations from the list.")
    if form.age_group == "under-14" and form.guardian is None:
        problems.append(
            "For a rider under 14 a parent or guardian agrees: write the guardian's name."
        )
    if form.language not in languages():
        problems.append(_WHAT_TO_DO["language"])
    elif form.consent_text != current_consent(form.language).text_id:
        problems.append(
            "The consent text has changed, or was shown in another language: show the rider "
            "the text below and ask again."
        )
    if problems:
        raise EnrollmentRefused(*problems)
