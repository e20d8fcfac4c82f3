"""The PIN that opens a rider's own pages: six to twelve digits, kept as an argon2id hash.

It opens nothing at a gate. Digits that are tried first by whoever found a reference are
refused: one digit repeated, runs, short patterns, what is drawn on the keypad, and days,
because the first guess is a birthday.

    111111   123456   121212   123123   112233   147258   850412   19850412   041985
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise

from argon2 import PasswordHasher

PIN_DIGITS_MIN = 6
PIN_DIGITS_MAX = 12

_DIGITS = re.compile(rf"[0-9]{{{PIN_DIGITS_MIN},{PIN_DIGITS_MAX}}}")
_KEYPAD = ("147258", "258369", "147369", "159357", "159753", "357159", "741852", "963852")
_DAYS = ("%y%m%d", "%d%m%y", "%m%d%y", "%Y%m", "%m%Y", "%Y%m%d", "%d%m%Y", "%m%d%Y")
_YEARS = range(1900, 2070)  # so that 300112 is a day and 301712 is none


def is_usable_pin(pin: str) -> bool:
    """True for six to twelve digits that are not among the first somebody would try."""
    return _DIGITS.fullmatch(pin) is not None and not _is_trivial(pin)


def hash_pin(pin: str) -> str:
    """The argon2id hash for ``Rider.pin_hash``."""
    return PasswordHasher().hash(pin)


def _is_trivial(pin: str) -> bool:
    is_pattern = any(pin == (pin[:size] * len(pin))[: len(pin)] for size in (1, 2, 3))
    is_mirrored = _is_run(pin[: (len(pin) + 1) // 2]) and pin == pin[::-1]
    is_doubled = pin[::2] == pin[1::2] and _is_run(pin[::2])
    return (
        _is_run(pin)
        or is_pattern
        or is_mirrored
        or is_doubled
        or len(set(pin)) <= 2
        or pin in _KEYPAD
        or _is_a_day(pin)
    )


def _is_run(digits: str) -> bool:
    """The same digit, or each one more or one less than the digit before."""
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(digits)}
    return steps in ({0}, {1}, {9})


def _is_a_day(pin: str) -> bool:
    """Whether the digits are a day, or a month with its year, in any usual order."""
    return any(_read_day(pin, order) for order in _DAYS)


def _read_day(pin: str, order: str) -> bool:
    if len(pin) != len(datetime(2000, 1, 1).strftime(order)):  # noqa: DTZ001 - only its length
        return False
    try:
        return datetime.strptime(pin, order).year in _YEARS  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return False
