"""A processor that only pretends, for tests, the demo and simulations: it has every fault we know.

It loses replies after it charged, carries orders out late, sends its messages doubled and in
any order, and pays out with fees. What it never does is what no processor does: it carries
out one order per idempotency key, and refunds no more than it charged. Its reports are
CSV files in Stripe's columns and a bank statement in ours, made from what it really did.

Everything random comes from the seed.
"""

from __future__ import annotations

import hmac
import json
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ledger.processors.protocol import (
    Card,
    CardPage,
    CardPageOrder,
    ChargeOrder,
    Dispute,
    Event,
    Failed,
    NotThere,
    Order,
    Outcome,
    OutcomeUnknown,
    Pending,
    RefundOrder,
    Succeeded,
    WebhookRefused,
)
from models.money import Money

DECLINED = "card_declined"
"""A method whose name begins so is always declined."""

Trouble = Literal["none", "lose_reply", "delay", "lose_order"]


@dataclass
class Moved:
    """Money that moved at the processor."""

    name: str
    kind: str
    order_id: str
    charge: str
    amount: Money
    fee: int
    at: datetime
    payout: str | None = None


@dataclass
class PretendPage:
    """A page on which a card is typed in, and what was."""

    order: CardPageOrder
    card: Card | None = None


@dataclass
class PretendProcessor:
    """A processor in memory; ``next_trouble`` says what befalls each order.

    ``address`` is where its pages are (``pretend_pages``), empty for the server itself.
    """

    clock: Callable[[], datetime]
    seed: int = 1
    secret: bytes = b"pretend"
    name: str = "pretend"
    address: str = ""
    next_trouble: Callable[[random.Random], Trouble] = lambda rng: "none"
    moved: list[Moved] = field(default_factory=list)
    orders_seen: int = 0
    pages: dict[str, PretendPage] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _bodies: dict[str, Order] = field(default_factory=dict)
    _late: list[Order] = field(default_factory=list)
    _messages: list[bytes] = field(default_factory=list)
    _disputes: dict[str, Dispute] = field(default_factory=dict)

    @classmethod
    def at_play(cls, clock: Callable[[], datetime]) -> PretendProcessor:
        """One for the demo, whose messages nobody else can sign."""
        return cls(clock, seed=secrets.randbits(32), secret=secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - it plays, it keeps no secret

    @property
    def elsewhere(self) -> bool:
        return bool(self.address)

    def open_card_page(self, order: CardPageOrder) -> CardPage:
        session = f"cs_{order.page_id}"
        if self.pages.setdefault(session, PretendPage(order)).order != order:
            raise AssertionError(f"{order.key} was used for two pages")
        return CardPage(session, f"{self.address}/pretend/cards/{session}")

    def type_card(self, session: str, last4: str, *, declined: bool = False) -> None:
        """The rider types a card in on our page; doing it again changes nothing."""
        page = self.pages[session]
        if page.card is None:
            number = f"{len(self.pages):06d}{self.rng.randrange(10**6):06d}"
            method = f"{DECLINED}_{number}" if declined else f"pm_{number}"
            page.card = Card(f"cus_{number}", method, "visa", last4, 12, self.clock().year + 3)
            self._tell("order", {"order": page.order.page_id})

    def find_card(self, page_id: str, session: str) -> Card | Pending | Failed:
        page = self.pages.get(session)
        if page is None or page.order.page_id != page_id:
            return Failed("not_there")
        if page.card is None:
            return Failed("expired") if self.clock() >= page.order.until else Pending()
        return page.card

    def forget_card(self, customer: str, method: str) -> None:
        if method not in self.forgotten:
            self.forgotten.append(method)

    def charge(self, order: ChargeOrder) -> Outcome:
        return self._carry_out(order)

    def refund(self, order: RefundOrder) -> Outcome:
        return self._carry_out(order)

    def find_charge(self, order: ChargeOrder) -> Outcome | NotThere:
        return self._find(order)

    def find_refund(self, order: RefundOrder) -> Outcome | NotThere:
        return self._find(order)

    def _find(self, order: Order) -> Outcome | NotThere:
        if order in self._late:
            return Pending()
        return self._outcomes.get(order.key, NotThere())

    def _carry_out(self, order: Order) -> Outcome:
        self.orders_seen += 1
        if self._bodies.setdefault(order.key, order) != order:
            raise AssertionError(f"{order.key} was used for two orders")
        if order.key in self._outcomes:
            return self._outcomes[order.key]
        trouble = self.next_trouble(self.rng)
        if trouble == "lose_order":
            raise OutcomeUnknown("the connection broke")
        if trouble == "delay":
            self._late.append(order)
            raise OutcomeUnknown("the processor did not answer in time")
        outcome = self._decide(order)
        if trouble == "lose_reply":
            raise OutcomeUnknown("the reply was lost")
        return outcome

    def _decide(self, order: Order) -> Outcome:
        outcome = self._outcomes[order.key] = self._move(order)
        self._tell("order", {"order": order.order_id})
        return outcome

    def _move(self, order: Order) -> Outcome:
        name = f"{len(self.moved):06d}"
        if isinstance(order, ChargeOrder):
            if order.method.startswith(DECLINED):
                return Failed(DECLINED)
            if order.method in self.forgotten:
                return Failed("resource_missing")
            fee = order.amount.minor * 14 // 1000 + 25
            self.moved.append(Moved(f"pi_{name}", "charge", order.order_id, order.order_id,
                                    order.amount, fee, self.clock()))  # fmt: skip
            return Succeeded(f"pi_{name}")
        charged = next((one for one in self.moved if one.name == order.charge), None)
        if charged is None:
            return Failed("resource_missing")  # what was before this program started is forgotten
        back = sum(one.amount.minor for one in self.moved
                   if one.kind == "refund" and one.charge == charged.order_id)  # fmt: skip
        if charged.amount.minor + back - order.amount.minor < 0:
            return Failed("charge_already_refunded")
        self.moved.append(Moved(f"re_{name}", "refund", order.order_id, charged.order_id,
                                -order.amount, 0, self.clock()))  # fmt: skip
        return Succeeded(f"re_{name}")

    def catch_up(self) -> None:
        """Carry out what was delayed."""
        late, self._late = self._late, []
        for order in late:
            if order.key not in self._outcomes:
                self._decide(order)

    def dispute(self, reference: str, *, won: bool = False) -> None:
        """The cardholder's bank takes the charge ``reference`` back, or returns it."""
        charged = next(one for one in self.moved if one.name == reference)
        name = f"du_{len(self.moved):06d}"
        amount = charged.amount if won else -charged.amount
        self.moved.append(Moved(name, "dispute", "", charged.order_id, amount, 0, self.clock()))
        self._tell("dispute", {"dispute": f"dp_{reference}", "charge": reference, "won": won,
                               "minor": charged.amount.minor,
                               "currency": charged.amount.currency})  # fmt: skip

    def _tell(self, kind: str, about: dict[str, object]) -> None:
        event = {"id": f"evt_{len(self._messages):06d}", "kind": kind, **about}
        self._messages.append(json.dumps(event).encode())

    def messages(self) -> list[tuple[bytes, str]]:
        """All messages so far with their signatures, each once or twice, in any order."""
        sent = [body for body in self._messages for _ in range(self.rng.choice((1, 2)))]
        self.rng.shuffle(sent)
        return [(body, self._sign(body)) for body in sent]

    def _sign(self, body: bytes) -> str:
        return hmac.digest(self.secret, body, "sha256").hex()

    def read_event(self, body: bytes, signature: str, now: datetime) -> Event:
        if not hmac.compare_digest(self._sign(body).encode(), signature.encode()):
            raise WebhookRefused("the message is not signed by the processor")
        value = json.loads(body)
        if value["kind"] == "order":
            return Event(value["id"], "order", order_id=value["order"])
        amount = Money(value["minor"], value["currency"])
        dispute = Dispute(value["dispute"], value["charge"], amount, value["won"])
        return Event(value["id"], "dispute", dispute=dispute)

    def pay_out(self) -> str | None:
        """Put everything not paid out yet into one payout, and name it."""
        waiting = [one for one in self.moved if one.payout is None]
        if not waiting:
            return None
        name = f"po_{len({one.payout for one in self.moved if one.payout}):08d}"
        for one in waiting:
            one.payout = name
        return name

    def report(self) -> bytes:
        """What was paid out, as payout_reconciliation.itemized.5 with our metadata."""
        rows = ["automatic_payout_id,automatic_payout_effective_at_utc,balance_transaction_id,"
                "created_utc,currency,gross,fee,net,reporting_category,payment_intent_id,"
                "payment_metadata[facefare_id],refund_metadata[facefare_id]"]  # fmt: skip
        for number, one in enumerate(self.moved):
            if one.payout is None:
                continue
            at, fee = one.at.strftime("%Y-%m-%d %H:%M:%S"), Money(one.fee, one.amount.currency)
            refund = one.order_id if one.kind == "refund" else ""
            cells = (one.payout, at, f"txn_{number:06d}", at, one.amount.currency.lower(),
                     one.amount.major(), fee.major(), (one.amount - fee).major(), one.kind,
                     one.name, one.charge, refund)  # fmt: skip
            rows.append(",".join(map(str, cells)))
        return ("\n".join(rows) + "\n").encode()

    def bank_statement(self) -> bytes:
        """The payouts as they reach the bank, in the generic bank profile."""
        rows = ["id,day,amount,currency,reference,text"]
        for name in sorted({one.payout for one in self.moved if one.payout}):
            lines = [one for one in self.moved if one.payout == name]
            net = sum(one.amount.minor - one.fee for one in lines)
            currency = lines[0].amount.currency
            day = max(one.at for one in lines).date().isoformat()
            rows.append(f"b-{name},{day},{Money(net, currency).major()},{currency},{name},Payout")
        return ("\n".join(rows) + "\n").encode()
