"""Files and messages of others: statements, webhooks, and what an operator edits on a gate."""

from __future__ import annotations

import hmac
import json
import tempfile
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuzz.target import Target, of_text
from gate.identity import GateFile, load_identity, make_keys
from gate.liveness.thresholds import SHIPPED, load_threshold, save_threshold
from gate.template import written
from ledger.processors.pretend import PretendProcessor
from ledger.processors.protocol import Event
from ledger.processors.stripe import StripeProcessor
from ledger.reconcile.statements.profiles import read_statement
from models.faces.operating_points import parse_table, shipped_table, write_table
from models.wire.keys import base64url, raw_public

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_ZONE = ZoneInfo("Asia/Shanghai")
_SECRET = "whsec_of_a_test"

_STATEMENTS = {
    "stripe-payout-reconciliation": (
        "automatic_payout_id,automatic_payout_effective_at_utc,balance_transaction_id,created_utc,"
        "currency,gross,fee,net,reporting_category,payment_intent_id,"
        "payment_metadata[facefare_id],refund_metadata[facefare_id]\n"
        "po_1,2026-11-24 00:00:00,txn_1,2026-11-22 18:49:07,eur,20.00,0.53,19.47,charge,pi_1,o-1,\n"
    ),
    "stripe-balance": (
        "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,"
        "automatic_payout_id,payment_intent_id,payment_metadata[facefare_id]\n"
        "txn_1,2026-11-22 18:49:07,eur,20.00,0.53,19.47,charge,po_1,pi_1,own-1\n"
    ),
    "stripe-payouts": (
        "payout_id,effective_at_utc,currency,gross,fee,net,reporting_category,"
        "balance_transaction_id\n"
        "po_1,2026-11-24 00:00:00,eur,-19.47,0.00,-19.47,payout,txn_9\n"
    ),
    "generic-processor": (
        "id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text\n"
        "t-1,2026-11-22,charge,own-1,ch-77,p-9,20.00,0.58,19.42,EUR,Top-up\n"
        "p-9,2026-11-23,payout,,,p-9,-19.42,0.00,-19.42,EUR,\n"
    ),
    "generic-bank": (
        "id,day,amount,currency,reference,text\n"
        "b-1,2026-11-24,19.42,EUR,p-9,Processor payout\n"
    ),
    "mt940": (
        ":20:STMT1\n:25:DE89370400440532013000\n:28C:17/1\n:60F:C261123EUR100,00\n"
        ":61:2611241124C19,42NTRFP-9//B1\n:86:Processor payout\n po_1Abcdef\n"
        ":61:2611241124D0,42NCHGNONREF\n:62F:C261124EUR119,00\n"
    ),
    "camt053": (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>'
        "<Id>S1</Id><Acct><Id><IBAN>DE89</IBAN></Id></Acct>"
        '<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">100.00</Amt>'
        "<CdtDbtInd>CRDT</CdtDbtInd></Bal><Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp>"
        '<Amt Ccy="EUR">119.42</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>'
        '<Ntry><Amt Ccy="EUR">19.42</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
        "<BookgDt><Dt>2026-11-24</Dt></BookgDt><AcctSvcrRef>B1</AcctSvcrRef><NtryDtls><TxDtls>"
        "<Refs><EndToEndId>p-9</EndToEndId></Refs><RmtInf><Ustrd>Payout</Ustrd></RmtInf></TxDtls>"
        "</NtryDtls></Ntry></Stmt></BkToCstmrStmt></Document>"
    ),
}  # fmt: skip


def statement_targets() -> dict[str, Target]:
    """One for each profile, as a file that says it is of that kind."""
    return {
        profile: Target(partial(_read_statement, profile), (text.encode(),))
        for profile, text in _STATEMENTS.items()
    }


def _read_statement(profile: str, data: bytes) -> object:
    return read_statement(data, _ZONE, profile)


def message_targets() -> dict[str, Target]:
    """What a payment processor sends: forged, and signed but odd."""
    order = {"id": "evt_1", "type": "payment_intent.succeeded",
             "data": {"object": {"id": "pi_1", "metadata": {"facefare_id": "own-1"}}}}  # fmt: skip
    dispute = {"id": "evt_2", "type": "charge.dispute.funds_withdrawn",
               "data": {"object": {"id": "dp_1", "charge": "ch_1", "amount": 2000,
                                   "currency": "eur"}}}  # fmt: skip
    bodies = tuple(json.dumps(value).encode() for value in (order, dispute))
    forged = tuple(_signature(body).encode() + b"\n" + body for body in bodies)
    return {
        "webhook": Target(_read_forged, (), odd=forged),
        "webhook-signed": Target(_read_signed, bodies),
    }


def _signature(body: bytes) -> str:
    signed_at = int(NOW.timestamp())
    code = hmac.new(_SECRET.encode(), f"{signed_at}.".encode() + body, sha256).hexdigest()
    return f"t={signed_at},v1={code}"


def _read_forged(data: bytes) -> object:
    """The header in the first line, the body after it, as a stranger may choose them."""
    header, _, body = data.partition(b"\n")
    signature = header.decode("latin-1")
    try:
        PretendProcessor(lambda: NOW).read_event(body, signature, NOW)
    finally:
        event = _stripe().read_event(body, signature, NOW)
    return event


def _read_signed(body: bytes) -> Event:
    try:
        body.decode()
    except UnicodeDecodeError:
        return Event("", "other")  # Stripe signs text
    return _stripe().read_event(body, _signature(body), NOW)


def _stripe() -> StripeProcessor:
    return StripeProcessor("sk_test_nobody", _SECRET)


def gate_targets() -> dict[str, Target]:
    """The files in a gate's directory that people edit or copy there."""
    key = base64url(raw_public(Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()))
    plain = GateFile(gate="south-1", station="south", direction="in",
                     server="https://fares.example", enrollment_key=key)  # fmt: skip
    table = _written(lambda path: write_table(shipped_table("dlib-resnet-1"), path))
    return {
        "gate-toml": Target(_read_gate, (written(plain).encode(), _EVERYTHING.encode())),
        "operating-points": Target(of_text(parse_table), (_one_row(table),)),
        "liveness-thresholds": Target(
            _read_thresholds, (_written(lambda path: save_threshold(SHIPPED, path)),)
        ),
    }


_EVERYTHING = """gate = "south-1"
station = "south"
direction = "in"
server = "https://fares.example"
enrollment_key = "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"
zone = [0.1, 0.0, 0.9, 1.0]

[door]
driver = "http"
url = "https://door.example/command"
auth = "hmac"
pulse_s = 1.5

[camera]
source = "rtsp://camera.example/1"
rotation = 90

[kiosk]
port = 8430
"""


def _written(write: object) -> bytes:
    assert callable(write)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def _one_row(table: bytes) -> bytes:
    value = json.loads(table)
    few = {**value, "points": value["points"][:1], "claims": value["claims"][:1]}
    return json.dumps(few).encode()


def _read_gate(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        make_keys(path)
        (path / "gate.toml").write_bytes(data)
        return load_identity(path)


def _read_thresholds(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "liveness.json"
        path.write_bytes(data)
        return load_threshold(path)
