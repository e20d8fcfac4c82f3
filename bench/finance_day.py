"""A day of fares and card payments with every kind of difference planted, and known.

The ledger gets real entries: rides of random riders, card top-ups, refunds and chargebacks
as ``ledger.processors`` books them, and bags of cash as a clerk sends them to the bank. Beside
it stand the files the others would send: Stripe's balance and payout reports and a camt.053
bank statement. Faults go into the files, and into the gates' chains of taps; ``planted`` says
what must be found: the kind and the thing it is about.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from uuid import UUID

from ledger.accounts import open_account
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.postings import CASH_DESK, RIDER, transfer
from ledger.reconcile.drawer import DEPOSIT
from ledger.rollups import PAYOUTS as IN_TRANSIT
from ledger.rollups import PSP_CLEARING
from ledger.store import LogWriter
from models.database import writing
from models.money import Money
from models.tables.ledger import TapRow

DAY = "2026-11-16"
RUN_DAY = "2026-11-25"
NOON = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
PAYOUTS = 24
DEPOSITS = 8
PLANTED_EACH = 5
CURRENCY = "CNY"
_ACCOUNTS = 20
_PASSAGES = 1_000
_AT_ONCE = 5_000
_KEY = b"k" * 32
FEE_RULE = {"percent": "1.4", "fixed": "0.25", "tolerance": "0.01"}


def day_after(days: int) -> str:
    """The day so many days after the day of the rides."""
    return (date.fromisoformat(DAY) + timedelta(days=days)).isoformat()


@dataclass
class Item:
    """A line of the processor's balance report."""

    name: str
    category: str
    own_id: str
    gross: int
    fee: int
    payout: str
    day: str = DAY
    currency: str = CURRENCY
    refund_id: str = ""


@dataclass
class Receipt:
    """A line of the bank's statement."""

    name: str
    minor: int
    day: str
    words: str
    currency: str = CURRENCY


