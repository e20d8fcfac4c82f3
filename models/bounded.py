"""Requests to other servers whose answers are read up to a size, and for a time, and no further.

``httpx`` waits a few seconds for each piece, and for the whole as long as pieces come: a server
that sends a byte a second, or that never stops, would hold a thread or fill the memory. What is
packed is refused, because a few kilobytes unpack to gigabytes. Redirects are answers like any
other: who was asked is who answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx


class AnswerRefused(httpx.ReadError):
    """The answer was too long, took too long, or came packed."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How many bytes of an answer are read, and for how many seconds."""

    bytes_max: int
    seconds_max: float


def ask(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    content: bytes,
    headers: Mapping[str, str],
    bound: Bound,
    timeout_s: float,
) -> httpx.Response:
    """The answer, whole and within ``bound``; ``timeout_s`` is for each piece of it.

    Raises ``httpx.HTTPError``: what went wrong on the way, or an ``AnswerRefused``.
    """
    until, body = time.monotonic() + bound.seconds_max, bytearray()
    with client.stream(
        method,
        url,
        content=content,
        headers={**headers, "Accept-Encoding": "identity"},
        follow_redirects=False,
        timeout=timeout_s,
    ) as answer:
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise AnswerRefused("the answer is packed, which was not asked for")
        for piece in answer.iter_bytes():  # not packed, so these are as they came
            body += piece
            if len(body) > bound.bytes_max:
                raise AnswerRefused(f"the answer is longer than {bound.bytes_max} bytes")
            if time.monotonic() > until:
                raise AnswerRefused(f"the answer takes longer than {bound.seconds_max:g} seconds")
    return httpx.Response(
        answer.status_code, headers=answer.headers, content=bytes(body), request=answer.request
    )
