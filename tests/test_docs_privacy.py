"""The templates for operators: what the laws name is in them, and the app's own words agree."""

from __future__ import annotations

import re

import pytest

from tests.test_docs import ROOT

PRIVACY = ROOT / "docs" / "privacy"


def words(name: str) -> str:
    """A text in one line, without marks of emphasis."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").replace("*", "").split())


def part(text: str, heading: str) -> str:
    """What stands under a heading, to the next one of its kind."""
    assert f"## {heading}" in text, f"there is no part '{heading}'"
    return text.split(f"## {heading}", 1)[1].split(" ## ", 1)[0]


def test_the_release_has_what_illinois_asks_for() -> None:
    """740 ILCS 14/15(b): that it is collected or stored, purpose and length of term, a release."""
    release = part(words("docs/privacy/consent-sheet.md"), "In Illinois")
    for asked in ("in writing", "collects", "stores", "Specific purpose:", "Length of term:",
                  "Written release:", "three years"):  # fmt: skip
        assert asked in release


def test_the_sheet_names_the_purpose_of_the_consent_text() -> None:
    """What riders read on paper and what they agree to at the desk is one purpose."""
    newest = sorted((ROOT / "enrollment" / "consent").glob("en-*.txt"))[-1]
    why = newest.read_text(encoding="utf-8").split("Why\n")[1].split(" The template is used")[0]
    sheet = words("docs/privacy/consent-sheet.md")
    assert " ".join(why.split()) in part(sheet, "For everybody")
    assert "to open the gates at the stations you choose and to charge your fare" in sheet


@pytest.mark.parametrize("law", ["Where the GDPR holds", "In China", "In Illinois"])
def test_the_sheet_has_a_box_to_tick_for_every_law(law: str) -> None:
    assert "☐" in part(words("docs/privacy/consent-sheet.md"), law)


def test_the_assessment_answers_every_letter_of_both_laws() -> None:
    """Art. 35(7)(a) to (d) GDPR and Art. 56(1) to (3) PIPL, each as a part of its own."""
    text = (PRIVACY / "impact-assessment.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^## .*$", text, re.MULTILINE))
    for letter in "abcd":
        assert f"35(7)({letter})" in headings
    for number in "123":
        assert f"56({number})" in headings
    assert "Necessity and proportionality" in headings
    for asked in ("milder", "Advice of the data protection officer", "prior consultation",
                  "30 working days", "at least three years"):  # fmt: skip
        assert asked in text


def test_every_law_of_the_table_has_a_source_to_open() -> None:
    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    sources = text.split("Sources:")[1].split("\n## ")[0]
    for law in ("GDPR", "AI Act", "740 ILCS 14/15", "ISO/IEC 24745"):
        assert re.search(rf"\[{re.escape(law)}[^\]]*\]\(https://", sources), law
    for named in ("EDPB Opinion 11/2024", "PIPL", "Chinese measures"):
        after = sources.split(named, 1)[1]
        assert re.search(r"\]\(https://", after), named
