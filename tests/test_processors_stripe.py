"""Stripe, by a server that behaves like it.

localstripe ignores idempotency keys and would refund twice, so both rules must be ours.
"""

from __future__ import annotations

import hmac
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from ledger.accounts import balance
from ledger.once import EntryRefused
from ledger.processors.cards import card_refund_call, refund_to_card, top_up_by_card
from ledger.processors.cashier import Cashier, open_processor
from ledger.processors.keeping import keep_card
from ledger.processors.outbox import Worked, work
from ledger.processors.protocol import (
    ChargeOrder,
    NotThere,
    OutcomeUnknown,
    RefundOrder,
    Succeeded,
    WebhookRefused,
)
from ledger.processors.stripe import StripeProcessor
from ledger.processors.webhooks import receive
from tests.conftest import missing
from tests.test_processors import call, card, cny, kinds
from tests.town import NOON, Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture(scope="module")
def stripe_url() -> Iterator[str]:
    try:
        import localstripe  # noqa: F401
    except ImportError:
        missing("localstripe (a development requirement)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "tests.localstripe_server", str(port)],
                              env={"HOME": "/nonexistent", "PATH": ""})  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(f"{url}/v1/customers", auth=("sk_test_1", ""), timeout=2)
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("localstripe did not start")


@pytest.fixture
def stripe(stripe_url: str) -> StripeProcessor:
    return StripeProcessor("sk_test_1", "whsec_test", stripe_url)


def stripe_card(url: str, number: str = "4242424242424242") -> tuple[str, str]:
    """A customer and a card of theirs at localstripe."""
    with httpx.Client(base_url=url, auth=("sk_test_1", "")) as client:
        customer = client.post("/v1/customers", data={"name": "Test"}).json()["id"]
        card = {"type": "card", "card[number]": number, "card[exp_month]": "12",
                "card[exp_year]": "2030", "card[cvc]": "123"}  # fmt: skip
        method = client.post("/v1/payment_methods", data=card).json()["id"]
        client.post(f"/v1/payment_methods/{method}/attach", data={"customer": customer})
    return customer, method


def stripe_town(town: Town, url: str, number: str = "4242424242424242") -> str:
    account = town.account()
    town.clock.now = datetime.now(UTC)
    customer, method = stripe_card(url, number)
    keep_card(town.ledger, account, "stripe", card(method, customer))
    return account


def intents(url: str) -> list[str]:
    listed = httpx.get(f"{url}/v1/payment_intents?limit=100", auth=("sk_test_1", "")).json()
    return [one["metadata"].get("facefare_id") for one in listed["data"]]


def test_stripe_charges_refunds_and_carries_our_id(
    town: Town, stripe: StripeProcessor, stripe_url: str
) -> None:
    account, call_id = stripe_town(town, stripe_url), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    assert work(town.ledger, stripe) == Worked(1, 0)
    assert balance(town.ledger, account) == cny(2000)
    assert intents(stripe_url).count(call_id) == 1
    refund_id = str(uuid4())
    refund_to_card(town.ledger, call_id, cny(2000), refund_id, "desk")
    assert work(town.ledger, stripe) == Worked(1, 0)
    assert call(town, card_refund_call(refund_id)).reference
    with pytest.raises(EntryRefused, match="cannot be refunded"):
        refund_to_card(town.ledger, call_id, cny(2000), str(uuid4()), "desk")


def test_stripe_declines_and_nothing_is_booked(
    town: Town, stripe: StripeProcessor, stripe_url: str
) -> None:
    account, call_id = stripe_town(town, stripe_url, "4000000000000341"), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    assert work(town.ledger, stripe) == Worked(1, 0)
    assert call(town, call_id).state == "failed"
    assert kinds(town) == []


class LosesReplies(StripeProcessor):
    """Stripe whose answers do not arrive."""

    def charge(self, order: ChargeOrder) -> Succeeded:
        super().charge(order)
        raise OutcomeUnknown("the reply was lost")

    def refund(self, order: RefundOrder) -> Succeeded:
        super().refund(order)
        raise OutcomeUnknown("the reply was lost")


