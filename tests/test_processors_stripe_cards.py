"""Stripe's Checkout and Stripe's refusals, which localstripe does not know.

A loopback server of this test's own answers in the shapes of Stripe's API reference: it keeps
idempotency keys, refuses what Stripe refuses, and remembers every request as it was sent. What
localstripe does know (charges, refunds, detaching a card) is tested against it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from ledger.accounts import balance
from ledger.processors.cards import refund_to_card, top_up_by_card
from ledger.processors.cashier import Cashier
from ledger.processors.keeping import keep_card, open_page, remove_card
from ledger.processors.outbox import Worked, work
from ledger.processors.protocol import (
    Card,
    CardPageOrder,
    ChargeOrder,
    Failed,
    NotThere,
    OutcomeUnknown,
    Pending,
    ProcessorUnusable,
    RefundOrder,
)
from ledger.processors.state import troubles
from ledger.processors.stripe import StripeProcessor
from ledger.processors.webhooks import receive
from tests.test_processors import call, card, cny, kinds
from tests.test_processors_cards import kept, pages
from tests.test_processors_stripe import stripe, stripe_card, stripe_message, stripe_url
from tests.town import NOON, Town, make_town

__all__ = ["stripe", "stripe_url"]  # fixtures of the tests beside these


class StripeShapes:
    """What this Stripe knows, what it was sent, and what it refuses next."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.sessions: dict[str, dict[str, Any]] = {}
        self.by_key: dict[str, dict[str, Any]] = {}
        self.refusal: tuple[int, dict[str, Any]] | None = None

    def answer(self, method: str, path: str, form: dict[str, str], key: str) -> tuple[int, Any]:
        self.requests.append((method, path, form, key))
        if self.refusal is not None:
            return self.refusal[0], {"error": self.refusal[1]}
        if (method, path) == ("POST", "/v1/checkout/sessions"):
            return 200, self.by_key.setdefault(key, self._open(form))
        if path.startswith("/v1/checkout/sessions/"):
            found = self.sessions.get(path.rpartition("/")[2])
            return (200, found) if found else (404, _missing("checkout.session"))
        if path.startswith(("/v1/payment_methods/", "/v1/customers/")):
            return 200, {"id": path.split("/")[3], "object": "payment_method"}
        if (method, path) == ("GET", "/v1/payment_intents"):
            return 200, {"object": "list", "data": [], "has_more": False, "url": path}
        return 404, _missing(path)

    def _open(self, form: dict[str, str]) -> dict[str, Any]:
        name = f"cs_test_{uuid4().hex}"
        self.sessions[name] = {
            "id": name, "object": "checkout.session", "mode": "setup", "status": "open",
            "payment_status": "no_payment_required", "customer": None, "currency": "cny",
            "metadata": {"facefare_id": form["metadata[facefare_id]"]},
            "success_url": form["success_url"], "cancel_url": form["cancel_url"],
            "setup_intent": {"id": f"seti_{name}", "object": "setup_intent",
                             "status": "requires_payment_method", "payment_method": None},
            "url": f"https://checkout.stripe.com/c/pay/{name}", "livemode": False,
        }  # fmt: skip
        return self.sessions[name]

    def complete(self, name: str, last4: str = "4242") -> None:
        """The rider types a card in and presses the button."""
        session = self.sessions[name]
        session.update(status="complete", customer=f"cus_{last4}", url=None)
        session["setup_intent"].update(
            status="succeeded",
            payment_method={"id": f"pm_{last4}", "object": "payment_method", "type": "card",
                            "card": {"brand": "visa", "last4": last4, "exp_month": 8,
                                     "exp_year": 2031, "funding": "credit"}},
        )  # fmt: skip


def _missing(what: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "code": "resource_missing",
                      "message": f"No such {what}"}}  # fmt: skip


@pytest.fixture
def shapes() -> StripeShapes:
    return StripeShapes()


