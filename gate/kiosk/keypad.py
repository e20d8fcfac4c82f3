"""The last four digits of a phone number, on their way from the screen to the loop.

Digits belong to the passage they were asked in: they are taken once, are forgotten after a
few seconds or when the question goes away, and are never logged.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

DIGITS_AGE_S_MAX = 5.0
TRIES_A_QUESTION = 3

_FOUR = re.compile(r"[0-9]{4}")


class Keypad:
    """Holds at most one entry. ``ask`` and ``take`` are the loop's, ``press`` is the page's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._question_is_open = False
        self._lock = threading.Lock()
        self._tries_left = 0
        self._entered: tuple[str, float] | None = None

    @property
    def asked(self) -> bool:
        """Whether the screen shows the keys now."""
        return self._tries_left > 0

    def ask(self, wanted: bool) -> None:
        """Begin a question, or end it; going on asking gives no new tries."""
        with self._lock:
            if not wanted:
                self._tries_left, self._entered = 0, None
            elif not self._question_is_open:
                self._tries_left = TRIES_A_QUESTION
            self._question_is_open = wanted

    def press(self, digits: str) -> bool:
        """Take four digits from the page; False where none were asked for or they are not."""
        with self._lock:
            if self._tries_left <= 0 or not _FOUR.fullmatch(digits):
                return False
            self._tries_left -= 1
            self._entered = (digits, self._clock())
            return True

    def take(self) -> str | None:
        """The digits entered since this was last asked, if they are fresh."""
        with self._lock:
            entered, self._entered = self._entered, None
        if entered is None or self._clock() - entered[1] > DIGITS_AGE_S_MAX:
            return None
        return entered[0]
