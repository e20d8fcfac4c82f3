"""What a difference says of itself: kept as a code with values, read in the reader's language.

    {"code":"amount_at_processor","ours":{"currency":"CNY","minor":2000},
     "theirs":{"currency":"CNY","minor":1900}}

is "the ledger says CN¥20.00, the processor CN¥19.00" to one reader and Chinese to another. The
same text in the same order for the same facts, so a report made again has the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from models.money import Money

AS_WRITTEN = "as_written"
"""The code of words that were kept as words, before there were codes."""

SENTENCES: dict[str, LazyString | str] = {
    "amount_at_processor": _l("the ledger says %(ours)s, the processor %(theirs)s"),
    "late_at_processor": _l("the processor has it %(days)s days after the ledger"),
    "fee_off": _l("the fee %(fee)s is off the rule by %(excess)s"),
    "moved": _l("the processor moved money for: %(text)s"),
    "moved_silently": _l("the processor moved money and does not say why"),
    "paid_twice": _l("the processor has this payment twice"),
    "ledger_currency": _l("the ledger has it in %(currency)s"),
    "given_up": _l("the processor has it after its claim was given up"),
    "taken_back": _l("the rider's bank took the payment back"),
    "never_charged": _l("it takes back a charge the ledger never had"),
    "charge_unknown": _l("the processor has a payment that the ledger has not"),
    "refund_unknown": _l("the processor has a refund that the ledger has not"),
    "not_at_processor": _l("the processor's report does not have it"),
    "amount_at_bank": _l("the processor paid out %(ours)s, the bank has %(theirs)s"),
    "cash_at_bank": _l("%(ours)s in cash went to the bank, the bank has %(theirs)s"),
    "late_at_bank": _l("the bank has it %(days)s days after it left"),
    "in_parts": _l("it came in %(parts)s parts"),
    "as_one": _l("%(payouts)s of them came as one"),
    "payout_currency": _l("the payout was in %(currency)s"),
    "received_twice": _l("the bank has it twice"),
    "payout_unknown": _l("no report has the payout %(payout)s"),
    "text_unknown": _l("nothing is known of: %(text)s"),
    "line_unknown": _l("nothing is known of this line, and it has no text"),
    "not_at_bank": _l("the bank's statement does not have it"),
    "cash_not_at_bank": _l("the bank's statement does not have the cash with the slip %(slip)s"),
    "payout_off": _l("its lines come to %(lines)s, it is %(payout)s"),
    "tap_missing": _l("tap %(number)s of the gate %(gate)s has not arrived, its tap %(next)s has"),
    "tap_contradicts": _l("tap %(number)s of the gate %(gate)s contradicts its other taps"),
    "tap_arrived": _l("It arrived."),
    "counterpart_found": _l("Its counterpart was found."),
    "found_anew": _l("A later statement changed what is left; it was %(was)s."),
    AS_WRITTEN: "%(text)s",
}


def said(code: str, **values: int | str | Money) -> str:
    """The code and its values as they are kept."""
    plain = {name: _plain(value) for name, value in values.items()}
    return json.dumps(
        {"code": code, **plain}, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )


def _plain(value: int | str | Money) -> Any:
    if isinstance(value, Money):
        return {"currency": value.currency, "minor": value.minor}
    return value


def sentence(kept: str) -> str:
    """What was kept, in the language of the request; outside of one, in English."""
    values = json.loads(kept)
    words = str(SENTENCES[values.pop("code")])
    return words % {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return Money(value["minor"], value["currency"]).text(str(get_locale() or "en"))
    return str(value)
