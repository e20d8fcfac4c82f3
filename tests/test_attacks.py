"""What somebody would try against the whole application, and where each attempt is tested.

``ELSEWHERE`` names the tests that show an attack on one part, beside that part; a test looks
that they exist. The others are here, against the application as it is served.
"""

from __future__ import annotations

import ast
import hmac
import json
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from markupsafe import escape
from sqlmodel import select

from enrollment.passes import issue_pass
from enrollment.rider_sign_in import RiderSignInRefused, sign_in_by_pin
from enrollment.rider_sign_in import _nobody_hash as nobody_hash
from enrollment.rider_web import start_rider_session
from ledger.checkpoints import publish
from ledger.processors.protocol import WebhookRefused
from ledger.processors.stripe import OWN_ID, StripeProcessor
from models.access.gates import revoke_gate
from models.access.sessions import find_session
from models.database import reading, writing
from models.tables.ledger import AutoTopUpRow, EntryRow
from models.tables.reconcile import CardPageRow, CardRow
from models.tables.riders import Pass, Passkey, Rider, RiderStation, Template
from models.wire.keys import base64url, key_id
from models.wire.pass_text import unpack_pass
from models.wire.passes import PassRefused, check_pass
from models.wire.tap import Evidence
from tests.attack_records import card_page_of, make_lived_in, passkey_of
from tests.attack_site import ACCOUNT, OTHER_ACCOUNT, Site, built, make_site
from tests.attack_walk import Walk
from tests.looking import RIDERS
from tests.town import TownGate