def test_a_lost_reply_from_stripe_is_asked_about_not_charged_again(
    town: Town, stripe: StripeProcessor, stripe_url: str
) -> None:
    account, call_id = stripe_town(town, stripe_url), str(uuid4())
    lossy = LosesReplies("sk_test_1", "whsec_test", stripe_url)
    top_up_by_card(town.ledger, account, cny(700), call_id)
    assert work(town.ledger, lossy) == Worked(0, 1)
    town.clock.forward(61)
    assert work(town.ledger, lossy) == Worked(1, 0), "asking is enough"
    assert intents(stripe_url).count(call_id) == 1
    assert balance(town.ledger, account) == cny(700)
    refund_id = str(uuid4())
    refund_to_card(town.ledger, call_id, cny(700), refund_id, "desk")
    assert work(town.ledger, lossy) == Worked(0, 1)
    town.clock.forward(61)
    assert work(town.ledger, lossy) == Worked(1, 0)
    listed = httpx.get(f"{stripe_url}/v1/refunds", auth=("sk_test_1", "")).json()["data"]
    assert [one["metadata"].get("facefare_id") for one in listed].count(
        card_refund_call(refund_id)
    ) == 1


def test_a_server_that_is_down_leaves_the_outcome_unknown(town: Town) -> None:
    down = StripeProcessor("sk_test_1", "whsec_test", "http://127.0.0.1:9")
    order = ChargeOrder(str(uuid4()), cny(100), "cus_1", "pm_1", NOON)
    with pytest.raises(OutcomeUnknown):
        down.charge(order)
    with pytest.raises(OutcomeUnknown):
        down.find_charge(order)


def test_stripe_knows_nothing_of_an_order_that_never_arrived(
    stripe: StripeProcessor,
) -> None:
    assert (
        stripe.find_charge(ChargeOrder(str(uuid4()), cny(100), "cus_1", "pm_1", NOON)) == NotThere()
    )


def stripe_message(kind: str, about: dict[str, object], at: int) -> tuple[bytes, str]:
    body = json.dumps({"id": f"evt_{uuid4().hex}", "object": "event", "type": kind,
                       "data": {"object": about}}).encode()  # fmt: skip
    signature = hmac.digest(b"whsec_test", b"%d.%s" % (at, body), "sha256").hex()
    return body, f"t={at},v1={signature}"


def test_a_stripe_message_is_verified_and_only_a_hint(
    town: Town, stripe: StripeProcessor, stripe_url: str
) -> None:
    account, call_id = stripe_town(town, stripe_url), str(uuid4())
    top_up_by_card(town.ledger, account, cny(900), call_id)
    work(town.ledger, LosesReplies("sk_test_1", "whsec_test", stripe_url))
    now = int(town.clock().timestamp())
    # It claims the payment failed; what counts is what Stripe answers when asked.
    body, signature = stripe_message(
        "payment_intent.payment_failed", {"metadata": {"facefare_id": call_id}}, now
    )
    assert receive(town.ledger, stripe, body, signature)
    assert balance(town.ledger, account) == cny(900)
    for bad in (signature[:-1] + ("0" if signature[-1] != "0" else "1"), "", "t=x,v1=y",
                signature.replace(f"t={now}", f"t={now - 1}")):  # fmt: skip
        with pytest.raises(WebhookRefused):
            receive(town.ledger, stripe, body, bad)
    old_body, old = stripe_message("payment_intent.succeeded", {"metadata": {}}, now - 301)
    with pytest.raises(WebhookRefused, match="five minutes"):
        receive(town.ledger, stripe, old_body, old)


def test_a_stripe_dispute_is_booked(town: Town, stripe: StripeProcessor, stripe_url: str) -> None:
    account, call_id = stripe_town(town, stripe_url), str(uuid4())
    top_up_by_card(town.ledger, account, cny(900), call_id)
    work(town.ledger, stripe)
    about = {"id": "dp_1", "payment_intent": call(town, call_id).reference, "amount": 900,
             "currency": "cny"}  # fmt: skip
    now = int(town.clock().timestamp())
    for kind, left in (("charge.dispute.funds_withdrawn", 0),
                       ("charge.dispute.funds_reinstated", 900)):  # fmt: skip
        receive(town.ledger, stripe, *stripe_message(kind, about, now))
        assert balance(town.ledger, account) == cny(left)


def test_the_cashier_makes_calls_while_the_server_runs(town: Town, stripe_url: str) -> None:
    account, call_id = stripe_town(town, stripe_url), str(uuid4())
    (town.data.keys / "stripe.toml").write_text(
        f"secret_key = 'sk_test_1'\nwebhook_secret = 'whsec_test'\naddress = '{stripe_url}'"
    )
    cashier = Cashier(town.ledger, open_processor(town.data), interval_s=0.05)
    cashier.start()
    top_up_by_card(town.ledger, account, cny(700), call_id)
    until = time.monotonic() + 20
    while time.monotonic() < until and balance(town.ledger, account) != cny(700):
        time.sleep(0.05)
    cashier.stop()
    assert balance(town.ledger, account) == cny(700)
