"""On a Chinese page nothing is said in English: every page, and the answer to every form.

A sentence of English is three of its words in a row. What people typed, names, codes and the
bytes of entries are no sentences of ours and stand in ``code`` or ``pre``, or are short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from models.access.staff import choose_language
from tests.attack_site import ENDING_FORMS, Fields, PageForm, Site, make_site, usual
from tests.test_attacks import known, look_up

ENGLISH = re.compile(r"[A-Za-z][a-z]+(?:,? [A-Za-z]?[a-z]+'?){2,}")
NOT_OURS = re.compile(
    r"<(script|style|code|pre|svg|textarea)\b.*?</\1>|<(\w+)[^>]*\slang=\"en\"[^>]*>.*?</\2>",
    re.DOTALL,
)
ROOMS = ("/me", "/enrollment", "/help", "/staff", "/language")
"""The pages of riders, the desk, the help desk and staff."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The whole application, used by somebody who reads Chinese."""
    made = make_site(tmp_path)
    choose_language(made.enrollment.staff, "all", "zh")
    look_up(made)
    return made


def said(page: str) -> str:
    """The words of a page."""
    return unescape(re.sub(r"<[^>]+>", " · ", NOT_OURS.sub(" ", page)))


def english(answer: TestResponse) -> list[str]:
    """The English sentences of a page, if it is one."""
    if answer.status_code in (302, 303) or answer.mimetype not in ("text/html", "application/json"):
        return []
    text = answer.get_data(as_text=True)
    if answer.mimetype == "application/json":
        problem = (answer.get_json() or {}).get("problem") or ""
        text = str(problem)
    return ENGLISH.findall(said(text))


def is_ours(path: str) -> bool:
    return path == "/" or path.startswith(ROOMS)


def attempts(form: PageForm) -> Iterator[Fields]:
    """A form as it is sent by people who take care, and by those who do not."""
    yield usual(form)
    yield {name: [""] for name in form.typed}
    for name in (*form.typed, *form.fields):
        for wrong in ("", "何" * 300):
            yield {**usual(form), name: [wrong]}


def answers(site: Site, form: PageForm, fields: Fields) -> Iterator[TestResponse]:
    """What comes of sending the form, and the page that it leads to with its message."""
    client = site.browser()
    with client.post(form.action, data={**form.fields, **fields}) as answer:
        yield answer
    if answer.status_code == 303 and is_ours(answer.location):
        with client.get(answer.location) as after:
            yield after


def test_every_page_is_chinese(site: Site) -> None:
    wrong = {
        rule: found
        for rule, answer in site.pages(known(site))
        if is_ours(rule) and (found := english(answer))
    }
    assert wrong == {}


def test_the_answer_to_every_form_is_chinese(site: Site) -> None:
    wrong: dict[str, set[str]] = {}
    asked = 0
    for form in site.all_forms(known(site)):
        if not is_ours(form.action) or form.action.endswith(ENDING_FORMS):
            continue
        for fields in attempts(form):
            asked += 1
            for answer in answers(site, form, fields):
                if found := english(answer):
                    wrong.setdefault(form.action, set()).update(found)
    assert wrong == {}
    assert asked > 150  # there was something to look at


def test_english_is_found_where_it_is() -> None:
    assert ENGLISH.findall(said("<p>There is no rider here</p><code>made by hand</code>")) != []
    assert ENGLISH.findall(said('<p>乘客 South Gate</p><p lang="en">I agree to it</p>')) == []
