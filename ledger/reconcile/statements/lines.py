"""What every statement is read into, and how a bad one is refused.

A ``Line`` is also what is paired: a line of a statement that still waits, and cash of ours on
its way to the bank (``deposit``, in no file: ``run`` makes those from the ledger).

Amounts are whole minor units as they change our balance *there*: at the processor a charge
is positive, a refund, a fee and a payout negative; at the bank a receipt is positive.
``fee`` is what was kept back, positive; ``net = gross - fee`` always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from models.errors import FacefareError
from models.money import MoneyError, parse_money

FAULTS_SHOWN = 20
LINES_MAX = 2_000_000
BYTES_MAX = 512 * 1024 * 1024
TEXT_MAX = 500

Source = Literal["processor", "bank"]
Kind = Literal["charge", "refund", "chargeback", "fee", "payout", "receipt", "deposit", "other"]

_PAYOUT = re.compile(r"\bpo_[A-Za-z0-9]{6,}\b")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a statement.

    ``own_id`` is our id where the other side carried it. ``reference`` names a charge as the
    processor does; of a refund or chargeback it names the charge that it takes back, by our
    id where known. ``payout_id`` of a deposit is its slip. ``day`` is a day of the books.
    """

    line_no: int
    line_id: str
    kind: Kind
    gross: int
    fee: int
    currency: str
    day: str
    own_id: str | None = None
    reference: str | None = None
    payout_id: str | None = None
    words: str = ""

    @property
    def net(self) -> int:
        return self.gross - self.fee


@dataclass(frozen=True, slots=True)
class Statement:
    """A file that was read: its profile, whose view it is, and its lines in order.

    ``closed`` are the days of its closing balances: of a quiet day they are all that it says.
    """

    profile: str
    source: Source
    lines: tuple[Line, ...]
    closed: tuple[str, ...] = ()


class StatementRefused(FacefareError):
    """A file that cannot be used; nothing of it was taken. ``faults`` are (line, sentence)."""

    def __init__(self, faults: Iterable[tuple[int, str]]) -> None:
        self.faults = tuple(faults)
        shown = [f"line {line}: {words}" for line, words in self.faults[:FAULTS_SHOWN]]
        if len(self.faults) > FAULTS_SHOWN:
            shown.append(f"and {len(self.faults) - FAULTS_SHOWN} more")
        super().__init__(
            "the statement was refused whole, nothing was imported: " + "; ".join(shown)
        )


class LineFault(FacefareError):
    """One fault of one line; the reader goes on to find the others."""


@dataclass
class Reader:
    """Collects the lines and faults of one file; ids occur once."""

    profile: str
    source: Source
    lines: list[Line] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """Take a line, unless its id was there before."""
        if not line.line_id.rpartition(":")[2]:
            self.faults.append((line.line_no, "the line has no id"))
            return
        if line.line_id in self._seen:
            name, earlier = line.line_id.partition(":")[2], self._seen[line.line_id]
            self.faults.append((line.line_no, f"it repeats {name} of line {earlier}"))
            return
        self._seen[line.line_id] = line.line_no
        if len(line.words) > TEXT_MAX:
            line = replace(line, words=line.words[:TEXT_MAX])
        self.lines.append(line)

    def fault(self, line_no: int, words: str) -> None:
        """Remember what is wrong with a line."""
        self.faults.append((line_no, words))

    def done(self) -> Statement:
        """The statement; raise ``StatementRefused`` if anything was wrong with it."""
        if not (self.faults or self.lines or self.closed):
            self.faults.append((1, "the file has no lines"))
        if self.faults:
            raise StatementRefused(sorted(self.faults))
        return Statement(self.profile, self.source, tuple(self.lines), tuple(self.closed))


def amount(text: str, currency: str, what: str) -> int:
    """Minor units of an amount in major units; raise ``LineFault`` in the line's words."""
    try:
        return parse_money(text, currency).minor
    except MoneyError as error:
        raise LineFault(f"{what}: {error}") from error


def payout_named(words: str) -> str | None:
    """The first payout id that a bank's text names, if any."""
    found = _PAYOUT.search(words)
    return found[0] if found else None
