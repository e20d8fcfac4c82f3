"""What became of payments from a rider's card, in words. Codes are the processor's or ours."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

_KINDS: dict[str, LazyString] = {
    "top_up": _l("Top-up"),
    "automatic": _l("Automatic top-up"),
    "refund": _l("Back to your card"),
}

_OUTCOMES: dict[str, LazyString] = {
    "waiting": _l("on its way"),
    "done": _l("done"),
    "card_declined": _l("your bank declined it"),
    "insufficient_funds": _l("your bank said there is not enough money on the card's account"),
    "expired_card": _l("the card has run out; add your new one"),
    "authentication_required": _l("your bank wants you to confirm it; add the card again"),
    "authentication_needed": _l("your bank wants you to confirm it; add the card again"),
    "requires_action": _l("your bank wants you to confirm it; add the card again"),
    "resource_missing": _l("the processor does not know the card any more; add it again"),
    "payment_method_not_available": _l("the card cannot be used for this; add another"),
    "amount_too_small": _l("the amount is too small for a card"),
    "amount_too_large": _l("the amount is too large for this card"),
    "card_removed": _l("not sent: the card was removed or replaced"),
    "switched_off": _l("not sent: automatic top-up was switched off"),
    "blocked": _l("not sent: the account was blocked"),
}
_FAILED = _l("it did not work; nothing was taken")
_REFUND_FAILED = _l("it did not work; the money is back on your account")

_STOPPED: dict[str, LazyString] = {
    "declined": _l(
        "Automatic top-up has stopped: your bank declined it three times in a row. Add another "
        "card or settle it with your bank, then switch it on again."
    ),
    "chargeback": _l(
        "Automatic top-up has stopped: your bank took a payment back. If you did not ask for "
        "that, talk to your bank; then switch it on again."
    ),
    "no_card": _l("Automatic top-up has stopped: no card is kept. Add one and switch it on again."),
}


def kind_words(kind: str) -> str:
    """Which kind of payment it was."""
    return str(_KINDS.get(kind, kind))


def outcome_words(kind: str, outcome: str) -> str:
    """What became of a payment; a code without words says that it failed, not why."""
    if kind == "refund" and outcome not in ("waiting", "done"):
        return str(_REFUND_FAILED)
    return str(_OUTCOMES.get(outcome, _FAILED))


def stopped_words(why: str) -> str:
    """Why automatic top-ups stopped by themselves; empty where they did not."""
    return str(_STOPPED.get(why, "")) if why else ""