ELSEWHERE = {
    "unsigned token": "test_access.py::test_an_unsigned_token_is_refused",
    "HS256 under the public key": "test_access.py::test_hmac_under_the_public_key_is_refused",
    "a tap under another algorithm": "test_wire.py"
    "::test_a_header_that_is_not_a_taps_is_refused_however_well_it_is_signed",
    "a pass under another algorithm": "test_passes.py::test_only_one_algorithm_is_taken",
    "no exp": "test_access.py::test_a_token_without_one_of_its_claims_is_refused",
    "exp in ten years": "test_access.py::test_a_token_lives_a_minute_at_most",
    "several audiences": "test_access.py::test_only_this_one_audience_is_accepted",
    "a key inside the token": "test_access.py"
    "::test_a_key_that_travels_in_the_token_is_not_believed",
    "replay": "test_access.py::test_a_token_is_good_once",
    "replay after a restart": "test_access.py::test_a_used_token_is_refused_after_a_restart_too",
    "another gate's name": "test_access.py::test_a_gate_cannot_speak_in_another_gates_name",
    "another gate's place": "test_ledger_charge.py::test_a_gate_cannot_speak_for_another_place",
    "a copied gate": "test_ledger_charge.py"
    "::test_another_tap_with_a_used_number_is_quarantined_and_not_charged",
    "forged gallery": "test_gallery_wire.py::test_another_signing_key_is_refused",
    "another gate's gallery": "test_gallery_wire.py"
    "::test_another_gates_gallery_is_refused_even_under_the_same_key",
    "an old gallery": "test_gallery_wire.py::test_an_older_gallery_is_refused",
    "a revoked gate that waits": "test_gallery_feed.py"
    "::test_a_gate_that_is_revoked_while_it_waits_gets_nothing",
    "cross-site forms": "test_routes.py"
    "::test_no_post_goes_through_without_a_csrf_token_but_those_of_gates",
    "another role": "test_routes.py"
    "::test_every_route_is_refused_to_all_but_those_who_may",
    "session fixation": "test_staff_sessions.py"
    "::test_a_session_that_was_planted_before_signing_in_is_not_the_one_signed_in",
    "a copied cookie": "test_staff_sessions.py"
    "::test_a_copied_cookie_is_worth_nothing_after_signing_out",
    "login timing": "test_staff.py"
    "::test_an_unknown_name_takes_about_as_long_as_a_wrong_password",
    "which part was wrong": "test_staff.py::test_every_wrong_sign_in_gets_the_same_sentence",
    "guessing": "test_sign_in.py::test_each_further_failure_doubles_the_wait_up_to_an_hour",
    "locking others out": "test_sign_in.py"
    "::test_guesses_from_elsewhere_do_not_lock_somebody_out_where_they_have_signed_in",
    "a one-time code twice": "test_staff.py::test_a_code_sent_twice_at_once_signs_in_once",
    "open redirect after signing in": "test_staff.py::test_no_sign_in_leads_to_another_server",
    "host header": "test_headers.py::test_another_host_name_gets_no_page",
    "forwarded headers": "test_headers.py::test_proxies_are_counted_exactly",
    "scripts and frames": "test_headers.py::test_every_page_forbids_scripts_frames_and_devices",
    "image bomb by pixels": "test_enrollment_photos.py"
    "::test_a_claim_of_a_size_is_refused_before_anything_is_decoded",
    "image bomb by bytes": "test_enrollment_photos.py"
    "::test_a_file_above_the_limit_is_refused_by_its_size",
    "zip bomb": "test_fares_import.py::test_a_zip_that_unpacks_to_too_much_is_not_unpacked",
    "deflate bomb in a pass": "test_passes.py"
    "::test_a_code_that_unpacks_to_megabytes_is_refused_before_it_does",
    "XML entities": "test_reconcile_statements.py::test_a_document_with_entities_is_refused",
    "a body without end": "test_ledger_api.py::test_a_body_larger_than_any_batch_is_not_read",
    "an upload above all limits": "test_enrollment_pages.py"
    "::test_a_request_above_all_limits_is_cut_off",
    "looking without a trace": "test_access_reasons.py"
    "::test_no_route_shows_a_rider_without_an_access_entry",
    "finding riders by their photographs": "test_enrollment_twins.py"
    "::test_a_photograph_finds_nobody_without_consent_and_no_rider_unseen",
    "trying many photographs": "test_enrollment_twins.py"
    "::test_after_many_riders_were_named_to_somebody_they_compare_no_more_faces_that_day",
    "listing riders by searching": "test_access_reasons.py"
    "::test_a_search_without_a_reason_or_with_one_letter_finds_nobody",
    "a rewritten access log": "test_access_log.py"
    "::test_what_somebody_does_to_the_database_is_found",
    "a forged webhook": "test_processors.py::test_a_message_that_is_not_signed_is_refused",
    "formulas in CSV": "test_exports.py"
    "::test_text_that_a_spreadsheet_would_run_is_defused",
    "formulas in workbooks": "test_exports.py::test_formulas_in_the_ledger_leave_it_as_text",
    "secrets in logs": "test_secrets_in_logs.py"
    "::test_a_day_leaves_no_secret_and_no_name_in_the_logs",
    "more than the server can do": "test_load.py"
    "::test_beyond_its_capacity_the_server_sheds_and_loses_nothing",
    "a refund above the charge": "test_ledger_refunds.py"
    "::test_refunds_from_many_threads_never_exceed_the_charge",
    "approving one's own refund": "test_ledger_requests.py"
    "::test_above_the_limit_nothing_moves_until_another_person_approves",
    "damaged input": "test_fuzz.py::test_damaged_input_is_answered_with_a_sentence",
}  # fmt: skip

MARK = "x9canary"
SCRIPT = f"\"'><script>{MARK}</script><b/onmouseover={MARK}>"
SHORT = f"<script>{MARK}</script>"
"""Where a field takes no more."""
SHORT_ESCAPED = str(escape(SHORT))
RAW = (f"<script>{MARK}", f"onmouseover={MARK}>", f"'><script>{MARK}")
WITHOUT_FORM = {
    "enrollment.capture": ("/enrollment/capture", "a script sends frames of the camera"),
    "rider.scan": ("/me/scan", "a script sends pictures of a pass"),
    "rider.passkey_ask": ("/me/passkey/ask", "a script asks for a challenge"),
    "rider.passkey_sign_in": ("/me/passkey/sign-in", "a script sends what the phone signed"),
    "rider.passkey_options": ("/me/passkeys/ask", "a script asks for a challenge"),
    "rider.keep_passkey": ("/me/passkeys", "a script sends the new key"),
    "enrollment_api.provision": ("/api/v1/gates/provision", "gates send it"),
    "ledger_api.taps": ("/api/v1/taps", "gates send it"),
    "processor_api.webhook": ("/api/v1/processor/webhook", "the payment processor sends it"),
}
"""Addresses that take something and stand in no form, and who sends there."""

