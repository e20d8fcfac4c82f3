"""Who may use which address: every route of the server, tried as everybody.

A route that is not in the table fails, so nobody adds one without saying who may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from facefare.server import create_app
from facefare.setup import make_data
from models.access.sessions import begin_session
from models.access.staff import ROLES, new_account
from models.database import writing
from models.settings import DataDirectory
from tests.riding import new_rider_session

NOBODY = "nobody"
RIDER = "rider"  # signed in to the own pages; no role of staff
EVERYBODY = {*ROLES, NOBODY, RIDER}
STAFF = set(ROLES)
GATE: set[str] = set()  # a gate's token, which no cookie stands in for
DESK = {"enroller", "admin"}
READERS = {"finance", "auditor", "service", "admin"}
TILLS = {"service", "admin"}
BOOKKEEPERS = {"finance"}
ADMIN = {"admin"}

MAY = {
    # for everybody: the log's public side, signing in, one-time links
    ("GET", "home"): EVERYBODY,
    ("GET", "static"): EVERYBODY,
    ("POST", "choose"): EVERYBODY,
    ("GET", "enrollment_api.keys"): EVERYBODY,
    ("POST", "enrollment_api.provision"): EVERYBODY,  # with a one-time code
    ("GET", "ledger_docs.page"): EVERYBODY,
    ("GET", "ledger_docs.static"): EVERYBODY,
    ("GET", "ledger_docs.document"): EVERYBODY,
    ("GET", "ledger_public.ledger_health"): EVERYBODY,
    ("GET", "ledger_public.checkpoint"): EVERYBODY,
    ("GET", "ledger_public.tile"): EVERYBODY,
    ("GET", "ledger_public.witnessed"): EVERYBODY,
    ("GET", "staff.sign_in"): EVERYBODY,
    ("POST", "staff.check_sign_in"): EVERYBODY,
    ("POST", "staff.sign_out"): EVERYBODY,
    ("GET", "staff.join"): EVERYBODY,  # with a one-time link
    ("POST", "staff.accept"): EVERYBODY,
    # the rider's own pages: what opens them, and what holds nothing of anybody
    ("GET", "rider.sign_in"): EVERYBODY,
    ("POST", "rider.check_sign_in"): EVERYBODY,
    ("POST", "rider.sign_out"): EVERYBODY,
    ("POST", "rider.scan"): EVERYBODY,  # a picture in, the text of its code out
    ("GET", "rider.start"): EVERYBODY,
    ("POST", "rider.check_start"): EVERYBODY,  # with a start code
    ("POST", "rider.passkey_ask"): EVERYBODY,
    ("POST", "rider.passkey_sign_in"): EVERYBODY,
    ("GET", "rider.static"): EVERYBODY,
    ("GET", "rider.show_pass"): EVERYBODY,
    ("GET", "rider.worker"): EVERYBODY,
    ("GET", "rider.manifest"): EVERYBODY,
    ("GET", "rider.farewell"): EVERYBODY,  # of nobody any more
    # and what they hold; never for staff
    ("GET", "rider.home"): {RIDER},
    ("POST", "rider.freeze"): {RIDER},
    ("POST", "rider.thaw"): {RIDER},
    ("POST", "rider.top_up"): {RIDER},
    ("GET", "rider.card"): {RIDER},
    ("POST", "rider.add_card"): {RIDER},
    ("GET", "rider.card_back"): {RIDER},
    ("POST", "rider.remove_card"): {RIDER},
    ("POST", "rider.automatic"): {RIDER},
    ("POST", "rider.stop_automatic"): {RIDER},
    ("GET", "rider.rides"): {RIDER},
    ("GET", "rider.ride"): {RIDER},
    ("GET", "rider.receipt"): {RIDER},
    ("POST", "rider.dispute"): {RIDER},
    ("POST", "rider.issue"): {RIDER},
    ("POST", "rider.paper"): {RIDER},
    ("GET", "rider.medium"): {RIDER},
    ("POST", "rider.switch"): {RIDER},
    ("GET", "rider.stations"): {RIDER},
    ("POST", "rider.choose_stations"): {RIDER},
    ("GET", "rider.passkeys"): {RIDER},
    ("POST", "rider.passkey_options"): {RIDER},
    ("POST", "rider.keep_passkey"): {RIDER},
    ("POST", "rider.forget_passkey"): {RIDER},
    ("GET", "rider.looks"): {RIDER},
    ("GET", "rider.data"): {RIDER},
    ("GET", "rider.leaving"): {RIDER},
    ("POST", "rider.erase"): {RIDER},
    # the help desk
    ("GET", "help.ask"): TILLS,
    ("POST", "help.find"): TILLS,
    ("GET", "help.rider"): TILLS,
    # for gates
    ("GET", "enrollment_api.gallery"): GATE,
    ("GET", "ledger_api.blocked"): GATE,
    ("POST", "ledger_api.taps"): GATE,
    # the own account
    ("GET", "staff.account"): STAFF,
    ("POST", "staff.new_recovery_codes"): STAFF,
    ("POST", "staff.sign_out_everywhere"): STAFF,
    ("GET", "staff.confirm"): STAFF,
    ("POST", "staff.check_confirm"): STAFF,
    # the desk
    ("GET", "enrollment.riders"): DESK,
    ("POST", "enrollment.search"): DESK,
    ("GET", "enrollment.new"): DESK,
    ("POST", "enrollment.enroll"): DESK,
    ("GET", "enrollment.rider"): DESK,
    ("POST", "enrollment.open_record"): DESK,
    ("POST", "enrollment.erase"): DESK,
    ("GET", "enrollment.static"): EVERYBODY,
    ("GET", "enrollment.consent"): EVERYBODY,  # the words that riders are asked to agree to
    ("POST", "enrollment.capture"): DESK,
    ("POST", "enrollment.renewals"): DESK,
    ("POST", "enrollment.new_pass"): DESK,
    ("POST", "enrollment.revoke_pass"): DESK,
    ("POST", "enrollment.without_face"): DESK,
    ("GET", "enrollment.photos"): DESK,
    ("POST", "enrollment.take_photos"): DESK,
    ("GET", "enrollment.category"): DESK,
    ("POST", "enrollment.choose_category"): DESK,
    ("GET", "enrollment.stations"): DESK,
    ("POST", "enrollment.choose_stations"): DESK,
    ("POST", "enrollment.freeze"): DESK,
    ("POST", "enrollment.thaw"): DESK,
    ("POST", "enrollment.new_pin"): DESK,
    ("POST", "enrollment.start_code"): DESK,
    # money
    ("GET", "finance.overview"): READERS,
    ("GET", "finance.accounts"): READERS,
    ("GET", "finance.entries"): READERS,
    ("GET", "finance.entry"): READERS,
    ("GET", "finance.top_up_form"): TILLS,
    ("POST", "finance.take_top_up"): TILLS,
    ("GET", "finance.fares"): READERS,
    ("GET", "finance.standing"): READERS,
    ("POST", "finance.block_account"): {"service", "finance"},
    ("POST", "finance.lift_block"): {"service", "finance"},
    ("GET", "finance.adjust_form"): {"service", "finance"},
    ("POST", "finance.take_adjustment"): {"service", "finance"},
    ("GET", "finance.waiting"): READERS,
    ("POST", "finance.decide"): BOOKKEEPERS,
    ("POST", "finance.settle"): BOOKKEEPERS,
    ("GET", "finance.card_refunds"): READERS,
    ("POST", "finance.take_card_refund"): BOOKKEEPERS,
    ("GET", "finance.holds"): READERS,
    ("POST", "finance.take_hold"): BOOKKEEPERS,
    ("POST", "finance.resolve_hold"): BOOKKEEPERS,
    ("GET", "finance.static"): EVERYBODY,
    ("GET", "finance.takings"): READERS,
    ("GET", "finance.entry_receipt"): READERS,
    ("GET", "finance.totals"): READERS,
    ("GET", "finance.total_days"): READERS,
    ("GET", "finance.total_lines"): READERS,
    ("GET", "finance.search"): READERS,
    ("POST", "finance.search_receipt"): READERS,
    ("GET", "finance.differences"): READERS,
    ("GET", "finance.difference"): READERS,
    ("POST", "finance.keep_filter"): READERS,
    ("POST", "finance.drop_filter"): READERS,
    ("POST", "finance.add_comment"): READERS,
    ("POST", "finance.change_owner"): {"service", "finance"},
    ("POST", "finance.close_difference"): BOOKKEEPERS,
    ("GET", "finance.disputes"): READERS,
    ("GET", "finance.periods"): READERS,
    ("GET", "finance.period_report"): READERS,
    ("GET", "finance.period_pdf"): READERS,
    ("POST", "finance.run_period"): BOOKKEEPERS,
    ("POST", "finance.close"): BOOKKEEPERS,
    ("POST", "finance.ask_reopen"): BOOKKEEPERS,
    ("POST", "finance.approve_reopen"): BOOKKEEPERS,
    ("GET", "finance.drawer"): READERS,
    ("POST", "finance.begin_drawer"): TILLS,
    ("POST", "finance.end_drawer"): TILLS,
    ("POST", "finance.send_cash"): TILLS,
    ("GET", "finance.statements"): READERS,
    ("POST", "finance.upload_statement"): BOOKKEEPERS,
    ("GET", "finance.download_export"): {"finance", "auditor", "admin"},
    ("GET", "ledger_public.entries"): {"auditor", "admin"},
    # staff and gates
    ("GET", "staff_admin.members"): ADMIN,
    ("POST", "staff_admin.add"): ADMIN,
    ("POST", "staff_admin.roles"): ADMIN,
    ("POST", "staff_admin.disable"): ADMIN,
    ("POST", "staff_admin.enable"): ADMIN,
    ("POST", "staff_admin.reset"): ADMIN,
    ("GET", "staff_admin.gates"): ADMIN,
    ("POST", "staff_admin.revoke"): ADMIN,
}

ANSWERED_BY_A_REFUSAL = {
    ("POST", "staff.check_sign_in"),
    ("POST", "rider.check_sign_in"),
    ("POST", "rider.passkey_sign_in"),
    ("POST", "rider.sign_out"),  # goes to the sign-in page, as it should
}


@dataclass
class Server:
    """The whole application, and one signed-in browser for each role."""

    app: Flask

    def browser(self, who: str) -> FlaskClient:
        client = self.app.test_client()
        if who == NOBODY:
            return client
        enrollment = self.app.extensions["enrollment"]
        now = datetime.now(UTC)
        if who == RIDER:
            client.set_cookie("rider", new_rider_session(enrollment, self.app.extensions["ledger"]))
            return client
        name = f"{who}-{uuid4().hex[:8]}"
        with writing(enrollment.access) as session:
            session.add(new_account(name, [who], now))
        with client.session_transaction() as held:
            held["staff"] = begin_session(enrollment.access, name, now)
        return client

    def rules(self) -> Iterator[tuple[str, Rule]]:
        for rule in self.app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    data = DataDirectory(tmp_path_factory.mktemp("routes") / "data")
    make_data(data, "Test Transit", "fares.example/test")
    app = create_app(data)
    app.config["WTF_CSRF_ENABLED"] = False  # so that the role answers, not the missing token
    return Server(app)


def address(rule: Rule, **known: str) -> str:
    """The rule with something in every place, which need not exist but for what is ``known``."""
    values = {
        name: {"IntegerConverter": 0, "UUIDConverter": uuid4()}.get(
            type(converter).__name__, "facefare.css"
        )
        for name, converter in rule._converters.items()
    }
    built = rule.build({**values, **{name: known[name] for name in values.keys() & known.keys()}})
    assert built is not None
    return built[1]


def is_refused(status: int, location: str) -> bool:
    to_sign_in = location.startswith("/staff/sign-in?") or location == "/me/sign-in"
    return status in (401, 403) or (status in (302, 303) and to_sign_in)


def test_every_route_says_who_may_and_nothing_else_is_in_the_table(server: Server) -> None:
    routes = {(method, rule.endpoint) for method, rule in server.rules()}
    assert routes - set(MAY) == set(), "say in MAY who may use these"
    assert set(MAY) - routes == set(), "these are gone; take them out of MAY"


@pytest.mark.parametrize("who", [*ROLES, NOBODY, RIDER])
def test_every_route_is_refused_to_all_but_those_who_may(server: Server, who: str) -> None:
    wrong = []
    for method, rule in server.rules():
        client = server.browser(who)  # afresh: some routes sign out
        with client.open(address(rule), method=method) as answer:
            status, location = answer.status_code, answer.headers.get("Location", "")
        may = who in MAY.get((method, rule.endpoint), set())
        if (method, rule.endpoint) in ANSWERED_BY_A_REFUSAL:
            may = not may  # an empty sign-in is refused to everybody, with the page
        if (method, rule.endpoint) == ("POST", "staff.check_confirm") and who in ROLES:
            may = False  # likewise an empty code
        if may == is_refused(status, location):
            wrong.append(f"{method} {rule.rule}: {status}")
        unsigned = rule.rule == "/health/ledger" and status == 503  # nobody signs here
        assert status < 500 or unsigned, f"{method} {rule.rule} as {who}"
    assert wrong == []


def test_a_role_that_is_not_the_routes_own_gets_403_and_a_visitor_the_sign_in(
    server: Server,
) -> None:
    assert server.browser("finance").get("/enrollment/").status_code == 403
    assert server.browser("enroller").get("/staff/").status_code == 403
    visitor = server.browser(NOBODY).get("/staff/")
    assert (visitor.status_code, visitor.location) == (302, "/staff/sign-in?next=/staff/")


def test_no_post_goes_through_without_a_csrf_token_but_those_of_gates(server: Server) -> None:
    server.app.config["WTF_CSRF_ENABLED"] = True
    try:
        for method, rule in server.rules():
            if method == "GET" or rule.endpoint.partition(".")[0].endswith("_api"):
                continue
            answer = server.browser("admin").open(address(rule), method=method)
            assert answer.status_code == 400, rule.rule
            assert "form is too old" in answer.text, rule.rule
    finally:
        server.app.config["WTF_CSRF_ENABLED"] = False
