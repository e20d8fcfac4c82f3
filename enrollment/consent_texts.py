"""The consent texts: one plain file per language and version, ``consent/en-1.txt``.

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

_NAME = re.compile(r"([a-z]{2})-([0-9]+)\.txt")


class NoConsentText(FacefareError):
    """A language in which no consent can be asked for."""


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
    """The languages in which consent can be given."""
    return sorted(_newest())


def current_consent(language: str) -> ConsentText:
    """The newest text in ``language``; raise ``NoConsentText`` where there is none."""
    version = _newest().get(language)
    if version is None:
        raise NoConsentText(
            f"there is no consent text in the language {language!r}; "
            f"choose one of {', '.join(languages())}"
        )
    text_id = f"{language}-{version}"
    text = files("enrollment").joinpath("consent", f"{text_id}.txt").read_text(encoding="utf-8")
    return ConsentText(text_id, language, text)


def _newest() -> dict[str, int]:
    newest: dict[str, int] = {}
    for file in files("enrollment").joinpath("consent").iterdir():
        if match := _NAME.fullmatch(file.name):
            newest[match[1]] = max(int(match[2]), newest.get(match[1], 0))
    return newest
