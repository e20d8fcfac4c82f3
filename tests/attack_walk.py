"""Somebody who fills every form of a site with what does harm, and follows what appears then.

Each form is read from its page as a browser would, sent once for each field and each hostile
text, and again whenever it carries the id or version of one use. Forms on the pages that come
back, and where they lead to, are filled in too: a drawer has to be open before it is closed. What
uses a record up comes after what only changes it, and what ends the walk comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from tests.attack_site import Fields, PageForm, Site, built, forms_on, usual

ORDER = tuple(map(re.compile, (
    "", "approve|medium|pass-only|freeze|thaw|waiting|disputes/|remove|stop|delete|revoke|lift"
    "|drawer/deposit", "resolve|close|disable|enable|reset", "sign-out", "leave", "erase",
)))  # fmt: skip
"""What is filled in first, and what after it because it uses up what the others need."""
ENDS = 3
"""The place in ``ORDER`` of what ends the walk."""
REFUSED_BEFORE = (403, 404, 405, 413, 415)
"""Answers after which nothing that was sent has been looked at."""

Form = tuple[str, tuple[str, ...]]
"""What tells a form from others: where it goes, and its fields."""


@dataclass
class Walk:
    """Everything that was said on the way, and which addresses took something.

    ``hostile`` is what is typed into each field: the first text that goes in.
    """

    site: Site
    known: dict[str, Any]
    hostile: tuple[str, ...]
    upload_names: tuple[str, ...]
    said: list[tuple[str, str]] = field(default_factory=list)
    by_form: set[str] = field(default_factory=set)
    reached: dict[str, set[int]] = field(default_factory=dict)
    _seen: set[Form] = field(default_factory=set)
    _waiting: list[PageForm] = field(default_factory=list)

    def through(self, *more_pages: str) -> None:
        """Fill in every form there is, but those that end the walk."""
        client = self.site.browser()
        for method, rule in self.site.rules():
            if method == "GET":
                self._look(client, built(rule, self.known))
        for path in more_pages:
            self._look(client, path)
        self._fill_in(range(ENDS))

    def end(self) -> None:
        """Fill in those too."""
        self._fill_in(range(len(ORDER)))

    def look(self, path: str, **given: Any) -> None:
        """Load one page more."""
        with self.site.browser().get(path, **given) as answer:
            self.hear(answer)

    def send(self, path: str, **given: Any) -> None:
        """Send what a script would."""
        with self.site.browser().post(path, **given) as answer:
            self.hear(answer)

    def _fill_in(self, places: range) -> None:
        while forms := [form for form in self._waiting if _place(form) in places]:
            form = min(forms, key=_place)
            self._waiting.remove(form)
            self._try(form)

    def _try(self, form: PageForm) -> None:
        client = self.site.browser()
        now = self._again(client, form) if "version" in form.fields else form
        attempts = list(self._attempts(form))
        for fields, upload in attempts if _place(form) < ENDS else attempts[-1:]:
            if now is None:
                return
            with self.site.send(now, fields, upload, client) as answer:
                self.hear(answer)
                self.by_form.add(self._endpoint(form.action, "POST"))
                self._take_forms(answer)
                led = answer.location or ""
            if led:  # it was taken: what it leads to is looked at, and an id is good once
                page = self._look(client, led) if led.startswith("/") else ""
                now = self._on(page, form) if led == form.page else self._again(client, form)

    def _attempts(self, form: PageForm) -> Iterator[tuple[Fields, str]]:
        """What is sent: the hostile text in each field, then in all, as a file's name; usual."""
        filled = usual(form, about=self.known["entry_id"])
        names = [name for name in (*form.typed, *form.fields) if name != "csrf_token"]
        hostile = {name: [self._hostile(form.lengths.get(name, 10**6))] for name in names}
        slow = "password" in form.kinds  # each is a hash that is slow on purpose
        for name in () if slow else names:
            yield {**filled, name: hostile[name]}, ""
        yield hostile, ""
        for name in self.upload_names if form.files else ():
            yield filled, name
        yield filled, ""

    def _hostile(self, length_max: int) -> str:
        """The first hostile text that a browser would let somebody type into a field so long."""
        return next((text for text in self.hostile if len(text) <= length_max), self.hostile[0])

    def _again(self, client: FlaskClient, form: PageForm) -> PageForm | None:
        """The form as its page has it now; None where the page has it no more."""
        with client.get(form.page) as answer:
            return self._on(_html(answer), form)

    def _on(self, page: str, form: PageForm) -> PageForm | None:
        same = (one for one in forms_on(form.page, page) if self._key(one) == self._key(form))
        return next(same, None)

    def _look(self, client: FlaskClient, path: str) -> str:
        with client.get(path) as answer:
            self.hear(answer)
            self._take_forms(answer)
            return _html(answer)

    def _take_forms(self, answer: TestResponse) -> None:
        page = answer.request.full_path.rstrip("?") if answer.request.method == "GET" else ""
        for form in forms_on(page, _html(answer)):
            key = self._key(form)
            if form.method == "POST" and key not in self._seen and (page or form.action):
                self._seen.add(key)
                self._waiting.append(form)

    def _key(self, form: PageForm) -> Form:
        return self._endpoint(form.action, "POST"), tuple(form.fields)

    def _endpoint(self, path: str, method: str) -> str:
        try:
            address = path.partition("?")[0]
            return str(self.site.app.url_map.bind("localhost").match(address, method)[0])
        except HTTPException:
            return path

    def hear(self, answer: TestResponse) -> None:
        """Take down what was answered."""
        asked = answer.request
        assert answer.status_code < 500 or asked.path == "/health/ledger", asked.path
        self.said.append((f"{asked.method} {asked.full_path.rstrip('?')}", _html(answer)))
        asks_who = "/sign-in" in (answer.location or "") and "sign-out" not in asked.path
        asks_who |= asked.path.startswith("/api/") and answer.status_code == 401
        if asked.method == "POST" and not asks_who and answer.status_code not in REFUSED_BEFORE:
            endpoint = self._endpoint(asked.path, "POST")
            self.reached.setdefault(endpoint, set()).add(answer.status_code)


def _place(form: PageForm) -> int:
    return max(place for place, matches in enumerate(ORDER) if matches.search(form.action))


def _html(answer: TestResponse) -> str:
    return answer.get_data(as_text=True) if answer.mimetype == "text/html" else ""
