"""The other side of the money: the payment processor, its reports, and the bank's statement.

The processor is the pretend one of the ledger's own tests; it loses replies and sends its
messages in any order. Its report may lack a line or have one twice. ``expected`` says from
what really moved which differences finance has to be told of, by arithmetic of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from facefare.simulate.founding import PROCESSOR
from facefare.simulate.steps import ProcessorTrouble
from facefare.simulate.truth import Truth
from ledger.processors.pretend import Moved, PretendProcessor
from models.money import Money

PROCESSOR_DAYS = 2  # how long a claim may be missing in the report, as finance is told it is
_KINDS = {"charge": "charge", "refund": "refund", "dispute": "chargeback"}

Difference = tuple[str, str]
"""What finance is told: the kind of a difference and what it is about."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the ledger says the processor owes, read from its entries."""

    entry_id: str
    kind: str
    corrects: str | None
    minor: int
    day: date


class Bank:
    """The processor and the bank of the city."""

    def __init__(self, clock: Callable[[], datetime], truth: Truth) -> None:
        self._clock, self._truth = clock, truth
        self.trouble: ProcessorTrouble = "none"
        self.processor = PretendProcessor(
            clock, name=PROCESSOR, next_trouble=lambda _: self._next_trouble()
        )
        self.disputed: set[str] = set()
        self._paid: dict[str, date] = {}
        self._lost: set[str] = set()
        self._doubled: set[str] = set()
        self._told: Counter[bytes] = Counter()

    def _next_trouble(self) -> ProcessorTrouble:
        trouble, self.trouble = self.trouble, "none"
        if trouble != "none":
            self._truth.count(f"payment: {trouble.replace('_', ' ')}")
        return trouble

    @property
    def charges(self) -> list[Moved]:
        """The card top-ups that really happened."""
        return [moved for moved in self.processor.moved if moved.kind == "charge"]

    def messages(self, picks: Iterable[int]) -> Iterator[tuple[bytes, str]]:
        """Some of all messages so far, as the numbers of a story pick them."""
        sent = self.processor.messages()
        for pick in picks if sent else ():
            body, signature = sent[pick % len(sent)]
            self._told[body] += 1
            self._truth.count("webhook replayed" if self._told[body] > 1 else "webhook late")
            yield body, signature

    def pay_out(self, lose: int | None, double: int | None) -> None:
        """Pay out what waits; of the lines one may never be reported, and one twice."""
        waiting = [moved for moved in self.processor.moved if moved.payout is None]
        if sum(moved.amount.minor - moved.fee for moved in waiting) == 0:
            return
        self._paid[str(self.processor.pay_out())] = self._clock().date()
        charges = [moved.name for moved in waiting if moved.kind == "charge"]
        if lose is not None and charges:
            self._lost.add(charges.pop(lose % len(charges)))
            self._truth.count("report line lost")
        if double is not None and charges:
            self._doubled.add(charges[double % len(charges)])
            self._truth.count("report line doubled")

    def _lines(self) -> Iterator[tuple[str, Moved]]:
        """The lines of the report so far, with their ids."""
        for moved in self.processor.moved:
            if moved.payout is not None and moved.name not in self._lost:
                yield moved.name, moved
                if moved.name in self._doubled:
                    yield f"{moved.name}-again", moved

    def _nets(self) -> Counter[str]:
        """What each payout really came to."""
        nets: Counter[str] = Counter()
        for moved in self.processor.moved:
            if moved.payout is not None:
                nets[moved.payout] += moved.amount.minor - moved.fee
        return nets

    def report(self) -> bytes:
        """Everything paid out so far, in the generic profile of a processor."""
        rows = ["id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text"]
        for name, moved in self._lines():
            gross, currency = moved.amount, moved.amount.currency
            fee = Money(moved.fee, currency)
            own = "" if moved.kind == "dispute" else moved.order_id
            reference = moved.name if moved.kind == "charge" else moved.charge
            net = gross - fee
            cells = (name, moved.at.date(), _KINDS[moved.kind], own, reference, moved.payout,
                     gross.major(), fee.major(), net.major(), currency, moved.kind)  # fmt: skip
            rows.append(",".join(map(str, cells)))
        for payout, minor in sorted(self._nets().items()):
            out = Money(-minor, self._currency).major()
            rows.append(f"{payout},{self._paid[payout]},payout,,,{payout},{out},0.00,{out},"
                        f"{self._currency},payout")  # fmt: skip
        return ("\n".join(rows) + "\n").encode()

    def statement(self) -> bytes:
        """The payouts as they reach the bank, in the generic profile of a bank."""
        rows = ["id,day,amount,currency,reference,text"]
        for payout, net in sorted(self._nets().items()):
            amount = Money(net, self._currency).major()
            rows.append(
                f"b-{payout},{self._paid[payout]},{amount},{self._currency},{payout},Payout"
            )
        return ("\n".join(rows) + "\n").encode()

    @property
    def _currency(self) -> str:
        return self.processor.moved[0].amount.currency

    def expected(self, claims: Sequence[Claim], today: date) -> set[Difference]:
        """The differences between what the ledger claims and what was reported."""
        left = list(claims)
        found: set[Difference] = set()
        wrong: Counter[str] = Counter()
        for name, moved in self._lines():
            claim = next((claim for claim in left if _same(claim, moved)), None)
            if claim is not None:
                left.remove(claim)
            else:
                found.add((self._kind(name, moved, claims), f"generic:{name}"))
            if name != moved.name:
                wrong[str(moved.payout)] += moved.amount.minor - moved.fee
        for moved in self.processor.moved:
            if moved.name in self._lost:
                wrong[str(moved.payout)] -= moved.amount.minor - moved.fee
        found |= {("payout_sum", f"generic:{name}") for name, minor in wrong.items() if minor}
        return found | {
            ("missing_at_processor", claim.entry_id)
            for claim in left
            if (today - claim.day).days >= PROCESSOR_DAYS
        }

    def _kind(self, name: str, moved: Moved, claims: Sequence[Claim]) -> str:
        if name != moved.name and any(claim.entry_id == moved.order_id for claim in claims):
            return "duplicate"
        if moved.kind == "dispute":
            return "chargeback"
        known = any(claim.entry_id == moved.charge for claim in claims)
        if moved.kind == "refund" and not known:
            return "refund_without_charge"
        return "missing_in_ledger"


def _same(claim: Claim, moved: Moved) -> bool:
    if moved.kind == "dispute":
        return claim.kind == "chargeback" and claim.corrects == moved.charge
    return claim.entry_id == moved.order_id
