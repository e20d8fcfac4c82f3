"""What we ask of a payment processor.

A card's number is typed in on a page of the processor's own, and never seen here: we keep the
processor's names of the card, its brand, last four digits and expiry.

Every order carries our own id, and that id alone makes the idempotency key: whoever sends
an order again sends the same one. An answer is a fact; ``OutcomeUnknown`` is not an answer,
and is followed by a question (``find_charge``, ``find_refund``), never by a new order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from models.errors import FacefareError
from models.money import Money


class OutcomeUnknown(FacefareError):
    """The call may or may not have been carried out: ask before doing anything else."""


class ProcessorUnusable(FacefareError):
    """The processor refuses us altogether: a wrong key, or an account that is not ready."""


class WebhookRefused(FacefareError):
    """A message that the processor did not sign."""


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """Take ``amount`` from the customer's card."""

    order_id: str
    amount: Money
    customer: str
    method: str
    since: datetime

    @property
    def key(self) -> str:
        """The idempotency key; nothing but our id is in it."""
        return f"facefare-charge-{self.order_id}"


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Give back ``amount`` of the charge the processor calls ``charge``."""

    order_id: str
    amount: Money
    charge: str

    @property
    def key(self) -> str:
        """The idempotency key; nothing but our id is in it."""
        return f"facefare-refund-{self.order_id}"


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The money moved; ``reference`` is the processor's name for that."""

    reference: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The money did not move and will not."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Not decided yet."""


@dataclass(frozen=True, slots=True)
class NotThere:
    """The processor knows no such order."""


@dataclass(frozen=True, slots=True)
class Card:
    """A card as the processor names it, and what its holder knows it by. Never its number."""

    customer: str
    method: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class CardPageOrder:
    """Open a page of the processor on which a card is typed in.

    ``done_url`` and ``back_url`` are ours: where the browser goes afterwards. The page closes
    at ``until``.
    """

    page_id: str
    currency: str
    language: str
    done_url: str
    back_url: str
    until: datetime

    @property
    def key(self) -> str:
        """The idempotency key; nothing but our id is in it."""
        return f"facefare-card-{self.page_id}"


@dataclass(frozen=True, slots=True)
class CardPage:
    """The page: the processor's name of it, and its address."""

    session: str
    url: str


Outcome = Succeeded | Failed | Pending
Order = ChargeOrder | RefundOrder


@dataclass(frozen=True, slots=True)
class Dispute:
    """The cardholder's bank took ``amount`` of a charge back, or gave it back again (won)."""

    dispute_id: str
    charge: str
    amount: Money
    won: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A verified message: about one of our orders or card pages, a dispute, or nothing we know."""

    event_id: str
    kind: Literal["order", "dispute", "other"]
    order_id: str | None = None
    dispute: Dispute | None = None


class Processor(Protocol):
    """One payment processor. Any call may raise ``ProcessorUnusable``."""

    @property
    def name(self) -> str:
        """Its short name, kept with what came through it."""

    @property
    def elsewhere(self) -> bool:
        """Whether its pages are on another server, so that the way back needs a whole address."""

    def charge(self, order: ChargeOrder) -> Outcome:
        """Carry out the order, at most once; raise ``OutcomeUnknown`` without an answer."""

    def refund(self, order: RefundOrder) -> Outcome:
        """Carry out the order, at most once; raise ``OutcomeUnknown`` without an answer."""

    def find_charge(self, order: ChargeOrder) -> Outcome | NotThere:
        """What became of the order; raise ``OutcomeUnknown`` if that cannot be told now."""

    def find_refund(self, order: RefundOrder) -> Outcome | NotThere:
        """What became of the order; raise ``OutcomeUnknown`` if that cannot be told now."""

    def read_event(self, body: bytes, signature: str, now: datetime) -> Event:
        """Read a message; raise ``WebhookRefused`` unless the processor signed it."""

    def open_card_page(self, order: CardPageOrder) -> CardPage:
        """Open the page, or find the one opened for this order; raise ``OutcomeUnknown``."""

    def find_card(self, page_id: str, session: str) -> Card | Pending | Failed:
        """What was typed in there; raise ``OutcomeUnknown`` if that cannot be told now."""

    def forget_card(self, customer: str, method: str) -> None:
        """Never charge this card again; nothing where it is gone. Raise ``OutcomeUnknown``."""
