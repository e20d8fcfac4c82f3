"""Charge what gates send, without keeping riders at one gate waiting for another's backlog.

    nobody else about    [ 512 taps ]                         one transaction
    riders at gates      [ 16 ][ 3 ][ 16 ][ 1 ][ 16 ] …       nobody waits for long

A piece of a backlog is charged as if it had been sent alone. Where a later piece cannot be,
the gate is told to send all again, and is answered as before for what was charged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock

from ledger.answers import Answer
from ledger.charge import (
    TAPS_TOGETHER_MAX,
    Batch,
    charge_batches,
    read_batch,
    refuse_wrong_size,
)
from ledger.ledger import Ledger
from models.access.gates import RegisteredGate
from models.together import Together

PIECE_TAPS = 16
"""Of a backlog, while riders wait: as long as it takes to charge these they wait longer."""

ABOUT_S = 2.0
"""Riders are at gates while the last of their taps is not longer ago."""


class Backlogs:
    """Charges the taps of all requests that this process answers, each exactly once."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock = ledger, clock
        self._charge: Together[Batch, list[Answer]] = Together(
            partial(charge_batches, ledger), TAPS_TOGETHER_MAX, lambda batch: len(batch.arrivals)
        )
        # Two backlogs in one process would only take the interpreter from each other.
        self._one_backlog = Lock()
        self._last_rider = float("-inf")

    def charge(self, gate: RegisteredGate, signed: Sequence[str]) -> list[Answer]:
        """Charge what the authenticated ``gate`` sent; one answer per tap, in order.

        Raises ``BatchRefused`` for no taps or more than 512. When this returns, the answers
        survive a power failure.
        """
        refuse_wrong_size(signed)
        if len(signed) <= TAPS_TOGETHER_MAX:
            self._last_rider = self._clock()
            return self._together(gate, signed)
        answers: list[Answer] = []
        with self._one_backlog:
            while len(answers) < len(signed):
                piece = PIECE_TAPS if self._riders_are_about() else len(signed)
                answers += self._together(gate, signed[len(answers) :][:piece])
        return answers

    def _riders_are_about(self) -> bool:
        return self._clock() - self._last_rider < ABOUT_S

    def _together(self, gate: RegisteredGate, signed: Sequence[str]) -> list[Answer]:
        return self._charge(read_batch(self._ledger, gate.name, signed, lambda _name: gate))
