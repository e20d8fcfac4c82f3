"""SWIFT MT940: the bank statement as tagged text lines.

    :20:STMT1                          :61:2611241124C19,42NTRFP-9//B1
    :25:DE89370400440532013000         :86:Processor payout p-9
    :28C:17/1                          :62F:C261124EUR119,42
    :60F:C261123EUR100,00

A statement whose lines do not lead from its opening to its closing balance is refused: a
line is missing, and the parsers at hand do not notice. Nothing outside a tag is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from ledger.reconcile.statements.lines import (
    Line,
    LineFault,
    Reader,
    Statement,
    amount,
    payout_named,
)
from ledger.reconcile.statements.tables import decode_text

_TAG = re.compile(r":([0-9]{2}[A-Z]?):(.*)")
_BALANCE = re.compile(r"([CD])([0-9]{6})([A-Z]{3})([0-9]+,[0-9]*)")
_MOVE = re.compile(
    r"([0-9]{6})([0-9]{4})?(R?[CD])([A-Z])?([0-9]+,[0-9]*)([A-Z][A-Z0-9 ]{3})"
    r"(.{0,16}?)(?://(.{0,40}))?"
)
_IGNORED = ("13", "13D", "21", "34F", "64", "65", "90C", "90D", "NS")
_SUBFIELD = re.compile(r"\?[0-9]{2}")
_ENVELOPE = re.compile(r"\{[1-5]:.*|-\}?|-")


@dataclass(slots=True)
class _Open:
    """A statement between its opening and its closing balance."""

    account: str = ""
    number: str = ""
    currency: str = ""
    opened: str = ""
    balance: int = 0
    moves: int = 0
    waiting: tuple[int, re.Match[str], str] | None = None
    words: str = ""


def read_mt940(data: bytes, _zone: ZoneInfo) -> Statement:
    """Read one file of MT940 statements; raise ``StatementRefused`` with every fault."""
    reader, state = Reader("mt940", "bank"), _Open()
    line_no = 1
    for line_no, tag, value in _fields(decode_text(data), reader):
        try:
            state = _take(reader, state, line_no, tag, value)
        except LineFault as error:
            reader.fault(line_no, str(error))
    if state.currency:
        reader.fault(line_no, "the last statement has no closing balance :62F:")
    return reader.done()


def _fields(text: str, reader: Reader) -> Iterator[tuple[int, str, str]]:
    """(line, tag, value) of each field; a value goes on in the lines that have no tag."""
    current: tuple[int, str, str] | None = None
    for line_no, line in enumerate(text.splitlines(), 1):
        found = _TAG.fullmatch(line)
        if found:
            if current:
                yield current
            current = line_no, found[1], found[2]
        elif not line.strip() or _ENVELOPE.fullmatch(line.strip()):
            continue
        elif current:
            current = current[0], current[1], f"{current[2]}\n{line}"
        else:
            reader.fault(line_no, "it stands before the first tag")
    if current:
        yield current


def _take(reader: Reader, state: _Open, line_no: int, tag: str, value: str) -> _Open:
    if tag == "86" and state.waiting:
        state.words = value
        return state
    _flush(reader, state)
    if tag == "20":
        if state.currency:
            raise LineFault("a statement begins before the one before it was closed")
        return _Open()
    if tag == "25":
        state.account = value.strip()
    elif tag == "28C":
        state.number = value.strip()
    elif tag in ("60F", "60M"):
        state.balance, state.currency, state.opened = _balance(value)
    elif tag == "61":
        _move(state, line_no, value)
    elif tag in ("62F", "62M"):
        _close(reader, state, value)
    elif tag not in (*_IGNORED, "86"):
        raise LineFault(f"the tag :{tag}: is not one of a statement")
    return state


def _balance(value: str) -> tuple[int, str, str]:
    found = _BALANCE.fullmatch(value.strip())
    if not found:
        raise LineFault(f"{value!r} is not a balance like C261123EUR100,00")
    minor = _amount(found[4], found[3])
    return (minor if found[1] == "C" else -minor), found[3], _date(found[2])


def _move(state: _Open, line_no: int, value: str) -> None:
    if not state.currency:
        raise LineFault("a movement stands before the opening balance :60F:")
    first, _, more = value.partition("\n")
    found = _MOVE.fullmatch(first.rstrip())
    if not found:
        raise LineFault(f"{first!r} is not a movement like 2611241124C19,42NTRFREF//BANKREF")
    _amount(found[5], state.currency)
    state.waiting, state.words = (line_no, found, more), ""


def _flush(reader: Reader, state: _Open) -> None:
    """Make a line of the movement that waited for its :86: text."""
    if state.waiting is None:
        return
    line_no, found, more = state.waiting
    state.waiting = None
    minor = _amount(found[5], state.currency)
    minor = minor if found[3] in ("C", "RD") else -minor
    state.balance += minor
    state.moves += 1
    told = _SUBFIELD.sub("", state.words).replace("\n", "")
    words = " ".join(filter(None, (found[7].strip(), found[8] or "", more.strip(), told)))
    name = f"{state.account}:{state.number}:{state.opened}:{state.moves}"
    reader.add(
        Line(line_no, f"bank:{name}", "receipt", minor, 0, state.currency, _booked(found),
             reference=found[7].strip() or None, payout_id=payout_named(words), words=words)
    )  # fmt: skip


def _booked(found: re.Match[str]) -> str:
    """The booking date, which is written without a year: the one nearest to the value date."""
    value = _date(found[1])
    if not found[2]:
        return value
    year = int(value[:4])
    days = [day for near in (year - 1, year, year + 1) if (day := _day(near, found[2]))]
    if not days:
        raise LineFault(f"{found[2]!r} is not a day like 1124")
    return min(days, key=lambda day: abs(day - date.fromisoformat(value))).isoformat()


def _day(year: int, month_and_day: str) -> date | None:
    try:
        return date(year, int(month_and_day[:2]), int(month_and_day[2:]))
    except ValueError:
        return None


def _close(reader: Reader, state: _Open, value: str) -> None:
    if not state.currency:
        raise LineFault("a closing balance stands without an opening one")
    opened_in, state.currency = state.currency, ""
    balance, currency, day = _balance(value)
    if (balance, currency) != (state.balance, opened_in):
        raise LineFault(
            f"the movements lead to {state.balance} minor units, the closing balance says "
            f"{balance}: lines are missing or changed"
        )
    reader.closed.append(day)


def _amount(text: str, currency: str) -> int:
    return amount(text.rstrip(",").replace(",", "."), currency, "amount")


def _date(text: str) -> str:
    try:
        found = date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError as error:
        raise LineFault(f"{text!r} is not a date like 261123") from error
    return found.isoformat()
