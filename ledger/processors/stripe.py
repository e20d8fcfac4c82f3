"""Stripe: Checkout to add a card, payment intents off session, refunds, verified webhooks.

A card is typed in on Stripe's own page (Checkout in setup mode), which makes a customer for
that card alone; forgetting the card deletes the customer with it.

Our id is in the metadata of everything (``facefare_id``), so that the reports carry it, and
makes the idempotency key. Payouts are left to Stripe's automatic schedule: only then do its
reports say which payment is in which payout.

The library retries nothing by itself: an outcome we did not hear is asked for by the outbox.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import stripe
from babel.numbers import get_currency_precision

from ledger.processors.protocol import (
    Card,
    CardPage,
    CardPageOrder,
    ChargeOrder,
    Dispute,
    Event,
    Failed,
    NotThere,
    Outcome,
    OutcomeUnknown,
    Pending,
    ProcessorUnusable,
    RefundOrder,
    Succeeded,
    WebhookRefused,
)
from ledger.processors.stripe_errors import OUR_ACCOUNT, refusal, trouble, unusable, why_declined
from models.money import Money

OWN_ID = "facefare_id"
TIMEOUT_S = 20
SIGNATURE_AGE_S_MAX = 300
_PAGE = 100
_PAGES_MAX = 50
_CLOCKS_APART = timedelta(hours=1)

_NO_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
     "XOF", "XPF")
)  # fmt: skip
_THREE_DECIMALS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
"""How Stripe counts amounts; all others have two decimals, ISK and UGX too."""

_REFUNDS: dict[str, Outcome] = {"pending": Pending(), "requires_action": Pending()}
_DISPUTES = {"charge.dispute.funds_withdrawn": False, "charge.dispute.funds_reinstated": True}


def check_currency(currency: str) -> None:
    """Raise ``ProcessorUnusable`` where one minor unit here is not one at Stripe."""
    theirs = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    ours = get_currency_precision(currency)
    if ours != theirs:
        raise ProcessorUnusable(
            f"Stripe counts {currency} with {theirs} decimals and the books with {ours}, so every "
            "amount would be wrong; no cards can be taken in this currency"
        )


class StripeProcessor:
    """Stripe by its API; ``address`` points it at a server for tests."""

    name = "stripe"
    elsewhere = True

    def __init__(self, secret_key: str, webhook_secret: str, address: str | None = None) -> None:
        self._webhook_secret = webhook_secret
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": address} if address else {},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
        )

    def charge(self, order: ChargeOrder) -> Outcome:
        try:
            intent = self._client.v1.payment_intents.create(
                {
                    "amount": order.amount.minor,
                    "currency": order.amount.currency.lower(),
                    "customer": order.customer,
                    "payment_method": order.method,
                    "off_session": True,
                    "confirm": True,
                    "metadata": {OWN_ID: order.order_id},
                },
                {"idempotency_key": order.key},
            )
        except stripe.CardError as error:
            return Failed(why_declined(error))
        except stripe.StripeError as error:
            return refusal(error)
        return self._outcome(intent)

    def refund(self, order: RefundOrder) -> Outcome:
        try:
            refund = self._client.v1.refunds.create(
                {
                    "payment_intent": order.charge,
                    "amount": order.amount.minor,
                    "metadata": {OWN_ID: order.order_id},
                },
                {"idempotency_key": order.key},
            )
        except stripe.StripeError as error:
            return refusal(error)
        return _refund_outcome(refund)

    def find_charge(self, order: ChargeOrder) -> Outcome | NotThere:
        for intent in self._intents_since(order.since - _CLOCKS_APART):
            if _own_id(intent) == order.order_id:
                return self._outcome(intent)
        return NotThere()

    def _intents_since(self, since: datetime) -> Iterator[Any]:
        """Payment intents made after ``since``. The list is up to date; the search is not."""
        asked: Any = {"limit": _PAGE}
        for _ in range(_PAGES_MAX):
            try:
                page = self._client.v1.payment_intents.list(asked)
            except stripe.StripeError as error:
                raise trouble(error) from error
            recent = [one for one in page.data if one.created >= since.timestamp()]
            yield from recent
            if not page.has_more or not recent:
                return
            asked = {"limit": _PAGE, "starting_after": page.data[-1].id}
        raise OutcomeUnknown("there are too many payments since this one to look through")

    def find_refund(self, order: RefundOrder) -> Outcome | NotThere:
        try:
            page = self._client.v1.refunds.list({"payment_intent": order.charge, "limit": _PAGE})
        except stripe.StripeError as error:
            refusal(error)  # raises, but where Stripe does not know the charge
            return NotThere()
        for refund in page.data:
            if _own_id(refund) == order.order_id:
                return _refund_outcome(refund)
        return NotThere()

    def _outcome(self, intent: Any) -> Outcome:
        error = getattr(intent, "last_payment_error", None)
        if intent.status == "succeeded":
            return Succeeded(intent.id)
        if intent.status == "canceled":
            return Failed(getattr(error, "code", None) or "canceled")
        if error is None and intent.status != "requires_action":
            return Pending()  # perhaps the call that made it is still running
        self._give_up(intent)
        return Failed(getattr(error, "code", None) or intent.status)

    def _give_up(self, intent: Any) -> None:
        """Cancel an intent that waits for a cardholder who is not here, so it stays failed."""
        try:
            self._client.v1.payment_intents.cancel(intent.id)
        except stripe.StripeError as error:
            raise OutcomeUnknown(f"{intent.id} could not be given up: {error}") from error

    def open_card_page(self, order: CardPageOrder) -> CardPage:
        ours = {OWN_ID: order.page_id}
        try:
            page = self._client.v1.checkout.sessions.create(
                {
                    "mode": "setup",
                    "allowed_payment_method_types": ["card"],
                    "currency": order.currency.lower(),
                    "customer_creation": "always",
                    "success_url": order.done_url,
                    "cancel_url": order.back_url,
                    "locale": "zh" if order.language.startswith("zh") else "en",
                    "expires_at": int(order.until.timestamp()),
                    "metadata": ours,
                    "setup_intent_data": {"metadata": ours},
                },
                {"idempotency_key": order.key},
            )
        except stripe.StripeError as error:
            raise unusable(error) from error
        if not page.url:
            raise OutcomeUnknown("Stripe opened a page and did not say where")
        return CardPage(page.id, page.url)

    def find_card(self, page_id: str, session: str) -> Card | Pending | Failed:
        try:
            page: Any = self._client.v1.checkout.sessions.retrieve(
                session, {"expand": ["setup_intent.payment_method"]}
            )
        except stripe.StripeError as error:
            return refusal(error)
        if _own_id(page) != page_id:
            raise OutcomeUnknown(f"Stripe's page {session} is not the one we opened")
        if page.status == "expired":
            return Failed("expired")
        intent = page.setup_intent
        if page.status != "complete" or intent is None or intent.status == "processing":
            return Pending()
        if intent.status != "succeeded":
            return Failed(intent.status)
        return _card(page)

    def forget_card(self, customer: str, method: str) -> None:
        for forget, name in (
            (self._client.v1.payment_methods.detach, method),
            (self._client.v1.customers.delete, customer),
        ):
            try:
                forget(name)
            except stripe.InvalidRequestError as error:
                if error.code in OUR_ACCOUNT:
                    raise trouble(error) from error
                # Else it is not attached, or not there: gone, as it should be.
            except stripe.StripeError as error:
                raise trouble(error) from error

    def read_event(self, body: bytes, signature: str, now: datetime) -> Event:
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, self._webhook_secret, tolerance=None
            )
            # The first t is the one that the signature covers, whatever is written after it.
            signed_at = int(next(p[2:] for p in signature.split(",") if p.startswith("t=")))
            value = json.loads(body)
        except (
            stripe.SignatureVerificationError,
            ValueError,
            TypeError,
            RecursionError,
        ) as error:
            raise WebhookRefused("the message is not signed by Stripe with our secret") from error
        if abs(int(now.timestamp()) - signed_at) > SIGNATURE_AGE_S_MAX:
            raise WebhookRefused("the message was signed more than five minutes ago")
        try:
            return _event(value)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise WebhookRefused("the message is not an event as Stripe describes one") from error


def _event(value: dict[str, Any]) -> Event:
    event_id, kind, about = _name(value["id"]), value["type"], value["data"]["object"]
    if kind in _DISPUTES:
        amount = Money(about["amount"], about["currency"].upper())
        charge = about.get("payment_intent") or about["charge"]
        return Event(event_id, "dispute", dispute=Dispute(_name(about["id"]), _name(charge), amount,
                                                          won=_DISPUTES[kind]))  # fmt: skip
    own = (about.get("metadata") or {}).get(OWN_ID)
    return Event(event_id, "order", order_id=_name(own)) if own else Event(event_id, "other")


def _name(value: Any) -> str:
    """An id that a message gives; anything else would go into a query or a key as it is."""
    if not isinstance(value, str) or not value:
        raise TypeError("an id is a text")
    return value


def _own_id(kept: Any) -> str | None:
    return getattr(kept.metadata, OWN_ID, None)


def _refund_outcome(refund: Any) -> Outcome:
    if refund.status == "succeeded":
        return Succeeded(refund.id)
    return _REFUNDS.get(refund.status) or Failed(
        getattr(refund, "failure_reason", None) or refund.status
    )


def _card(page: Any) -> Card:
    """The card of a completed page, whose payment method was asked for with it."""
    method = page.setup_intent.payment_method
    card = method.card
    return Card(
        str(page.customer), method.id, card.brand, card.last4, card.exp_month, card.exp_year
    )
