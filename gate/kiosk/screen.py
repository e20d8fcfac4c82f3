"""What the screen shows now, and waiting for it to change.

The gate's loop writes, the page's requests read:

    {"version": 12, "sign": "go", "title": {"en": "Please go through", "zh": "请通行"},
     "advice": null, "face": [0.4, 0.2, 0.2, 0.35], "money": null, "keys": false, "faults": []}

``sign`` is one of six pictures that differ in colour and in shape. ``face`` is the box of the
nearest face as shares of the picture (left, top, width, height), never a picture. ``faults`` are
the names of those that stand, small below for staff.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gate.display import FaceBox
from gate.faults import FaultBoard
from gate.kiosk.keypad import Keypad
from gate.passage import Phase
from gate.words import Said, Word, both
from models.errors import FacefareError
from models.money import Money

WAIT, LOOK, GO, STOP, ASK, FAULT = "wait", "look", "go", "stop", "ask", "fault"

SIGNS: dict[Phase, tuple[str, Word]] = {
    Phase.IDLE: (WAIT, Word.IDLE),
    Phase.POSITION: (LOOK, Word.POSITION),
    Phase.LOOK: (LOOK, Word.LOOK),
    Phase.OPEN: (GO, Word.OPEN),
    Phase.REFUSED: (STOP, Word.REFUSED),
    Phase.SECOND_FACTOR: (ASK, Word.SECOND_FACTOR),
    Phase.ALREADY_PASSED: (STOP, Word.ALREADY_PASSED),
    Phase.OUT_OF_SERVICE: (FAULT, Word.FAULT),
}
_FACE_STEP = 50
"""A face that moved by less than a fiftieth of the picture is no news to the screen."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One state of the screen."""

    phase: Phase = Phase.IDLE
    advice: Said | None = None
    tap_id: str | None = None
    face: FaceBox | None = None
    money: list[dict[str, Any]] | None = None


class Screen:
    """The gate's ``Display`` for the kiosk page. Every method returns at once, but ``after``."""

    def __init__(self, faults: FaultBoard, keypad: Keypad, silhouette: bool = True) -> None:
        self._faults = faults
        self._keypad = keypad
        self._silhouette = silhouette
        self._shown = Shown()
        self._version = 1
        self._changed = threading.Condition()
        faults.changed = self.refresh

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        """Show where the passage stands; the digits are asked for while a face is in doubt."""
        self._keypad.ask(phase is Phase.SECOND_FACTOR and _digits_help(text))
        self._change(lambda shown: Shown(phase, both(text) if text else None, tap_id, shown.face))

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        """Add fare and balance, if that rider is still on the screen."""
        money = _money(answer)
        if money:
            self._change(
                lambda shown: replace(shown, money=money) if shown.tap_id == tap_id else shown
            )

    def face(self, box: FaceBox | None) -> None:
        """Where the nearest face is now; None: nobody is there."""
        if self._silhouette:
            rounded = box and tuple(round(side * _FACE_STEP) / _FACE_STEP for side in box)
            self._change(lambda shown: replace(shown, face=rounded))

    def refresh(self) -> None:
        """Faults or keys changed: let the page look again."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def after(self, version: int, wait_s: float) -> dict[str, Any]:
        """The state of the screen, at once if it is another than ``version``."""
        with self._changed:
            if self._version == version:
                self._changed.wait(wait_s)
            return self._as_json(self._version, self._shown)

    def _change(self, make: Any) -> None:
        with self._changed:
            after = make(self._shown)
            if after != self._shown:
                self._shown = after
                self._version += 1
                self._changed.notify_all()

    def _as_json(self, version: int, shown: Shown) -> dict[str, Any]:
        sign, title = SIGNS[shown.phase]
        advice = shown.advice
        fault = self._faults.for_riders()
        if fault is not None and shown.phase is not Phase.OPEN:
            sign, title, advice = FAULT, Word.FAULT, both(fault)
        return {
            "version": version,
            "sign": sign,
            "title": _languages(both(title)),
            "advice": _languages(advice) if advice else None,
            "face": shown.face,
            "money": shown.money,
            "keys": self._keypad.asked and sign == ASK,
            "faults": [str(name) for name in self._faults.standing()],
        }


def _digits_help(text: str) -> bool:
    return both(text).code in (Word.TWO_RIDERS, Word.ENTER_DIGITS, Word.DIGITS_WRONG)


def _languages(said: Said) -> dict[str, str]:
    return {"en": said.english, "zh": said.chinese}


def _money(answer: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Fare and balance from the ledger's answer to a tap; None where there is no charge.

    ``{"charge": {"amount": {"currency": "CNY", "minor": 200}}, "balance": {…}}``
    """
    rows = {
        Word.FARE: (answer.get("charge") or {}).get("amount"),
        Word.BALANCE: answer.get("balance"),
    }
    known = {word: amount for word, value in rows.items() if (amount := _amount(value))}
    if Word.FARE not in known:
        return None
    return [
        {
            "name": _languages(both(word)),
            "amount": {"en": amount.text("en"), "zh": amount.text("zh")},
        }
        for word, amount in known.items()
    ]


def _amount(value: Any) -> Money | None:
    """What cannot be read is not shown: the receipt is in the ledger, not on this screen."""
    try:
        return Money(value["minor"], value["currency"])
    except (TypeError, KeyError, FacefareError):
        return None