@dataclass
class FinanceDay:
    """The others' files in the making, and what was planted in them."""

    rng: random.Random
    accounts: list[str] = field(default_factory=list)
    charges: list[tuple[str, int]] = field(default_factory=list)
    refunds: list[tuple[str, str, int]] = field(default_factory=list)
    deposits: list[tuple[str, str, int]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    payouts: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    planted: set[tuple[str, str]] = field(default_factory=set)
    unusual: set[str] = field(default_factory=set)
    """Charges of an amount that no other has."""

    def uuid(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def plant(self, kind: str, subject: str) -> None:
        self.planted.add((kind, subject))


def make_day(
    ledger: Ledger, rides: int, payments: int, seed: int, *, faults: bool = True
) -> FinanceDay:
    """Record the day in the ledger and make the others' view of it."""
    made = FinanceDay(random.Random(seed))
    made.accounts = [f"{made.rng.getrandbits(128):032x}" for _ in range(_ACCOUNTS)]
    for account in made.accounts:
        open_account(ledger, account)
    _record(ledger, made, rides, payments)
    _report_items(made)
    if faults:
        _plant_in_items(made)
        _plant_taps(ledger, made)
    _pay_out(made, faults)
    return made


def _record(ledger: Ledger, made: FinanceDay, rides: int, payments: int) -> None:
    for number in range(payments):
        made.charges.append((made.uuid(), made.rng.randint(2, 20) * 500))
        if number % 50 == 49:
            charge_id, minor = made.charges[-1]
            made.refunds.append((made.uuid(), charge_id, minor // 2))
    for number in range(PLANTED_EACH):
        made.charges.append((made.uuid(), 91_001 + number))
        made.unusual.add(made.charges[-1][0])
    for number in range(DEPOSITS):
        made.deposits.append((made.uuid(), f"BAG-{number:06d}", 31_007 + 1_111 * number))
    passages = _passages(made)
    drafts = chain(
        (_ride(made, number, passages[number * 7 % _PASSAGES]) for number in range(rides)),
        (_charge(made, *charge) for charge in made.charges),
        (_refund(made, *refund) for refund in made.refunds),
        (_deposit(*deposit) for deposit in made.deposits),
    )
    while some := list(islice(drafts, _AT_ONCE)):
        with writing(ledger.engine) as session:
            writer = LogWriter(session, NOON)
            for draft in some:
                writer.append(draft)
            writer.save()


def _tap_id(made: FinanceDay, number: int) -> str:
    """A UUIDv7 as gates make them, each a millisecond later: ids that grow are quick to keep."""
    moment = int(NOON.timestamp() * 1000) + number
    random_bits = made.rng.getrandbits(62)
    return str(UUID(int=moment << 80 | 0x7 << 76 | 0b10 << 62 | random_bits))


def _passages(made: FinanceDay) -> list[tuple[Money, dict[str, object]]]:
    """What rides are like: drawn once and used in turn, so that ten million are soon made."""
    rng = made.rng
    found: list[tuple[Money, dict[str, object]]] = []
    for _ in range(_PASSAGES):
        gate = rng.randint(1, 40)
        found.append((Money(rng.choice((200, 300, 500)), CURRENCY), {
            "gate": f"gate-{gate}", "station": f"station-{gate // 4}", "direction": "in",
            "medium": rng.choice(("face", "pass")),
            "rule": {"code": "flat", "words": "Flat fare."}}))  # fmt: skip
    return found


def _ride(made: FinanceDay, number: int, passage: tuple[Money, dict[str, object]]) -> Draft:
    amount, facts = passage
    at = NOON - timedelta(seconds=number % 300)
    return Draft("ride", _tap_id(made, number), at, amount,
                 transfer(amount, debit=RIDER, credit="income:fares:metro"), facts,
                 made.accounts[number % _ACCOUNTS], _KEY)  # fmt: skip


def _charge(made: FinanceDay, charge_id: str, minor: int) -> Draft:
    amount = Money(minor, CURRENCY)
    return Draft("top_up", charge_id, NOON, amount,
                 transfer(amount, debit=PSP_CLEARING, credit=RIDER),
                 {"method": "card", "processor": "stripe"}, made.rng.choice(made.accounts),
                 _KEY)  # fmt: skip


def _refund(made: FinanceDay, refund_id: str, charge_id: str, minor: int) -> Draft:
    amount = Money(minor, CURRENCY)
    return Draft("card_refund", refund_id, NOON, amount,
                 transfer(amount, debit="liabilities:card_refunds", credit=PSP_CLEARING),
                 {"corrects": charge_id})  # fmt: skip


def _deposit(deposit_id: str, slip: str, minor: int) -> Draft:
    amount, rule = Money(minor, CURRENCY), {"code": DEPOSIT, "words": "Carried to the bank."}
    return Draft(DEPOSIT, deposit_id, NOON, amount,
                 transfer(amount, debit=IN_TRANSIT, credit=CASH_DESK),
                 {"slip": slip, "rule": rule})  # fmt: skip


def _fee(minor: int) -> int:
    return minor * 14 // 1000 + 25


def _report_items(made: FinanceDay) -> None:
    for number, (charge_id, minor) in enumerate(made.charges):
        payout = f"po_1Bench{number % PAYOUTS:06d}"
        name = f"txn_c{number:07d}"
        made.items.append(Item(name, "charge", charge_id, minor, _fee(minor), payout))
    for number, (refund_id, charge_id, minor) in enumerate(made.refunds):
        payout = f"po_1Bench{number % PAYOUTS:06d}"
        name = f"txn_r{number:07d}"
        made.items.append(Item(name, "refund", charge_id, -minor, 0, payout, refund_id=refund_id))


def _plant_in_items(made: FinanceDay) -> None:
    kept = {charge_id for _, charge_id, _ in made.refunds} | made.unusual
    charges = [item for item in made.items
               if item.category == "charge" and item.own_id not in kept]  # fmt: skip
    picked = iter(made.rng.sample(charges, 8 * PLANTED_EACH))
    gone = set()
    for number in range(PLANTED_EACH):
        item = next(picked)
        gone.add(item.name)
        made.plant("missing_at_processor", item.own_id)
        _plant_changes(made, next(picked), next(picked), next(picked), next(picked), number)
        _plant_lines(made, next(picked), next(picked), next(picked), number)
    made.items = [item for item in made.items if item.name not in gone]
    _lose_ids(made)


def _lose_ids(made: FinanceDay) -> None:
    """Lines that lost our id and can still be paired for certain: no differences.

    A refund is told by its charge, a charge by an amount that no other has.
    """
    for item in made.items:
        if item.category == "refund" and item.name.startswith("txn_r") and item.gross % 7 == 0:
            item.refund_id = ""
    for item in made.items:
        if item.own_id in made.unusual:
            item.own_id = ""


def _plant_taps(ledger: Ledger, made: FinanceDay) -> None:
    """A gate of which one tap is missing, and a tap of a gate's copy, so many times each."""
    rows = []
    for number in range(PLANTED_EACH):
        for gate, seq, state, outcome in (
            (f"gapped-{number}", 2, "gap", "refused"),
            (f"copied-{number}", 1, "fork", "quarantined"),
        ):
            tap_id = made.uuid()
            rows.append(TapRow(tap_id=tap_id, signed=None, hash=tap_id, prev="", gate=gate,
                               gate_seq=seq, chain=state, outcome=outcome, answer="{}",
                               received_at=NOON))  # fmt: skip
        made.plant("tap_gap", f"gapped-{number} 1")
        made.plant("tap_fork", rows[-1].tap_id)
    with writing(ledger.engine) as session:
        session.add_all(rows)


def _plant_changes(
    made: FinanceDay, amount: Item, fee: Item, currency: Item, late: Item, number: int
) -> None:
    amount.gross += 100 * (number + 1)
    amount.fee = _fee(amount.gross)
    made.plant("amount", amount.own_id)
    fee.fee += 13
    made.plant("fee", f"stripe:{fee.name}")
    currency.currency, currency.payout = "EUR", "po_1BenchEur001"
    currency.gross //= 8
    currency.fee = _fee(currency.gross)
    made.plant("currency", f"stripe:{currency.name}")
    late.day, late.payout = day_after(4), "po_1BenchLate01"
    made.plant("late", f"stripe:{late.name}")


def _plant_lines(
    made: FinanceDay, twice: Item, taken_back: Item, refunded: Item, number: int
) -> None:
    payout = f"po_1Bench{number:06d}"

    def add(name: str, category: str, own_id: str, gross: int, kind: str, refund: str = "") -> None:
        fee = _fee(gross) if category == "charge" else 0
        made.items.append(Item(name, category, own_id, gross, fee, payout, refund_id=refund))
        made.plant(kind, f"stripe:{name}")

    add(f"txn_x1{number}", "charge", made.uuid(), 4200, "missing_in_ledger")
    add(f"txn_x2{number}", "charge", twice.own_id, twice.gross, "duplicate")
    add(f"txn_x3{number}", "dispute", taken_back.own_id, -taken_back.gross, "chargeback")
    add(f"txn_x4{number}", "refund", made.uuid(), -777, "refund_without_charge", made.uuid())
    add(f"txn_x5{number}", "refund", refunded.own_id, -333, "missing_in_ledger", made.uuid())
    add(f"txn_x6{number}", "other_adjustment", "", -1900, "unknown")


def _pay_out(made: FinanceDay, faults: bool) -> None:
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for item in made.items:
        sums[item.payout, item.currency] += item.gross - item.fee
    for (name, currency), minor in sorted(sums.items()):
        day = day_after(5) if name == "po_1BenchLate01" else day_after(1)
        made.payouts[name] = (minor, currency, day)
    names = [name for name in sorted(made.payouts) if name.startswith("po_1Bench0")]
    plain = _plant_at_bank(made, names) if faults else set(made.payouts)
    _bank_cash(made, faults)
    for name in sorted(plain):
        minor, currency, day = made.payouts[name]
        made.receipts.append(
            Receipt(f"B{name[-8:]}", minor, _next(day), f"STRIPE {name}", currency)
        )


def _next(day: str, days: int = 1) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _plant_at_bank(made: FinanceDay, names: list[str]) -> set[str]:
    """Plant the bank's faults; return the payouts that still arrive as they should."""
    lost, wrong, late, split, one, two, twice, short = names[:8]
    day = day_after(2)

    def receive(name: str, minor: int, words: str, on: str = day) -> None:
        made.receipts.append(Receipt(name, minor, on, words))

    made.plant("missing_at_bank", f"stripe:{lost}")
    receive("X1", made.payouts[wrong][0] - 1250, f"STRIPE {wrong}")
    made.plant("amount", f"stripe:{wrong}")
    receive("X2", made.payouts[late][0], f"STRIPE {late}", day_after(6))
    made.plant("late", "bank:DE02:X2")
    receive("X3", made.payouts[split][0] // 3, f"STRIPE {split}")
    receive("X4", made.payouts[split][0] - made.payouts[split][0] // 3, f"STRIPE {split}")
    made.plant("split_or_merged_payout", f"stripe:{split}")
    receive("X5", made.payouts[one][0] + made.payouts[two][0], f"STRIPE {one} {two}")
    made.plant("split_or_merged_payout", "bank:DE02:X5")
    receive("X6", made.payouts[twice][0], f"STRIPE {twice}")
    receive("X7", made.payouts[twice][0], f"STRIPE {twice}", day_after(3))
    made.plant("duplicate", "bank:DE02:X7")
    receive("X8", 123_456, "STRIPE po_1NobodyKnows")
    made.plant("missing_at_processor", "bank:DE02:X8")
    receive("X9", 98_765, "RENT NOVEMBER")
    made.plant("unknown", "bank:DE02:X9")
    minor, currency, on = made.payouts[short]
    made.payouts[short] = (minor - 500, currency, on)
    made.plant("payout_sum", f"stripe:{short}")
    return set(made.payouts) - {lost, wrong, late, split, one, two, twice}


def _bank_cash(made: FinanceDay, faults: bool) -> None:
    """What the bank says of the bags; of the last one it lost the slip, which is no difference."""
    usual = [
        (slip, minor, day_after(1), f"CASH DEPOSIT {slip}") for _, slip, minor in made.deposits
    ]
    slip, minor, on, _ = usual[-1]
    usual[-1] = (slip, minor, on, "CASH DEPOSIT")
    if faults:
        lost, wrong, late, twice = made.deposits[:4]
        made.plant("missing_at_bank", lost[0])
        usual[1] = (wrong[1], wrong[2] - 5_000, day_after(1), f"CASH DEPOSIT {wrong[1]}")
        made.plant("amount", wrong[0])
        usual[2] = (late[1], late[2], day_after(6), f"CASH DEPOSIT {late[1]}")
        made.plant("late", f"bank:DE02:{late[1]}")
        usual.append((f"{twice[1]}-2", twice[2], day_after(2), f"CASH DEPOSIT {twice[1]}"))
        made.plant("duplicate", f"bank:DE02:{twice[1]}-2")
        del usual[0]
    for name, minor, day, words in usual:
        made.receipts.append(Receipt(name, minor, day, words))


def _major(minor: int) -> str:
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}.{minor % 100:02d}"


def balance_report(made: FinanceDay) -> bytes:
    """Stripe's balance_change_from_activity.itemized of the day."""
    rows = ["balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,"
            "automatic_payout_id,payment_metadata[facefare_id],"
            "refund_metadata[facefare_id]"]  # fmt: skip
    for item in made.items:
        rows.append(
            f"{item.name},{item.day} 12:00:00,{item.currency.lower()},{_major(item.gross)},"
            f"{_major(item.fee)},{_major(item.gross - item.fee)},{item.category},{item.payout},"
            f"{item.own_id},{item.refund_id}"
        )
    return ("\n".join(rows) + "\n").encode()


def payouts_report(made: FinanceDay) -> bytes:
    """Stripe's payouts.itemized of the days after."""
    rows = ["payout_id,effective_at_utc,currency,gross,fee,net,reporting_category"]
    for name, (minor, currency, day) in sorted(made.payouts.items()):
        money = _major(-minor)
        rows.append(f"{name},{day} 00:00:00,{currency.lower()},{money},0.00,{money},payout")
    return ("\n".join(rows) + "\n").encode()


def bank_statements(made: FinanceDay) -> list[bytes]:
    """The bank's camt.053 statements, one for each currency."""
    return [_camt(made, currency) for currency in sorted({r.currency for r in made.receipts})]


def _camt(made: FinanceDay, currency: str) -> bytes:
    mine = sorted((r for r in made.receipts if r.currency == currency), key=lambda r: r.day)
    entries = "".join(
        f'<Ntry><Amt Ccy="{currency}">{_major(r.minor)}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{r.day}</Dt></BookgDt>"
        f"<AcctSvcrRef>{r.name}</AcctSvcrRef><NtryDtls><TxDtls><RmtInf><Ustrd>{r.words}</Ustrd>"
        "</RmtInf></TxDtls></NtryDtls></Ntry>\n"
        for r in mine
    )
    closing = _major(sum(r.minor for r in mine))
    balances = "".join(
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>'
        for code, amount in (("OPBD", "0.00"), ("CLBD", closing))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>'
        f"<Id>{currency}-1</Id><Acct><Id><Othr><Id>DE02</Id></Othr></Id></Acct>{balances}\n"
        f"{entries}</Stmt></BkToCstmrStmt></Document>"
    ).encode()