@pytest.fixture
def address(shapes: StripeShapes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            sent = self.rfile.read(length).decode()
            form = {name: values[-1] for name, values in parse_qs(sent).items()}
            path = urlsplit(self.path).path
            key = self.headers.get("Idempotency-Key", "")
            status, value = shapes.answer(self.command, path, form, key)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the base class names them so

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def processor(address: str) -> StripeProcessor:
    return StripeProcessor("sk_test_1", "whsec_test", address)


def begin(town: Town, processor: StripeProcessor, account: str, page_id: str) -> str:
    page = open_page(town.ledger, processor, account, page_id, language="zh_Hans",
                     done_url=f"https://transit.example/me/card/back/{page_id}",
                     back_url="https://transit.example/me/card")  # fmt: skip
    assert page.url == f"https://checkout.stripe.com/c/pay/{page.session}"
    return page.session


# ---- adding a card


def test_checkout_is_asked_to_keep_a_card_for_later_and_never_sees_whose_it_is(
    town: Town, processor: StripeProcessor, shapes: StripeShapes
) -> None:
    account, page_id = town.account(), str(uuid4())
    assert begin(town, processor, account, page_id) == begin(town, processor, account, page_id)
    (_, _, form, key), (_, _, again, same_key) = shapes.requests
    assert (form, key) == (again, same_key), "the form sent twice is one page"
    assert key == f"facefare-card-{page_id}"
    assert form == {
        "mode": "setup", "allowed_payment_method_types[0]": "card", "currency": "cny",
        "customer_creation": "always", "locale": "zh",
        "success_url": f"https://transit.example/me/card/back/{page_id}",
        "cancel_url": "https://transit.example/me/card",
        "expires_at": str(int((NOON + timedelta(hours=1)).timestamp())),
        "metadata[facefare_id]": page_id, "setup_intent_data[metadata][facefare_id]": page_id,
    }  # fmt: skip
    assert account not in json.dumps(form)


@pytest.mark.parametrize("kind", ["checkout.session.completed", "setup_intent.succeeded"])
def test_a_signed_message_about_a_page_makes_us_ask_and_keep_the_card(
    town: Town, processor: StripeProcessor, shapes: StripeShapes, kind: str
) -> None:
    account, page_id, now = town.account(), str(uuid4()), int(NOON.timestamp())
    session = begin(town, processor, account, page_id)
    about = {"id": session, "metadata": {"facefare_id": page_id}}
    receive(town.ledger, processor, *stripe_message(kind, about, now))
    assert kept(town, account) is None, "it was said too early, and is not believed"
    shapes.complete(session)
    body, signature = stripe_message(kind, about, now)
    assert receive(town.ledger, processor, body, signature)
    assert not receive(town.ledger, processor, body, signature)
    assert kept(town, account) == "4242"
    remove_card(town.ledger, account)
    for late in ("setup_intent.succeeded", "checkout.session.completed"):
        receive(town.ledger, processor, *stripe_message(late, about, now))
    assert (kept(town, account), pages(town)) == (None, [])


def test_a_page_says_what_became_of_it(processor: StripeProcessor, shapes: StripeShapes) -> None:
    page_id, until = str(uuid4()), NOON + timedelta(hours=1)
    order = CardPageOrder(page_id, "CNY", "en", "https://a.example/d", "https://a.example", until)
    session = processor.open_card_page(order).session
    assert processor.find_card(page_id, session) == Pending()
    with pytest.raises(OutcomeUnknown, match="not the one we opened"):
        processor.find_card(str(uuid4()), session)
    shapes.complete(session)
    assert processor.find_card(page_id, session) == Card(
        "cus_4242", "pm_4242", "visa", "4242", 8, 2031
    )
    shapes.sessions[session]["status"] = "expired"
    assert processor.find_card(page_id, session) == Failed("expired")
    assert processor.find_card(page_id, "cs_gone") == Failed("resource_missing")


def test_a_forgotten_card_is_detached_and_its_customer_deleted_and_again_is_well(
    processor: StripeProcessor, shapes: StripeShapes
) -> None:
    processor.forget_card("cus_1", "pm_1")
    assert [request[:2] for request in shapes.requests] == [
        ("POST", "/v1/payment_methods/pm_1/detach"), ("DELETE", "/v1/customers/cus_1"),
    ]  # fmt: skip
    shapes.refusal = (404, _missing("customer")["error"])
    processor.forget_card("cus_1", "pm_1")
    shapes.refusal = (500, {"type": "api_error", "message": "down"})
    with pytest.raises(OutcomeUnknown):
        processor.forget_card("cus_1", "pm_1")


def test_localstripe_forgets_a_removed_card(
    town: Town, stripe: StripeProcessor, stripe_url: str
) -> None:
    account, (customer, method) = town.account(), stripe_card(stripe_url)
    keep_card(town.ledger, account, "stripe", card(method, customer))
    remove_card(town.ledger, account)
    work(town.ledger, stripe)
    with httpx.Client(base_url=stripe_url, auth=("sk_test_1", "")) as client:
        assert client.get(f"/v1/payment_methods/{method}").json()["customer"] is None
        assert client.get(f"/v1/customers/{customer}").status_code == 404
    work(town.ledger, stripe)


# ---- what Stripe refuses


def refusals(code: str, **more: str) -> dict[str, str]:
    return {"type": "invalid_request_error", "code": code, "message": f"said {code}", **more}


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (400, refusals("amount_too_small"), "amount_too_small"),
        (404, refusals("resource_missing"), "resource_missing"),
        (400, refusals("", message="no such parameter"), "invalid_request"),
        (402, refusals("card_declined", type="card_error"), "card_declined"),
        (402, refusals("card_declined", type="card_error", decline_code="insufficient_funds"),
         "insufficient_funds"),
        (402, refusals("authentication_required", type="card_error"), "authentication_required"),
    ],
)  # fmt: skip
def test_a_charge_that_can_never_succeed_fails_once_and_says_why(
    town: Town, processor: StripeProcessor, shapes: StripeShapes, status: int,
    error: dict[str, str], reason: str,
) -> None:  # fmt: skip
    account, call_id = town.account(), str(uuid4())
    keep_card(town.ledger, account, "stripe", card())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    shapes.refusal = (status, error)
    assert work(town.ledger, processor) == Worked(1, 0)
    assert (call(town, call_id).state, call(town, call_id).reason) == ("failed", reason)
    town.clock.forward(86_400)
    work(town.ledger, processor)
    assert len(shapes.requests) == 1, "it is not tried again"
    assert (kinds(town), troubles(town.ledger)) == ([], [])


