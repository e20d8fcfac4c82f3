"""Finance in the city: the day is reconciled, and every difference is one that really is there."""

from __future__ import annotations

from datetime import datetime

from facefare.simulate.bank import Claim
from facefare.simulate.city import City
from facefare.simulate.invariants import RuleBroken, rows
from ledger.reconcile.clearing import clearing_balances
from ledger.reconcile.importing import import_statement
from ledger.reconcile.report import reconciliation
from ledger.reconcile.resolve import ACKNOWLEDGED, resolve
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from models.database import reading

PROCESSOR_FILE, BANK_FILE = "processor.csv", "bank.csv"


def end_of_day(city: City) -> None:
    """Import what processor and bank say, reconcile, and compare with what really moved."""
    if any(moved.payout for moved in city.bank.processor.moved):
        import_statement(city.ledger, city.bank.report(), PROCESSOR_FILE, "generic-processor")
        import_statement(city.ledger, city.bank.statement(), BANK_FILE, "generic-bank")
    day = city.clock().date()
    run_day(city.ledger, day.isoformat(), Rules())
    with reading(city.ledger.engine) as session:
        report = reconciliation(session, day.isoformat())
    city.truth.count("day reconciled")
    told = {(one["kind"], one["subject"]) for one in report["differences"]}
    wanted = city.bank.expected(_claims(city), day) | _about_taps(city)
    city.truth.happened["difference found"] += len(told)
    for kind, subject in sorted(wanted - told):
        raise RuleBroken(f"finance was not told of {kind} {subject}")
    for kind, subject in sorted(told - wanted):
        raise RuleBroken(f"finance was told of {kind} {subject}, and there is no such thing")
    if report["unexplained"]:
        raise RuleBroken(f"{report['unexplained']} cents on clearing accounts are unexplained")


def _claims(city: City) -> list[Claim]:
    """What the ledger says the processor owes, from its entries."""
    return [
        Claim(row["entry_id"], row["kind"], row["corrects"], row["minor"],
              datetime.fromisoformat(row["recorded_at"]).date())
        for row in rows(
            city,
            "SELECT entry_id, kind, corrects, posting.minor, recorded_at FROM entry "
            "JOIN posting ON posting.entry_seq = entry.seq "
            "WHERE posting.account = 'assets:psp_clearing' "
            "AND kind IN ('top_up', 'card_refund', 'chargeback') ORDER BY seq",
        )
    ]  # fmt: skip


def _about_taps(city: City) -> set[tuple[str, str]]:
    """Taps that contradict their gate's chain, and numbers that are missing in one."""
    taps = rows(city, "SELECT gate, gate_seq, tap_id, chain, outcome FROM tap")
    here = {(tap["gate"], tap["gate_seq"]) for tap in taps if tap["chain"] != "fork"}
    missing = {(gate, seq - 1) for gate, seq in here if seq > 1} - here
    return {
        *(("tap_fork", tap["tap_id"]) for tap in taps if tap["outcome"] == "quarantined"),
        *(("tap_gap", f"{gate} {seq}") for gate, seq in missing),
    }


def settle_differences(city: City) -> None:
    """Finance closes every difference; then the clearing accounts must be empty."""
    day = city.clock().date().isoformat()
    with reading(city.ledger.engine) as session:
        open_ones = reconciliation(session, day)["differences"]
    for one in open_ones:
        reason = "suspense" if one["minor"] else ACKNOWLEDGED
        resolve(city.ledger, one["id"], one["version"], reason, "", "finance")
    with reading(city.ledger.engine) as session:
        balances = clearing_balances(session, day)
    for (account, _), minor in balances.items():
        if minor:
            raise RuleBroken(f"{account} holds {minor} cents that nobody waits for")
    _roll_ups_are_the_postings(city, balances)


def _roll_ups_are_the_postings(city: City, balances: dict[tuple[str, str], int]) -> None:
    posted = {
        row["account"]: row["minor"]
        for row in rows(city, "SELECT account, SUM(minor) AS minor FROM posting GROUP BY account")
    }
    for (account, _), minor in balances.items():
        if posted.get(account, 0) != minor:
            raise RuleBroken(f"the roll-up of {account} says {minor}, its postings sum otherwise")
