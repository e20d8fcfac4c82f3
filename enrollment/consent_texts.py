"""The consent texts: one plain file per medium, language and version.

    consent/en-2.txt          hands-free: the template is kept with us
    consent/carried-en-1.txt  face and pass: the template is in the rider's pass only
    consent/pass-en-1.txt     pass: no face at all; says what else is kept

A text that riders agreed to is never edited. New words are a new version, and what a
rider agreed to is recorded with the hash of its words. Its lines come in pairs of a
heading and a paragraph, with an empty line between pairs.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from models.errors import FacefareError

_NAME = re.compile(r"((?:carried-|pass-)?)([a-z]{2})-([0-9]+)\.txt")
_KIND_OF = {"face": "", "face+pass": "carried-", "pass": "pass-"}


class NoConsentText(FacefareError):
    """A language in which no consent can be asked for, or a text that does not exist."""


@dataclass(frozen=True, slots=True)
class ConsentText:
    """One version of the text in one language."""

    text_id: str
    language: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def sections(self) -> list[tuple[str, str]]:
        """(heading, paragraph) in order, for a page."""
        blocks = (block.partition("\n") for block in self.text.strip().split("\n\n"))
        return [(heading, " ".join(body.split())) for heading, _, body in blocks]


def languages() -> list[str]:
    """The languages in which consent can be given to every medium."""
    kinds = set(_KIND_OF.values())
    known = _newest()
    return sorted({code for _, code in known if all((kind, code) in known for kind in kinds)})


def current_consent(language: str, medium: str = "face") -> ConsentText:
    """The newest text in ``language`` for ``medium``; raise ``NoConsentText`` if there is none."""
    kind = _KIND_OF[medium]
    version = _newest().get((kind, language))
    if version is None:
        raise NoConsentText(
            f"there is no consent text in the language {language!r}; "
            f"choose one of {', '.join(languages())}"
        )
    return consent_text(f"{kind}{language}-{version}")


def consent_text(text_id: str) -> ConsentText:
    """The text with this id, also one that is not in use any more."""
    match = _NAME.fullmatch(f"{text_id}.txt")
    file = files("enrollment").joinpath("consent", f"{text_id}.txt")
    if match is None or not file.is_file():
        raise NoConsentText(f"there is no consent text {text_id!r}; look at the rider's record")
    return ConsentText(text_id, match[2], file.read_text(encoding="utf-8"))


def _newest() -> dict[tuple[str, str], int]:
    newest: dict[tuple[str, str], int] = {}
    for file in files("enrollment").joinpath("consent").iterdir():
        if match := _NAME.fullmatch(file.name):
            key = match[1], match[2]
            newest[key] = max(int(match[3]), newest.get(key, 0))
    return newest