def test_a_refund_that_can_never_succeed_goes_back_to_the_account(
    town: Town, stripe: StripeProcessor, stripe_url: str, processor: StripeProcessor,
    shapes: StripeShapes,
) -> None:  # fmt: skip
    account, charge_id = town.account(), str(uuid4())
    town.clock.now = datetime.now(UTC)
    customer, method = stripe_card(stripe_url)
    keep_card(town.ledger, account, "stripe", card(method, customer))
    top_up_by_card(town.ledger, account, cny(2000), charge_id)
    work(town.ledger, stripe)
    refund_to_card(town.ledger, charge_id, cny(2000), str(uuid4()), "fang")
    shapes.refusal = (400, refusals("charge_already_refunded"))
    assert work(town.ledger, processor) == Worked(1, 0)
    assert balance(town.ledger, account) == cny(2000)
    assert kinds(town) == ["top_up", "card_refund_asked", "card_refund_failed"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, refusals("", message="Invalid API Key provided: sk_test_*1")),
        (403, refusals("", message="This key may not do that")),
        (400, refusals("testmode_charges_only")),
    ],
)
def test_a_refusal_of_us_altogether_waits_and_stands_on_the_console_until_it_is_mended(
    town: Town, processor: StripeProcessor, shapes: StripeShapes, status: int,
    error: dict[str, str],
) -> None:  # fmt: skip
    account, call_id = town.account(), str(uuid4())
    keep_card(town.ledger, account, "stripe", card())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    shapes.refusal = (status, error)
    assert work(town.ledger, processor) == Worked(0, 1)
    assert call(town, call_id).state == "sent"
    (trouble,) = troubles(town.ledger)
    assert (trouble.processor, trouble.waiting, trouble.since) == ("stripe", 1, NOON)
    assert error["message"] in trouble.words and "stripe.toml" in trouble.words
    town.clock.forward(61)
    shapes.refusal = None
    assert work(town.ledger, processor) == Worked(1, 0), "it answers again: no such customer"
    assert (troubles(town.ledger), call(town, call_id).reason) == ([], "resource_missing")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, {"type": "api_error", "message": "down"}),
        (429, refusals("rate_limit")),
        (400, refusals("", type="idempotency_error")),
        (409, refusals("idempotency_key_in_use")),
    ],
)
def test_anything_else_leaves_the_outcome_open(
    processor: StripeProcessor, shapes: StripeShapes, status: int, error: dict[str, str]
) -> None:
    shapes.refusal = (status, error)
    charge = ChargeOrder(str(uuid4()), cny(100), "cus_1", "pm_1", NOON)
    refund = RefundOrder(str(uuid4()), cny(100), "pi_1")
    for ask in (processor.charge, processor.find_charge):
        with pytest.raises(OutcomeUnknown):
            ask(charge)
    for ask_back in (processor.refund, processor.find_refund):
        with pytest.raises(OutcomeUnknown):
            ask_back(refund)


def test_a_page_that_stripe_will_not_open_is_about_our_account(
    processor: StripeProcessor, shapes: StripeShapes
) -> None:
    order = CardPageOrder(str(uuid4()), "CNY", "en", "https://a.example/d", "https://a.example",
                          NOON)  # fmt: skip
    shapes.refusal = (400, refusals("", message="Invalid currency: cny"))
    with pytest.raises(ProcessorUnusable, match="Invalid currency"):
        processor.open_card_page(order)


def test_a_refund_of_a_charge_stripe_does_not_know_is_not_there(
    processor: StripeProcessor, shapes: StripeShapes
) -> None:
    shapes.refusal = (404, refusals("resource_missing"))
    assert processor.find_refund(RefundOrder(str(uuid4()), cny(100), "pi_1")) == NotThere()


def test_what_nobody_thought_of_is_logged_once_and_the_cashier_goes_on(
    town: Town, processor: StripeProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(StripeProcessor):
        def charge(self, order: ChargeOrder) -> Failed:
            raise ZeroDivisionError("nobody thought of this")

    strange = Strange("sk_test_1", "whsec_test", "http://127.0.0.1:9")
    strange.find_charge = lambda order: NotThere()  # type: ignore[method-assign]
    account, call_id = town.account(), str(uuid4())
    keep_card(town.ledger, account, "stripe", card())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    cashier = Cashier(town.ledger, strange)
    for _ in range(4):
        cashier._work()
        town.clock.forward(3601)
    said = [record for record in caplog.records if "could not be worked at" in record.message]
    assert len(said) == 1 and call_id in said[0].message
    assert call(town, call_id).attempts == 4
    town.ledger.engine.dispose()
    (town.data.path / "fares.sqlite").unlink()
    for _ in range(3):
        cashier._work()  # not even without a database does the thread end
    assert len([r for r in caplog.records if "the round" in r.message]) == 1
