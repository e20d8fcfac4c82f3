"""Canonical JSON (RFC 8785): one value, one sequence of bytes.

What is hashed or signed is always these bytes, and what was hashed is stored as it is: a
verifier never has to guess how a number or a key was spelled.
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from models.errors import FacefareError


class CanonicalError(FacefareError):
    """Bytes that are not canonical JSON, or a value that has no canonical form."""


def canonical_bytes(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value.

    Raises ``CanonicalError`` for NaN, infinities, integers beyond 2**53 and keys that are
    not text: they have no interoperable form.
    """
    try:
        return bytes(rfc8785.dumps(value))
    except rfc8785.CanonicalizationError as error:
        raise CanonicalError(f"the value has no canonical JSON form: {error}") from error


def parse_canonical(data: bytes) -> Any:
    """Read canonical JSON and refuse every other spelling of the same value.

    The check is by writing the value again: duplicate keys, spaces, other key orders,
    ``1.0`` for ``1`` and escapes that need not be there all come out different.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CanonicalError("the message is not JSON") from error
    if canonical_bytes(value) != data:
        raise CanonicalError("the message is JSON but not in its canonical form (RFC 8785)")
    return value
