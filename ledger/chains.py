"""A gate's chain of taps: is this tap the next one, or is one missing, or are there two?

    ok     its neighbours are known and each names the one before
    gap    the tap before it never came: charged, and a difference until the missing one arrives
    fork   it contradicts a tap that is here already: the gate's record was changed or
           copied. It is kept and not charged, and a difference until two persons charge it
           or one leaves it so

Pure: the neighbours are handed in.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.answers import ChainState
from models.wire.tap import FIRST_PREV


class Link(NamedTuple):
    """A tap in its gate's chain: its hash and the hash it gives for the tap before."""

    hash: str
    prev: str


class Verdict(NamedTuple):
    """The state and, unless it is ok, the reason in words."""

    state: ChainState
    words: str = ""


def judge(seq: int, link: Link, known: dict[int, Link]) -> Verdict:
    """How tap number ``seq`` fits between the ``known`` taps of its gate, by number."""
    before, same, after = known.get(seq - 1), known.get(seq), known.get(seq + 1)
    if same is not None and same != link:
        return Verdict("fork", f"the gate sent another tap as its number {seq} before")
    if after is not None and after.prev != link.hash:
        return Verdict("fork", f"the gate's tap {seq + 1} follows another tap than this one")
    if seq == 1:
        if link.prev != FIRST_PREV:
            return Verdict("fork", "the gate's first tap names a tap before it")
        return Verdict("ok")
    if before is None:
        return Verdict("gap", f"the gate's tap {seq - 1} has not arrived")
    if before.hash != link.prev:
        return Verdict("fork", f"this tap follows another tap {seq - 1} than the one that is here")
    return Verdict("ok")
