"""What an error of Stripe's means: the order failed, we are refused altogether, or nobody knows.

declined, or an order that can never succeed     Failed with Stripe's code, never sent again
a wrong key, an account that is not ready        ProcessorUnusable: every call waits
anything else, and silence                       OutcomeUnknown: asked about later
"""

from __future__ import annotations

import stripe

from ledger.processors.protocol import Failed, OutcomeUnknown, ProcessorUnusable

OUR_ACCOUNT = frozenset(
    ("account_invalid", "account_number_invalid", "api_key_expired", "livemode_mismatch",
     "platform_api_key_expired", "secret_key_required", "testmode_charges_only")
)  # fmt: skip
"""Codes of refusals that are about our account, and would be the same for any order."""


def why_declined(error: stripe.CardError) -> str:
    """The code; where the bank says the money is not there, that, which a rider can mend."""
    said = error.error.decline_code if error.error else None
    return "insufficient_funds" if said == "insufficient_funds" else error.code or "card_declined"


def refusal(error: stripe.StripeError) -> Failed:
    """An order that Stripe will never carry out has failed; anything else is raised.

    The same key with another order says nothing of what became of the first one.
    """
    if isinstance(error, stripe.InvalidRequestError) and error.code not in OUR_ACCOUNT:
        return Failed(error.code or "invalid_request")
    raise trouble(error) from error


def trouble(error: stripe.StripeError) -> OutcomeUnknown | ProcessorUnusable:
    """Whether Stripe will have no order of ours at all, or an outcome stays open."""
    refused = isinstance(error, stripe.AuthenticationError | stripe.PermissionError)
    if refused or getattr(error, "code", None) in OUR_ACCOUNT:
        return unusable(error)
    return OutcomeUnknown(f"Stripe did not answer: {error}")


def unusable(error: stripe.StripeError) -> ProcessorUnusable | OutcomeUnknown:
    """Where an order that asks for nothing but a page is refused, our account is at fault."""
    ours = (stripe.AuthenticationError, stripe.PermissionError, stripe.InvalidRequestError)
    if isinstance(error, ours):
        return ProcessorUnusable(
            f"Stripe refuses us: {error.user_message or error}; look at the keys in stripe.toml "
            "and at the account's settings at Stripe"
        )
    return OutcomeUnknown(f"Stripe did not answer: {error}")
