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
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from werkzeug.test import TestResponse

from enrollment.passes import issue_pass
from enrollment.rider_web import start_rider_session
from ledger.processors.protocol import WebhookRefused
from ledger.processors.stripe import StripeProcessor
from models.access.gates import revoke_gate
from models.access.sessions import find_session
from models.database import writing
from models.tables.riders import Rider
from models.wire.keys import key_id
from models.wire.pass_text import unpack_pass
from models.wire.passes import PassRefused, check_pass
from models.wire.tap import Evidence
from tests.attack_site import PageForm, Site, built, make_site
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

ACCOUNT, OTHER_ACCOUNT = (rider_id[0] * 32 for rider_id in RIDERS)
MARK = "x9canary"
SCRIPT = f"\"'><script>{MARK}</script><b onmouseover={MARK}>"
RAW = (f"<script>{MARK}", f"onmouseover={MARK}>", f"'><script>{MARK}")
ENDING_FORMS = ("/erase", "/leave", "/reset", "/sign-out", "/sign-out-everywhere", "/disable")
"""Forms after which there is nothing, or nobody, left to try the others with."""
USUAL = {"account": ACCOUNT, "amount": "1.00", "name": "new-one", "words": "rider", "pin": "",
         "pin_again": "", "about": ACCOUNT}  # fmt: skip


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
    tap, rides = gate.tap(ACCOUNT), len(site.rides())
    revoke_gate(site.enrollment.access, gate.name, datetime.now(UTC))
    assert site.deliver(gate, tap).status_code == 401
    for path, audience in (("/api/v1/standings", "ledger"), ("/api/v1/gallery", "enrollment")):
        token = site.bearer(gate, "GET", path, b"", audience)
        answer = site.app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, path
    assert len(site.rides()) == rides


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


def test_an_uploads_name_is_no_path(site: Site, tmp_path: Path) -> None:
    forms = [form for form in site.all_forms(known(site)) if form.files]
    assert forms
    for form in forms:
        for name in ("../../uploaded.csv", "/tmp/uploaded.csv", "..\\uploaded.csv"):
            assert site.send(form, usual(form), upload=name).status_code < 500
    assert list(tmp_path.rglob("*uploaded*")) == []
    assert not Path("/tmp/uploaded.csv").exists()


def usual(form: PageForm, **changes: str) -> dict[str, list[str]]:
    """Every field that people type into, filled in as they would."""
    return {name: [changes.get(name, USUAL.get(name, "something"))] for name in form.typed}


