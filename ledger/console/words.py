"""The words of the finance pages for what the ledger keeps as short codes."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from ledger.reconcile.run import MACHINE
from ledger.reconcile.said import sentence
from models.tables.reconcile import DifferenceNoteRow

_WORDS: dict[str, LazyString] = {
    # kinds of entry
    "ride": _l("ride"),
    "top_up": _l("top up"),
    "refund": _l("refund"),
    "hold": _l("hold"),
    "hold_post": _l("hold taken"),
    "hold_void": _l("hold given back"),
    "hold_expire": _l("hold run out"),
    "close": _l("account closed"),
    "day_close": _l("journey without its other tap"),
    "fare_adjustment": _l("fare adjusted"),
    "dispute_credit": _l("credit while disputed"),
    "dispute_upheld": _l("dispute upheld"),
    "dispute_rejected": _l("dispute rejected"),
    "goodwill": _l("goodwill"),
    "write_off": _l("written off"),
    "settlement": _l("settlement"),
    "resolution": _l("difference resolved"),
    "card_refund": _l("refund to the card"),
    "card_refund_asked": _l("refund to the card asked"),
    "card_refund_failed": _l("refund to the card failed"),
    "chargeback": _l("taken back by the rider's bank"),
    "chargeback_won": _l("given back by the rider's bank"),
    "drawer_close": _l("drawer closed"),
    "cash_deposit": _l("cash to the bank"),
    "adjustment_request": _l("credit asked for"),
    "adjustment_declined": _l("credit declined"),
    "decision_refused": _l("decision refused"),
    "period_close": _l("period closed"),
    "period_reopen_asked": _l("opening again asked"),
    "period_reopened": _l("period opened again"),
    # kinds of difference
    "missing_in_ledger": _l("missing in the ledger"),
    "missing_at_processor": _l("missing at the processor"),
    "missing_at_bank": _l("missing at the bank"),
    "amount": _l("other amount"),
    "fee": _l("fee off the rule"),
    "currency": _l("other currency"),
    "duplicate": _l("twice"),
    "late": _l("late"),
    "refund_without_charge": _l("refund without a charge"),
    "split_or_merged_payout": _l("payout split or merged"),
    "payout_sum": _l("payout is not its lines"),
    "unknown": _l("unknown"),
    "tap_gap": _l("tap missing"),
    "tap_fork": _l("tap set aside"),
    # differences: states, severities, owners, notes
    "open": _l("open"),
    "resolved": _l("resolved"),
    "cleared": _l("cleared by itself"),
    "high": _l("high"),
    "medium": _l("medium"),
    "minor": _l("minor"),
    "payments": _l("Payments"),
    "treasury": _l("Treasury"),
    "comment": _l("comment"),
    "proposed": _l("proposes"),
    "changed": _l("changed by a statement"),
    "owner": _l("handed over to"),
    "processor": _l("processor"),
    "bank": _l("bank"),
    # categories and roles
    "adult": _l("Adult"),
    "child": _l("Child"),
    "student": _l("Student"),
    "senior": _l("Senior"),
    "concession": _l("Concession"),
    "service": _l("Service desk"),
    "finance": _l("Finance"),
    # standings
    "good": _l("good"),
    "low": _l("low"),
    "blocked": _l("blocked"),
    # taps
    "quarantined": _l("quarantined"),
    "refused": _l("refused"),
    "accepted": _l("accepted"),
    "waiting": _l("waiting"),
    "in": _l("in"),
    "out": _l("out"),
    "face": _l("face"),
    "face+pass": _l("face and pass"),
    "pass": _l("pass"),
    # a tap's place in its gate's chain
    "ok": _l("ok"),
    "gap": _l("gap"),
    "fork": _l("fork"),
}

# The sentences of ledger.refunds, ledger.adjustments, ledger.holds and ledger.fares.standing,
# which stand in entries as they are in English; a test holds the two together.
_REASONS: dict[str, LazyString] = {
    "wrong_charge": _l("The ride was charged wrongly."),
    "not_travelled": _l("The rider did not travel."),
    "disruption": _l("The service was disrupted."),
    "goodwill": _l("A gesture of goodwill."),
    "apology": _l("An apology for trouble on the way."),
    "promotion": _l("A promotion."),
    "uncollectable": _l("The debt cannot be collected."),
    "small_balance": _l("The debt is smaller than what it costs to collect it."),
    "dispute": _l("Credited while the charge is looked into."),
    "rider_asked": _l("The rider asked for the money back."),
    "topped_up_twice": _l("The top-up was made twice."),
    "not_by_rider": _l("The rider did not make this top-up."),
    "card_refund": _l("Paid back to the card."),
    "card_refund_failed": _l("Could not be paid back to the card."),
    "chargeback": _l("The cardholder's bank took the payment back."),
    "chargeback_won": _l("The cardholder's bank gave the payment back again."),
    "deposit": _l("A deposit until the journey ends."),
    "disputed": _l("Set aside while a charge is looked into."),
    "payment_pending": _l("Set aside until the payment is confirmed."),
    "hold_post": _l("The held amount was charged, as far as it was needed."),
    "hold_void": _l("The hold was given up."),
    "hold_expire": _l("The hold ran out."),
    "rider_request": _l("The account is paused at the rider's own request."),
    "lost": _l("A pass of this account was reported lost."),
    "unpaid": _l("A payment for this account was returned."),
    "misuse": _l("The account is being looked into."),
}

# The reasons of ledger.reconcile.resolve; a test holds the two together.
_RESOLUTIONS: dict[str, LazyString] = {
    "not_paid": _l("The rider's payment never reached the processor."),
    "paid_after_all": _l("The processor has the rider's payment; it was not booked."),
    "charged_back": _l("The cardholder's bank took the payment back."),
    "refunded_outside": _l("The refund was made at the processor."),
    "processor_fee": _l("The processor kept it as a fee."),
    "bank_fee": _l("The bank kept it as a fee."),
    "exchange": _l("Exchanged between currencies."),
    "not_refunded": _l("The refund was never made at the processor."),
    "miscounted": _l("The cash was counted wrongly."),
    "our_loss": _l("It is lost."),
    "goodwill": _l("Left to the rider out of goodwill."),
    "not_ours": _l("It is no business of the fares."),
    "suspense": _l("Set aside while it is looked into."),
    "lost_at_gate": _l("It was lost at the gate."),
    "charge": _l("The rider did travel: charge it."),
    "not_charged": _l("It stays uncharged."),
    "acknowledged": _l("Seen; no money is concerned."),
}


def reason(code: str, words: str) -> str:
    """The reason in the language of the request; ``words`` where it has no translation."""
    return str(_REASONS.get(code, words))


def label(code: str) -> str:
    """The word for ``code`` in the language of the request; an unknown code loses its dashes."""
    return str(_WORDS.get(code, code.replace("_", " ")))


def note_words(note: DifferenceNoteRow) -> str:
    """What a note says: a run and a proposal speak in codes, people in their own words."""
    if note.what == "proposed" or (note.what == "resolved" and note.words in _RESOLUTIONS):
        return resolution(note.words)
    return sentence(note.words) if note.made_by == MACHINE else note.words


def resolution(code: str) -> str:
    """Why a difference was closed, in the language of the request."""
    return str(_RESOLUTIONS.get(code, code.replace("_", " ")))