STANDING = f"/finance/standing?account={OTHER_ACCOUNT}"
MORE_PAGES = (STANDING, f"/finance/standing?account={ACCOUNT}",
              "/me/medium?medium=pass", "/me/medium?medium=face%2Bpass",
              "/finance/differences?state=all", "/finance/waiting")  # fmt: skip
SHOWS = ("/finance/differences", "/finance/periods", "/finance/statements", STANDING, "/me/looks")
"""Pages on which something stands that somebody else typed."""


@dataclass
class Walked:
    """The walk, over; whether anybody called at the address that was typed everywhere."""

    walk: Walk
    called: bool
    folder: Path


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """Every form of a site that is lived in, sent with an address and a script in each field."""
    folder = tmp_path_factory.mktemp("walk")
    site, known = make_lived_in(folder, SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        names = (f"../../{MARK}.csv", f"/tmp/{MARK}.csv", f"..\\{MARK}.csv", f"{SCRIPT}.csv")
        walk = Walk(site, known, (url + SCRIPT, SHORT), names)
        for rider_id in RIDERS:
            why = {"reason": "question", "note": SCRIPT}
            walk.send(f"/enrollment/riders/{rider_id}/open", data=why)
        walk.hear(site.deliver(site.gates[0], url + SCRIPT))
        walk.through(*MORE_PAGES)
        for path, _ in WITHOUT_FORM.values():
            walk.send(path, json=_everywhere(url + SCRIPT), headers={"Stripe-Signature": url})
        for path in (*SHOWS, f"/finance/differences/{known['difference_id']}"):
            walk.look(path)
        for path in _addresses_with(site, known, url):
            walk.look(path, headers={"Referer": url, "X-Forwarded-Host": url})
        walk.end()
        return Walked(walk, _somebody_called(listener), folder)


def _everywhere(text: str) -> dict[str, Any]:
    """What scripts, gates and a processor send, with ``text`` in each place."""
    names = ("id", "rawId", "type", "pin", "code", "public_key", "box_key", "url", "kind", "order")
    said = dict.fromkeys(("clientDataJSON", "attestationObject", "signature"), text)
    return {**dict.fromkeys(names, text), "response": said, "taps": [text]}


def _somebody_called(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _addresses_with(site: Site, known: dict[str, Any], url: str) -> list[str]:
    """Every page, with the script in each place of its address and in its question."""
    found = []
    for method, rule in site.rules():
        if method == "GET":
            path = built(rule, {**known, "filename": SCRIPT, "token": SCRIPT, "path": SCRIPT})
            names = ("next", "words", "before", "page", "url", "server", "q", "account", "after")
            found.append(f"{path}?{urlencode(dict.fromkeys(names, url + SCRIPT))}")
    return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def known(site: Site) -> dict[str, Any]:
    """What stands in the addresses of things that exist, and belong to the first rider."""
    return {"rider_id": RIDERS[0], "seq": 0, "name": "south-1", "entry_id": ride_of(site, ACCOUNT),
            "text_id": "en-2"}  # fmt: skip


def ride_of(site: Site, account: str) -> str:
    """A ride of this account, which is made at the first call."""
    if not site.rides(account):
        gate = site.gates[0]
        answer = site.deliver(gate, gate.tap(account))
        assert answer.get_json()["answers"][0]["status"] == "accepted", answer.text
    return site.rides(account)[0]


def look_up(site: Site) -> None:
    """Give the reason for which the first rider's record is looked at."""
    why = {"reason": "question", "note": SCRIPT}
    for rider_id in RIDERS:
        opened = site.browser().post(f"/enrollment/riders/{rider_id}/open", data=why)
        assert opened.status_code == 303


def test_every_attack_that_is_tested_elsewhere_is_still_tested() -> None:
    folder, found = Path(__file__).parent, set()
    for name in {place.partition("::")[0] for place in ELSEWHERE.values()}:
        tree = ast.parse((folder / name).read_text(encoding="utf-8"))
        found |= {f"{name}::{node.name}" for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(ELSEWHERE.values()) - found == set()


# One kind of credential in the place of another.


def credentials(site: Site) -> dict[str, str]:
    """One good credential of each kind."""
    gate = site.gates[0]
    with writing(site.enrollment.riders) as session:
        rider = session.get(Rider, RIDERS[0])
        assert rider is not None
        rider.medium = "pass"
    passed = issue_pass(site.enrollment, RIDERS[0], "pass", datetime.now(UTC))
    return {
        "gate's token": site.bearer(gate, "GET", "/api/v1/standings", b"", "ledger"),
        "gate's token for enrollment": site.bearer(
            gate, "GET", "/api/v1/gallery?have=0", b"", "enrollment"
        ),
        "tap": gate.tap(ACCOUNT),
        "pass": unpack_pass(passed.qr_text),
        "pass as scanned": passed.qr_text,
        "staff's session": site.staff_token(),
        "rider's session": site.rider_token(),
    }


@pytest.mark.parametrize(
    ("path", "its_own"),
    [
        ("/api/v1/standings", "gate's token"),
        ("/api/v1/gallery?have=0", "gate's token for enrollment"),
    ],
)
def test_a_gates_address_takes_no_other_kind_of_credential(
    site: Site, path: str, its_own: str
) -> None:
    client = site.app.test_client()
    for kind, credential in credentials(site).items():
        headers = {"Authorization": f"Bearer {credential}"}
        for cookie in ("session", "rider"):
            client.set_cookie(cookie, credential)
        status = client.get(path, headers=headers).status_code
        assert status == (200 if kind == its_own else 401), kind


def test_a_session_of_staff_is_no_other_kind_of_credential(site: Site) -> None:
    for kind, credential in credentials(site).items():
        client = site.app.test_client()
        headers = {"Authorization": f"Bearer {credential}"}
        with client.session_transaction() as held:
            held["staff"] = credential
        status = client.get("/finance/", headers=headers).status_code
        assert status == (200 if kind == "staff's session" else 302), kind


def test_a_session_of_a_rider_is_no_other_kind_of_credential(site: Site) -> None:
    for kind, credential in credentials(site).items():
        client = site.app.test_client()
        client.set_cookie("rider", credential)
        client.set_cookie("session", credential)
        headers = {"Authorization": f"Bearer {credential}"}
        status = client.get("/me/", headers=headers).status_code
        assert status == (200 if kind == "rider's session" else 303), kind


def test_a_pass_is_no_other_kind_of_credential_whoever_signed_it(site: Site) -> None:
    made = credentials(site)
    signers = [site.gates[0].key, site.enrollment.signing_key]
    keys = {key_id(key.public_key()): key.public_key() for key in signers}
    issuer = site.enrollment.settings.origin
    for kind, credential in made.items():
        if kind.startswith("pass"):
            continue
        with pytest.raises(PassRefused):
            check_pass(credential, keys, issuer, datetime.now(UTC))


def test_a_tap_is_no_other_kind_of_credential(site: Site) -> None:
    for kind, credential in credentials(site).items():
        answer = site.deliver(site.gates[0], credential).get_json()["answers"][0]
        assert answer["status"] == ("accepted" if kind == "tap" else "refused"), kind
    assert len(site.rides()) == 1


def test_a_session_token_is_worth_nothing_in_the_other_register(site: Site) -> None:
    now = datetime.now(UTC)
    assert find_session(site.enrollment.access, site.staff_token(), now) is not None
    assert find_session(site.enrollment.access, site.rider_token(), now) is None


# Gates.


def test_the_key_of_a_revoked_gate_opens_no_address_at_all(site: Site) -> None:
    gate = site.gates[0]

    def answers() -> list[int]:
        asked = [site.deliver(gate, gate.tap(ACCOUNT)).status_code]
        for path, audience in (("/api/v1/standings", "ledger"), ("/api/v1/gallery", "enrollment")):
            token = site.bearer(gate, "GET", path, b"", audience)
            headers = {"Authorization": f"Bearer {token}"}
            asked.append(site.app.test_client().get(path, headers=headers).status_code)
        return asked

    assert answers() == [200, 200, 200]
    rides = len(site.rides())
    revoke_gate(site.enrollment.access, gate.name, datetime.now(UTC))
    assert answers() == [401, 401, 401]
    assert len(site.rides()) == rides == 1


def test_a_gate_cannot_deliver_another_gates_taps(site: Site) -> None:
    thief, owner = site.gates
    stolen = owner.tap(ACCOUNT)
    forged = thief.sign(thief.next_tap(ACCOUNT, gate=owner.name))
    for signed in (stolen, forged):
        answer = site.deliver(thief, signed).get_json()["answers"][0]
        assert answer["status"] == "refused"
    assert site.rides() == []
    assert site.deliver(owner, stolen).get_json()["answers"][0]["status"] == "accepted"


def test_a_key_of_ones_own_is_no_gate(site: Site) -> None:
    stranger = TownGate(site.gates[0].name, key=Ed25519PrivateKey.generate())
    assert site.deliver(stranger, stranger.tap(ACCOUNT)).status_code == 401


# Paths and addresses.

TRAVERSALS = ("../../facefare.toml", "..%2f..%2ffacefare.toml", "%2e%2e/%2e%2e/facefare.toml",
              "....//....//facefare.toml", "/etc/passwd", "//etc/passwd", "..\\..\\facefare.toml",
              "%00", "a%00.css", "~root", "C:\\windows")  # fmt: skip


def test_no_address_leads_to_a_file_of_the_server(site: Site) -> None:
    client = site.browser()
    for method, rule in site.rules():
        for name, converter in rule._converters.items():
            if type(converter).__name__ not in ("UnicodeConverter", "PathConverter"):
                continue
            before, _, after = rule.rule.partition("<")
            after = after.partition(">")[2]
            for attempt in TRAVERSALS:
                answer = client.open(f"{before}{attempt}{after}", method=method)
                where = f"{method} {rule.rule} {name}={attempt}: {answer.status_code}"
                assert answer.status_code < 500, where
                text = answer.get_data(as_text=True)
                assert "root:" not in text, where
                assert 'origin = "' not in text, where


def test_an_uploads_name_is_no_path(walked: Walked) -> None:
    assert {"finance.upload_statement", "enrollment.enroll"} <= walked.walk.reached.keys()
    assert list(walked.folder.rglob(f"*{MARK}*")) == []
    assert not Path(f"/tmp/{MARK}.csv").exists()


def test_no_field_makes_the_server_ask_an_address(walked: Walked) -> None:
    """Where the server calls is in its settings; nothing that is sent to it adds an address."""
    assert not walked.called


def test_a_server_that_asked_an_address_would_be_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        assert not _somebody_called(listener)
        socket.create_connection(listener.getsockname()).close()
        assert _somebody_called(listener)


ELSEWHERE_URLS = ("https://evil.example/", "//evil.example/", "/\\evil.example/",
                  "/\t/evil.example/", "\\\\evil.example", "https:evil.example",
                  "javascript:alert(1)", "/%09/evil.example")  # fmt: skip


def test_no_address_sends_a_browser_to_another_server(site: Site) -> None:
    names = ("next", "back", "url", "return", "redirect", "to")
    there, redirects = known(site), 0
    for method, rule in site.rules():
        client, path = site.browser(), built(rule, there)
        for target in ELSEWHERE_URLS:
            given = dict.fromkeys(names, target)
            with client.open(
                path,
                method=method,
                query_string=given,
                data=given if method == "POST" else None,
                headers={"Referer": target if target.isprintable() else "x"},
            ) as answer:
                location = answer.headers.get("Location")
            if location is None:
                break  # it does not lead anywhere, whatever it is asked
            redirects += 1
            led = urlsplit(location.replace("\\", "/").replace("\t", ""))
            assert (led.scheme, led.netloc) in (("", ""), ("http", "localhost")), rule.rule
            assert not led.path.startswith("//"), rule.rule
    assert redirects > 50  # there was something to look at


# What people typed is text.


def test_every_address_that_takes_something_was_tried(walked: Walked) -> None:
    """Where one is missing, ``tests.attack_records`` has no record with such a form."""
    rules = [rule for rule in walked.walk.site.app.url_map.iter_rules() if rule.methods]
    there = {rule.endpoint for rule in rules if "POST" in (rule.methods or ())}
    reached = walked.walk.reached.keys()
    assert there - reached == set()
    assert WITHOUT_FORM.keys() <= reached
    assert walked.walk.by_form & WITHOUT_FORM.keys() == set()


def test_nothing_that_was_typed_is_ever_part_of_a_page(walked: Walked) -> None:
    for path, text in walked.walk.said:
        assert not any(raw in text for raw in RAW), path
    shown = {path for path, text in walked.walk.said if SHORT_ESCAPED in text}
    difference = f"/finance/differences/{walked.walk.known['difference_id']}"
    assert {f"GET {path}" for path in (*SHOWS, difference)} - shown == set()


def test_a_page_that_forgets_to_escape_is_found(site: Site) -> None:
    site.app.add_url_rule("/forgets", "forgets", lambda: f"<p>{SCRIPT}</p>")
    text = site.browser().get("/forgets").get_data(as_text=True)
    assert any(raw in text for raw in RAW)


# What belongs to others.


def test_a_rider_reaches_nothing_of_another_rider(tmp_path: Path) -> None:
    """Every address of the rider's pages, with the other rider's ids in it."""
    site, _ = make_lived_in(tmp_path, "words")
    page, key = card_page_of(RIDERS[1]), base64url(passkey_of(RIDERS[1]))
    ride = ride_of(site, OTHER_ACCOUNT)
    theirs = {"entry_id": ride, "rider_id": RIDERS[1], "seq": 0, "page_id": page}
    given = {"account": OTHER_ACCOUNT, "id": page, "passkey": key, "why": "not-me", **theirs}
    marks = (OTHER_ACCOUNT, RIDERS[1], f"Rider {RIDERS[1]}", ride, page, key)
    kept, tried = everything_of(site, RIDERS[1]), 0
    for method, rule in site.rules():
        if not rule.endpoint.startswith("rider."):
            continue
        client = site.app.test_client()
        client.set_cookie("rider", site.rider_token(RIDERS[0]))
        path = built(rule, theirs)
        with client.open(path, method=method, data=given if method == "POST" else None) as answer:
            text = answer.get_data(as_text=True).replace(path, "")
        assert answer.status_code < 500, path
        assert not [mark for mark in marks if mark in text], path
        if "entry_id" in rule.arguments:
            tried += 1
            assert answer.status_code == 404, path
    assert tried >= 3
    assert everything_of(site, RIDERS[1]) == kept


def everything_of(site: Site, rider_id: str) -> list[Any]:
    """What the databases hold of a rider: of that, nobody else changes anything."""
    account, found = rider_id[0] * 32, []
    for engine, tables, own in (
        (site.enrollment.riders, (Rider, Pass, Passkey, Template, RiderStation), rider_id),
        (site.ledger.engine, (EntryRow, CardRow, CardPageRow, AutoTopUpRow), account),
    ):
        with reading(engine) as session:
            for table in tables:
                column = "rider_id" if own == rider_id else "account_id"
                rows = session.exec(select(table).where(getattr(table, column) == own)).all()
                assert rows, table
                found += [row.model_dump() for row in rows]
    return found


def test_a_rider_who_may_change_something_is_seen_to(tmp_path: Path) -> None:
    """The same requests with the rider's own ids: what the test above compares moves."""
    site, _ = make_lived_in(tmp_path, "words")
    kept = everything_of(site, RIDERS[0])
    client = site.app.test_client()
    client.set_cookie("rider", site.rider_token(RIDERS[0]))
    key = base64url(passkey_of(RIDERS[0]))
    assert client.post("/me/passkeys/remove", data={"passkey": key}).status_code == 303
    assert client.post("/me/card/remove").status_code == 303
    with pytest.raises(AssertionError):
        everything_of(site, RIDERS[0])
    assert len(kept) > 8


def test_a_rider_who_signs_in_elsewhere_drops_the_session_that_was_planted(site: Site) -> None:
    planted = site.rider_token(RIDERS[1])
    with site.app.test_request_context(headers={"Cookie": f"rider={planted}"}):
        answer = site.app.make_response("")
        start_rider_session(site.enrollment, RIDERS[0], answer)
    client = site.app.test_client()
    client.set_cookie("rider", planted)
    assert client.get("/me/").status_code == 303
    cookie = answer.headers["Set-Cookie"]
    assert planted not in cookie
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


def test_a_riders_sign_in_does_not_say_who_rides_here(site: Site) -> None:
    def said(reference: str) -> tuple[int, str]:
        answer = site.app.test_client().post(
            "/me/sign-in", data={"pass": reference, "pin": "493817"}
        )
        page = answer.get_data(as_text=True).replace(reference, "")
        return answer.status_code, re.sub(r'="[A-Za-z0-9_.-]{60,}"', "", page)

    assert said(RIDERS[0]) == said("zzzzzzzzzz") == said("0123456789abcdef")


def test_an_unknown_reference_costs_a_riders_sign_in_as_much_as_a_wrong_pin(
    passwords_as_shipped: None, site: Site
) -> None:
    now = datetime.now(UTC)
    with writing(site.enrollment.riders) as session:
        rider = session.get(Rider, RIDERS[0])
        assert rider is not None
        rider.pin_hash = PasswordHasher().hash("604172")

    def seconds(reference: str) -> float:
        start = time.process_time()  # of all threads, and not of what else the machine does
        with pytest.raises(RiderSignInRefused):
            sign_in_by_pin(site.enrollment, reference, "493817", None, now)
        return time.process_time() - start

    nobody_hash.cache_clear()  # other tests' is cheap
    seconds("zzzzzzzzzz")  # makes the hash that no PIN opens
    known = min(seconds(RIDERS[0]) for _ in range(2))
    assert known > 0.01  # the PIN was compared
    for unknown in ("zzzzzzzzzz", RIDERS[1]):  # the second rider has no PIN yet
        assert seconds(unknown) > known / 2, unknown


# A payment processor's messages.


def test_an_old_message_is_not_made_new_by_writing_another_time_after_it() -> None:
    stripe, now = StripeProcessor("sk_test_nobody", "whsec_of_a_test"), datetime.now(UTC)
    body = json.dumps({"id": "evt_1", "type": "x", "data": {"object": {}}}).encode()

    def signed(at: int) -> str:
        code = hmac.new(b"whsec_of_a_test", f"{at}.".encode() + body, "sha256").hexdigest()
        return f"t={at},v1={code}"

    old, new = int(now.timestamp()) - 3600, int(now.timestamp())
    assert stripe.read_event(body, signed(new), now).event_id == "evt_1"
    for header in (signed(old), f"{signed(old)},t={new}", f"t={new},{signed(old)}"):
        with pytest.raises(WebhookRefused):
            stripe.read_event(body, header, now)


@pytest.mark.parametrize(
    "damage",
    [{"id": None}, {"id": 7}, {"id": ""}, {"id": ["evt"]},
     {"data": {"object": {"metadata": {OWN_ID: {"a": 1}}}}}, {"data": {"object": []}}],
)  # fmt: skip
def test_a_signed_message_without_proper_ids_is_refused(damage: dict[str, Any]) -> None:
    stripe, now = StripeProcessor("sk_test_nobody", "whsec_of_a_test"), datetime.now(UTC)
    event = {"id": "evt_1", "type": "x", "data": {"object": {}}, **damage}
    body, at = json.dumps(event).encode(), int(now.timestamp())
    code = hmac.new(b"whsec_of_a_test", f"{at}.".encode() + body, "sha256").hexdigest()
    with pytest.raises(WebhookRefused, match="not an event"):
        stripe.read_event(body, f"t={at},v1={code}", now)


# What would help somebody to make a face that fits.

SURE = Evidence(engine="dlib-resnet-1", score=0.573518, margin=0.394857, frames=4,
                liveness=0.872645, gallery_version=3)  # fmt: skip


def test_no_answer_tells_how_sure_a_gate_was(site: Site) -> None:
    """A score that can be read is what climbs towards a template, picture by picture."""
    gate = site.gates[0]
    told = site.deliver(gate, gate.sign(gate.next_tap(ACCOUNT, evidence=SURE)))
    assert told.get_json()["answers"][0]["status"] == "accepted"
    look_up(site)
    publish(site.ledger)  # else its health tells how many seconds, such as 0.57, it is late
    texts = [("the gate's own answer", told.get_data(as_text=True))]
    for path, answer in site.pages(known(site)):
        if answer.mimetype not in ("text/css", "application/pdf", "image/png"):
            texts.append((path, answer.get_data(as_text=True)))
    assert [path for path, text in texts if told_of(text)] == []


def told_of(text: str) -> bool:
    """Whether ``text`` holds one of the scores of ``SURE``, rounded or cut at any digit.

    Seconds of a time of day are none.
    """
    text = re.sub(r"\d\d:\d\d:\d\d(\.\d+)?", "", text)
    patterns = []
    for value in (SURE.score, SURE.margin, SURE.liveness or 0):
        share = "|".join({f"{value:.2f}"[2:], f"{value:.4f}"[2:4]})
        tenths = "|".join({f"{100 * value:.1f}", f"{100 * value:.4f}"[:4]}).replace(".", "[.,]")
        patterns.append(rf"(?<![\d.,])0?[.,](?:{share})\d*(?!\d)"  # 0.57, .5735
                        rf"|(?<![\d.,])(?:{share})(?:[.,]\d+)?\s?%"  # 57 %
                        rf"|(?<![\d.,])(?:{tenths})\d*(?!\d)")  # 57.4  # fmt: skip
    return re.search("|".join(patterns), text) is not None


@pytest.mark.parametrize(
    "words",
    ["score 0.57", "0.574", '{"score": 0.573518}', ".5735", "(57 %)", "57,4 %", "57%", "57.35",
     "margin=0.39", "39.49", "0,395", "liveness 0.8726", "87 %", "87.3"],
)  # fmt: skip
def test_a_score_that_is_shown_is_found_however_it_is_rounded(words: str) -> None:
    assert told_of(f"<td>{words}</td>")


@pytest.mark.parametrize("words", ["17.57", "10.574Z", "¥ 57.00", "1.390", "0.6", "v1.87.3",
                                   "2026-11-23T08:58:57.412Z"])  # fmt: skip
def test_another_number_is_no_score(words: str) -> None:
    assert not told_of(f"<td>{words}</td>")


def test_provisioning_codes_do_not_run_out_by_guessing(site: Site) -> None:
    """A wrong code is one sentence, the same whether a code is waiting or not."""
    body = {"public_key": "A" * 43, "box_key": "B" * 43}
    answers = {
        site.app.test_client()
        .post("/api/v1/gates/provision", data=json.dumps({**body, "code": code}))
        .get_data()
        for code in ("0" * 16, "f" * 16, "x")
    }
    assert len(answers) == 1