def test_no_field_makes_the_server_ask_an_address(site: Site) -> None:
    """Where the server calls is in its settings; nothing that is sent to it adds an address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        look_up(site)
        for form in site.all_forms(known(site)):
            if form.action.endswith(ENDING_FORMS):
                continue
            everywhere = {name: [url] for name in (*form.typed, *form.fields)}
            assert site.send(form, everywhere).status_code < 500, form.action
            for name in form.typed:
                site.send(form, usual(form, **{name: url}))
        for method, rule in site.rules():
            headers = {"Referer": url, "Origin": url, "X-Forwarded-Host": url}
            path = f"{built(rule, known(site))}?url={url}&next={url}&server={url}"
            with site.app.test_client().open(path, method=method, headers=headers) as answer:
                # Nobody signs here, so the log's health says after ten seconds that it is late.
                late = rule.rule == "/health/ledger" and answer.status_code == 503
                assert answer.status_code < 500 or late, rule.rule
        with pytest.raises(TimeoutError):
            listener.accept()


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
                continue
            redirects += 1
            led = urlsplit(location.replace("\\", "/").replace("\t", ""))
            assert (led.scheme, led.netloc) in (("", ""), ("http", "localhost")), rule.rule
            assert not led.path.startswith("//"), rule.rule
    assert redirects > 50  # there was something to look at


# What people typed is text.


def test_nothing_that_was_typed_is_ever_part_of_a_page(site: Site) -> None:
    with writing(site.enrollment.riders) as session:
        rider = session.get(Rider, RIDERS[0])
        assert rider is not None
        rider.name = SCRIPT  # as if the form had let it through
    look_up(site)
    shown = 0
    for path, text in _everything_said(site):
        assert not any(raw in text for raw in RAW), path
        shown += MARK in text
    assert shown > 10  # the canary is on pages, and escaped there


def _everything_said(site: Site) -> Iterator[tuple[str, str]]:
    """(address, page) of every form sent with the canary in each field, and of every page."""
    for form in site.all_forms(known(site)):
        if form.action.endswith(ENDING_FORMS):
            continue
        attempts = [{**usual(form), name: [SCRIPT]} for name in (*form.typed, *form.fields)]
        attempts.append({name: [SCRIPT] for name in form.typed})
        for attempt in attempts:
            with site.send(form, attempt) as answer:
                yield form.action, _page(answer)
    for path in _pages_with_words(site):
        with site.browser().get(path) as answer:
            yield path, _page(answer)


def _page(answer: TestResponse) -> str:
    assert answer.status_code < 500, f"{answer.request.path}: {answer.status}"
    return answer.get_data(as_text=True) if answer.mimetype == "text/html" else ""


def _pages_with_words(site: Site) -> list[str]:
    """Every page, with the canary in each place of its address and in its question."""
    found = []
    for method, rule in site.rules():
        if method == "GET":
            path = built(rule, {**known(site), "filename": SCRIPT, "token": SCRIPT, "path": SCRIPT})
            found += [path, f"{path}?next={SCRIPT}&words={SCRIPT}&before={SCRIPT}&page={SCRIPT}"]
    return found


def test_a_page_that_forgets_to_escape_is_found(site: Site) -> None:
    site.app.add_url_rule("/forgets", "forgets", lambda: f"<p>{SCRIPT}</p>")
    text = site.browser().get("/forgets").get_data(as_text=True)
    assert any(raw in text for raw in RAW)


# What belongs to others.


def test_a_rider_reaches_nothing_of_another_rider(site: Site) -> None:
    """Every address of the rider's pages, with the other rider's ids in it."""
    theirs = {"entry_id": ride_of(site, OTHER_ACCOUNT), "rider_id": RIDERS[1], "seq": 0}
    ride_of(site, ACCOUNT)
    marks = (OTHER_ACCOUNT, RIDERS[1], f"Rider {RIDERS[1]}", theirs["entry_id"])
    tried = 0
    for method, rule in site.rules():
        if not rule.endpoint.startswith("rider."):
            continue
        client = site.app.test_client()
        client.set_cookie("rider", site.rider_token(RIDERS[0]))
        given = {"account": OTHER_ACCOUNT, "id": theirs["entry_id"], "why": "not-me", **theirs}
        path = built(rule, theirs)
        with client.open(path, method=method, data=given if method == "POST" else None) as answer:
            text = answer.get_data(as_text=True).replace(path, "")
        assert answer.status_code < 500, path
        assert not [mark for mark in marks if mark in text], path
        if "entry_id" in rule.arguments:
            tried += 1
            assert answer.status_code == 404, path
    assert tried >= 3


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


# What would help somebody to make a face that fits.

SURE = Evidence(engine="dlib-resnet-1", score=0.617263, margin=0.394857, frames=4,
                liveness=0.872645, gallery_version=3)  # fmt: skip


def test_no_answer_tells_how_sure_a_gate_was(site: Site) -> None:
    """A score that can be read is what climbs towards a template, picture by picture."""
    gate = site.gates[0]
    told = site.deliver(gate, gate.sign(gate.next_tap(ACCOUNT, evidence=SURE)))
    assert told.get_json()["answers"][0]["status"] == "accepted"
    look_up(site)
    texts = [("the gate's own answer", told.get_data(as_text=True))]
    for path, answer in site.pages(known(site)):
        texts.append((path, answer.get_data(as_text=True)))
    secret = [f"{value:.6f}"[2:5] for value in (SURE.score, SURE.margin, SURE.liveness or 0)]
    pattern = re.compile(
        "|".join(rf"0?[.]{digits}|{digits[:2]}[.]{digits[2]}" for digits in secret)
    )
    times = re.compile(r"T\d\d:\d\d:\d\d[.]\d{3}Z")  # one in a thousand ends in these digits
    assert [path for path, text in texts if pattern.search(times.sub("", text))] == []


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
