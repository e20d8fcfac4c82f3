"""Plays a member of staff at the enrollment desk, through the pages that people use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import httpx
import pyotp

from models.errors import FacefareError

_CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
_FORM_ID = re.compile(r'name="id" value="([^"]+)"')
_CONSENT = re.compile(r'name="consent_text" value="([^"]+)"')
_OTHER_THAN = re.compile(r'name="other_than" value="([^"]+)"')
_RECORD = re.compile(r"(/enrollment/riders/[0-9a-z]+)")
_ACCOUNT = re.compile(r"<code>([0-9a-f]{32})</code>")
_PROBLEM = re.compile(r'class="problem"[^>]*>(.*?)</p>', re.DOTALL)


class DeskRefused(FacefareError):
    """A page answered with a problem; the message is the page's own sentence."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a member of staff signs in with."""

    name: str
    password: str
    totp_secret: str


class Desk:
    """A browser's worth of HTTP at ``server``, signed in as one member of staff."""

    def __init__(self, server: str, credentials: Credentials) -> None:
        self._http = httpx.Client(base_url=server, timeout=60.0, follow_redirects=True)
        page = self._page("/staff/sign-in")
        self._post(
            "/staff/sign-in",
            {
                "csrf_token": _found(_CSRF, page),
                "name": credentials.name,
                "password": credentials.password,
                "code": pyotp.TOTP(credentials.totp_secret).now(),
                "next": "/",
            },
        )

    def __enter__(self) -> Desk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def enroll(self, name: str, station: str, photos: list[Path], *, compared: bool = False) -> str:
        """Enroll an adult with ``photos`` and return the account's pseudonym.

        ``compared`` says, where the page finds the face like a rider's, that this is somebody
        else. Raises ``DeskRefused`` with what the page says of the photos or the form.
        """
        page = self._page("/enrollment/new")
        fields: dict[str, str | list[str]] = {
            "csrf_token": _found(_CSRF, page),
            "name": name,
            "category": "adult",
            "language": "en",
            "age_group": "14-or-over",
            "stations": station,
            "consent_text": _found(_CONSENT, page),
            "consent_given": "yes",
        }
        files = [("photos", (photo.name, photo.read_bytes())) for photo in photos]
        answer = self._http.post("/enrollment/new", data=fields, files=files)
        alike = _OTHER_THAN.findall(answer.text)
        if compared and alike:
            fields |= {"is_other": "yes", "other_than": alike}
            answer = self._http.post("/enrollment/new", data=fields, files=files)
        record = _found(_RECORD, self._checked(answer))  # the papers for the rider come first
        return _found(_ACCOUNT, self._page(record))

    def erase(self, rider_id: str) -> None:
        """Erase the rider with this reference, who takes the consent back."""
        page = self._page(f"/enrollment/riders/{rider_id}")
        why = {"csrf_token": _found(_CSRF, page), "reason": "erasure", "note": ""}
        page = self._post(f"/enrollment/riders/{rider_id}/open", why)
        self._post(f"/enrollment/riders/{rider_id}/erase", {"csrf_token": _found(_CSRF, page)})

    def open_drawer(self) -> None:
        """Begin the turn at the till with an empty drawer; nothing changes if one is open."""
        page = self._page("/finance/drawer")
        if "/finance/drawer/open" in page:
            form = {"csrf_token": _found(_CSRF, page), "id": _found(_FORM_ID, page), "counted": "0"}
            self._post("/finance/drawer/open", form)

    def top_up(self, account: str, amount: str) -> None:
        """Take ``amount`` (major units) in cash for ``account``, into the drawer of this desk."""
        self.open_drawer()
        page = self._page("/finance/top-up")
        self._post(
            "/finance/top-up",
            {
                "csrf_token": _found(_CSRF, page),
                "account": account,
                "amount": amount,
                "id": _found(_FORM_ID, page),
            },
        )

    def _page(self, path: str) -> str:
        return self._checked(self._http.get(path))

    def _post(self, path: str, fields: dict[str, str]) -> str:
        return self._checked(self._http.post(path, data=fields))

    def _checked(self, response: httpx.Response) -> str:
        problem = _PROBLEM.search(response.text)
        if problem is not None:
            raise DeskRefused(" ".join(problem.group(1).split()))
        if response.status_code != 200:
            raise DeskRefused(f"{response.url.path} answered {response.status_code}")
        return response.text


def _found(pattern: re.Pattern[str], page: str) -> str:
    match = pattern.search(page)
    if match is None:
        raise DeskRefused(f"the page does not hold what {pattern.pattern!r} looks for")
    return match.group(1)


def new_password() -> str:
    """A random password for the demo's own staff account."""
    return uuid4().hex
