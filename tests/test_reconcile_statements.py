"""Statements of others are read to the cent, or refused whole with line and sentence."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

import mt940
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reconcile.statements.lines import Line, StatementRefused
from ledger.reconcile.statements.profiles import PROFILES, guess, read_statement

UTC = ZoneInfo("UTC")
SHANGHAI = ZoneInfo("Asia/Shanghai")

STRIPE = (
    "automatic_payout_id,automatic_payout_effective_at_utc,balance_transaction_id,created_utc,"
    "currency,gross,fee,net,reporting_category,payment_intent_id,payment_metadata[facefare_id],"
    "refund_metadata[facefare_id]\n"
    "po_1A,2026-11-24 00:00:00,txn_1,2026-11-22 18:49:07,eur,20.00,0.53,19.47,charge,pi_1,own-1,\n"
    "po_1A,2026-11-24 00:00:00,txn_2,2026-11-22 19:00:00,eur,-5.00,0.00,-5.00,refund,pi_1,own-1,"
    "own-2\n"
    "po_1A,2026-11-24 00:00:00,txn_3,2026-11-22 19:00:00,eur,-0.10,0.00,-0.10,fee,,,\n"
)
GENERIC = (
    "id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text\n"
    "t-1,2026-11-22,charge,own-1,ch-77,p-9,20.00,0.58,19.42,EUR,Top-up\n"
    "p-9,2026-11-23,payout,,,p-9,-19.42,0.00,-19.42,EUR,\n"
)
BANK = "id,day,amount,currency,reference,text\nb-1,2026-11-24,19.42,EUR,p-9,Processor payout\n"
MT940 = (
    ":20:STMT1\n:25:DE89370400440532013000\n:28C:17/1\n:60F:C261123EUR100,00\n"
    ":61:2611241124C19,42NTRFP-9//B1\n:86:Processor payout\n po_1Abcdef\n"
    ":61:2611241124D0,42NCHGNONREF\n:62F:C261124EUR119,00\n"
)


def camt(version: str = "08", entries: str = "", closing: str = "119.42") -> str:
    status = "BOOK" if version == "02" else "<Cd>BOOK</Cd>"
    entry = (
        '<Ntry><Amt Ccy="EUR">19.42</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        f"<Sts>{status}</Sts><BookgDt><Dt>2026-11-24</Dt></BookgDt><AcctSvcrRef>B1</AcctSvcrRef>"
        "<NtryDtls><TxDtls><Refs><EndToEndId>p-9</EndToEndId></Refs>"
        "<RmtInf><Ustrd>Payout po_1Abcdef</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
    )
    balances = "".join(
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>'
        for code, amount in (("OPBD", "100.00"), ("CLBD", closing))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}">'
        f"<BkToCstmrStmt><Stmt><Id>S1</Id><Acct><Id><IBAN>DE89</IBAN></Id></Acct>{balances}\n"
        f"{entry}\n{entries}</Stmt></BkToCstmrStmt></Document>"
    )


def read(text: str, zone: ZoneInfo = UTC, profile: str | None = None) -> tuple[Line, ...]:
    return read_statement(text.encode(), zone, profile).lines


def refused(text: str, profile: str | None = None) -> tuple[tuple[int, str], ...]:
    with pytest.raises(StatementRefused) as caught:
        read(text, profile=profile)
    assert "nothing was imported" in str(caught.value)
    return caught.value.faults


def test_a_payout_reconciliation_report_makes_its_payouts() -> None:
    charge, refund, fee, payout = read(STRIPE, profile="stripe-payout-reconciliation")
    assert charge == Line(2, "stripe:txn_1", "charge", 2000, 53, "EUR", "2026-11-22", "own-1",
                          "pi_1", "po_1A", "charge")  # fmt: skip
    assert (refund.kind, refund.own_id, refund.reference) == ("refund", "own-2", "own-1")
    assert (fee.kind, fee.gross) == ("fee", -10)
    assert (payout.kind, payout.net, payout.day) == ("payout", -1437, "2026-11-24")


def test_a_balance_report_may_have_lines_without_a_payout() -> None:
    text = STRIPE.replace("po_1A,2026-11-24 00:00:00,txn_3", ",,txn_3")
    assert [line.payout_id for line in read(text, profile="stripe-balance")] == [
        "po_1A", "po_1A", None
    ]  # fmt: skip
    assert refused(text, "stripe-payout-reconciliation") == (
        (4, "a payout reconciliation report has a payout in every line"),
    )


def test_a_payout_of_a_balance_report_names_itself() -> None:
    text = STRIPE + ",,txn_4,2026-11-24 00:00:00,eur,-14.37,0.00,-14.37,payout,,,\n"
    ((line, words),) = refused(text, "stripe-balance")
    assert line == 5 and words.startswith("automatic_payout_id is empty")


def test_the_two_reports_of_stripe_that_look_alike_must_be_named() -> None:
    assert "name it with --profile" in refused(STRIPE)[0][1]


@pytest.mark.parametrize(
    ("text", "profile"),
    [(GENERIC, "generic-processor"), (BANK, "generic-bank"), (MT940, "mt940"),
     (camt(), "camt053"), (camt("02"), "camt053"),
     ("payout_id,effective_at_utc,currency,gross,fee,net,reporting_category\n", "stripe-payouts")],
)  # fmt: skip
def test_other_files_are_known_by_how_they_begin(text: str, profile: str) -> None:
    assert guess(text.encode()) == profile
    assert guess(b"\xef\xbb\xbf" + text.encode()) == profile


def test_a_day_is_a_day_of_the_books() -> None:
    assert read(STRIPE, SHANGHAI, "stripe-balance")[0].day == "2026-11-23"


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_payout_leaves_the_balance_whatever_its_sign(sign: str) -> None:
    text = (
        "payout_id,effective_at_utc,currency,gross,fee,net,reporting_category\n"
        f"po_1A,2026-11-24 00:00:00,jpy,{sign}1437,0,{sign}1437,payout\n"
    )
    (payout,) = read(text)
    assert (payout.line_id, payout.net, payout.currency) == ("stripe:po_1A", -1437, "JPY")


def test_the_generic_profiles_are_read() -> None:
    charge, payout = read(GENERIC)
    assert (charge.gross, charge.fee, charge.net) == (2000, 58, 1942)
    assert (payout.kind, payout.net) == ("payout", -1942)
    (receipt,) = read(BANK)
    assert (receipt.net, receipt.words) == (1942, "p-9 Processor payout")


@pytest.mark.parametrize(
    ("currency", "written", "minor"),
    [("JPY", "1942", 1942), ("EUR", "19.42", 1942), ("KWD", "19.421", 19421), ("EUR", "-0.01", -1)],
)
def test_amounts_follow_the_currencys_decimals(currency: str, written: str, minor: int) -> None:
    (line,) = read(BANK.replace("19.42", written).replace("EUR", currency))
    assert line.gross == minor


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("19.42,EUR,p-9", "19.425,EUR,p-9"), "more decimals"),
        (lambda t: t.replace("19.42,EUR,p-9", "1e3,EUR,p-9"), "not an amount"),
        (lambda t: t.replace("19.42,EUR,p-9", "NaN,EUR,p-9"), "not an amount"),
        (lambda t: t.replace("EUR", "EUX"), "not an ISO 4217 currency"),
        (lambda t: t.replace("2026-11-24", "24.11.2026"), "not a day"),
        (lambda t: t + "b-1,2026-11-25,1.00,EUR,p,x\n", "repeats b-1 of line 2"),
        (lambda t: t + "b-2,2026-11-25,1.00,EUR\n", "4 values for 6 columns"),
        (lambda t: t.replace("b-1", ""), "no id"),
        (lambda t: t + 'b-3,"2026', "not CSV"),
        (lambda t: t.splitlines()[0] + "\n", "no lines"),
    ],
)
def test_a_bad_line_is_named_and_the_file_refused_whole(
    change: Callable[[str], str], words: str
) -> None:
    faults = refused(change(BANK), "generic-bank")
    assert words in faults[0][1]
    assert faults[0][0] in (1, 2, 3)


def test_every_fault_of_a_file_is_told_at_once() -> None:
    text = GENERIC + "t-2,2026-13-01,charge,,,,1.00,0.00,1.00,EUR,\nt-3,x,odd,,,,1,0,1,EUR,\n"
    assert [line for line, _ in refused(text)] == [4, 5]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("20.00,0.53,19.47", "20.00,0.53,19.48", "net 19.48 is not gross 20.00 less fee 0.53"),
        ("2026-11-22 18:49:07", "22/11/2026", "not a time"),
        ("2026-11-22 18:49:07", "2026-11-22T18:49:07+08:00", "not a time in UTC"),
        ("po_1A,2026-11-24 00:00:00,txn_2", "po_1A,2026-11-25 00:00:00,txn_2", "another day"),
        ("txn_2", "txn_1", "repeats txn_1"),
    ],
)
def test_a_contradictory_stripe_report_is_refused(old: str, new: str, words: str) -> None:
    text = STRIPE.replace(old, new, 1)
    assert words in refused(text, "stripe-payout-reconciliation")[0][1]


def test_a_missing_column_is_named() -> None:
    assert refused("id,day\n", "generic-bank") == (
        (1, "the columns amount, currency, reference, text are missing"),
    )


@pytest.mark.parametrize("version", ["02", "08"])
def test_camt053_is_read_in_both_versions(version: str) -> None:
    (line,) = read(camt(version))
    assert line == Line(3, "bank:DE89:B1", "receipt", 1942, 0, "EUR", "2026-11-24",
                        reference="p-9", payout_id="po_1Abcdef",
                        words="p-9 Payout po_1Abcdef")  # fmt: skip


def test_a_batch_of_camt053_becomes_its_transactions() -> None:
    parts = "".join(
        f'<TxDtls><Refs><EndToEndId>e{n}</EndToEndId></Refs><Amt Ccy="EUR">{amount}</Amt></TxDtls>'
        for n, amount in ((1, "3.00"), (2, "4.50"))
    )
    entry = (
        '<Ntry><Amt Ccy="EUR">7.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
        f"<BookgDt><DtTm>2026-11-24T23:30:00Z</DtTm></BookgDt><NtryDtls>{parts}</NtryDtls></Ntry>"
    )
    _, *lines = read(camt(entries=entry, closing="111.92"), SHANGHAI)
    assert [(line.gross, line.reference, line.day) for line in lines] == [
        (-300, "e1", "2026-11-25"), (-450, "e2", "2026-11-25"),
    ]  # fmt: skip


def booked(text: str = "") -> str:
    """The one entry of ``camt``, or with another reference of the bank."""
    entry = camt().split("\n")[2]
    return entry.replace("<AcctSvcrRef>B1<", f"<AcctSvcrRef>{text}<") if text else entry


def test_an_entry_that_is_there_twice_is_refused_also_where_all_is_one_line() -> None:
    twice = camt(entries=booked(), closing="138.84")
    assert refused(twice) == ((4, "it repeats DE89:B1 of line 3"),)
    assert refused(twice.replace("\n", "")) == ((1, "it repeats DE89:B1 of line 1"),)


@pytest.mark.parametrize("written", ["NONREF", "notprovided", "N/A", "0000"])
def test_a_reference_that_says_nothing_tells_no_entry_from_another(written: str) -> None:
    text = camt(entries=booked(written) + booked(written), closing="158.26")
    assert [line.line_id for line in read(text)] == [
        "bank:DE89:B1", "bank:DE89:S1:2", "bank:DE89:S1:3"
    ]  # fmt: skip


QUIET_CAMT = (
    camt(closing="100.00")
    .replace(booked(), "")
    .replace("</CdtDbtInd></Bal>", "</CdtDbtInd><Dt><Dt>2026-11-25</Dt></Dt></Bal>")
)
QUIET_MT940 = ":20:S2\n:25:DE89\n:28C:18/1\n:60F:C261124EUR119,00\n:62F:C261125EUR119,00\n"


@pytest.mark.parametrize("text", [QUIET_CAMT, QUIET_MT940])
def test_a_quiet_day_of_the_bank_is_a_statement_too(text: str) -> None:
    found = read_statement(text.encode(), UTC)
    assert (found.lines, found.closed) == ((), ("2026-11-25",))


def test_what_is_not_booked_yet_does_not_count() -> None:
    pending = (
        '<Ntry><Amt Ccy="EUR">7.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts></Ntry>'
    )
    assert len(read(camt(entries=pending))) == 1


def test_a_bank_statement_that_does_not_add_up_is_refused() -> None:
    assert "closing balance says 11943" in refused(camt(closing="119.43"))[0][1]
    quiet = QUIET_MT940.replace("EUR119,00", "EUR119,01", 1)
    assert "closing balance says 11900" in refused(quiet)[0][1]
    assert "closing balance says 11901" in refused(MT940.replace("EUR119,00", "EUR119,01"))[0][1]


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>'
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">&d;</Document>'
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">&f;</Document>'
)


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, BOMB.replace("<?xml", "<?xml", 1)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_with_entities_is_refused(text: str, encoding: str) -> None:
    with pytest.raises(StatementRefused, match="DOCTYPE"):
        read_statement(text.encode(encoding), UTC, "camt053")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("camt.053.001.08", "camt.052.001.08", "not camt.053"),
        ("</Document>", "", "not XML"),
        ("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "<Sts>", "CdtDbtInd is missing"),
        ("<Dt>2026-11-24</Dt>", "<Dt>2026-24-11</Dt>", "not a day"),
        ('Ccy="EUR">19.42', 'Ccy="EUR">19,42', "not an amount"),
        ('Ccy="EUR">19.42', '>19.42', "not an ISO 4217 currency"),
        ("<Cd>OPBD</Cd>", "<Cd>XXXX</Cd>", "balances are missing"),
    ],
)  # fmt: skip
def test_a_bad_camt053_is_refused(old: str, new: str, words: str) -> None:
    assert words in refused(camt().replace(old, new), "camt053")[0][1]


def test_mt940_is_read_with_its_text() -> None:
    receipt, fee = read(MT940)
    assert (receipt.gross, receipt.day, receipt.payout_id) == (1942, "2026-11-24", "po_1Abcdef")
    assert receipt.line_id == "bank:DE89370400440532013000:17/1:2026-11-23:1"
    assert (fee.gross, fee.line_no) == (-42, 8)


def test_mt940_agrees_with_the_library_everybody_uses() -> None:
    theirs = [int(t.data["amount"].amount * 100) for t in mt940.parse(MT940).transactions]
    assert [line.gross for line in read(MT940)] == theirs


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (":61:2611241124C19,42NTRFP-9//B1", ":61:XX", "not a movement"),
        (":61:2611241124C", ":61:2613241124C", "not a date"),
        (":60F:C261123EUR100,00\n", "", "before the opening balance"),
        (":62F:C261124EUR119,00\n", "", "no closing balance"),
        (":20:STMT1", "hello\n:20:STMT1", "before the first tag"),
        (":28C:17/1", ":99Z:17/1", "not one of a statement"),
        ("C19,42", "C19,423", "more decimals"),
    ],
)
def test_a_bad_mt940_is_refused_where_the_library_reads_on(old: str, new: str, words: str) -> None:
    assert words in " ".join(w for _, w in refused(MT940.replace(old, new, 1), "mt940"))


def test_a_booking_in_the_year_after_its_value_keeps_its_year() -> None:
    text = MT940.replace(":61:2611241124C", ":61:2612310102C")
    assert read(text)[0].day == "2027-01-02"


@given(st.sampled_from(sorted(PROFILES)), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(profile: str, data: bytes) -> None:
    with pytest.raises(StatementRefused):
        read_statement(data, UTC, profile)


@given(st.sampled_from([STRIPE, GENERIC, BANK, MT940, camt()]), st.data())
def test_a_damaged_file_is_read_or_refused_never_worse(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + 1 :]
    try:
        read_statement(damaged.encode("utf-8", "surrogatepass"), UTC, "stripe-balance"
                       if text == STRIPE else None)  # fmt: skip
    except StatementRefused as error:
        assert error.faults
