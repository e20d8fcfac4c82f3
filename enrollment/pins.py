"""The PIN a rider chooses at the desk: six to twelve digits, kept as an argon2id hash.

It opens the rider's own pages and nothing at a gate. Digits that are tried first by whoever
found a reference (one digit repeated, a run, a short pattern) are refused.
"""

from __future__ import annotations

import re
from itertools import pairwise

from argon2 import PasswordHasher

PIN_DIGITS_MIN = 6
PIN_DIGITS_MAX = 12

_DIGITS = re.compile(rf"[0-9]{{{PIN_DIGITS_MIN},{PIN_DIGITS_MAX}}}")


def is_usable_pin(pin: str) -> bool:
    """True for six to twelve digits that are not among the first somebody would try."""
    return _DIGITS.fullmatch(pin) is not None and not _is_trivial(pin)


def hash_pin(pin: str) -> str:
    """The argon2id hash for ``Rider.pin_hash``."""
    return PasswordHasher().hash(pin)


def _is_trivial(pin: str) -> bool:
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(pin)}
    is_run = steps in ({0}, {1}, {9})
    is_pattern = any(pin == (pin[:size] * len(pin))[: len(pin)] for size in (1, 2, 3))
    return is_run or is_pattern or len(set(pin)) <= 2
