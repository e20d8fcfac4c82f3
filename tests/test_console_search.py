"""Finding things on the finance pages, drilling down, and what is refused: through HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from flask_wtf import CSRFProtect
from jinja2 import ChoiceLoader, DictLoader
from sqlmodel import select

from bench.finance_day import DAY, balance_report, make_day
from ledger.checkpoints import publish
from ledger.console.differences import beside, queue
from ledger.console.drill import days_of_account, lines_of_day, takings_by_day
from ledger.console.filters import FilterRefused, forget_filter, save_filter, saved_filters
from ledger.console.finding import check, find, since
from ledger.console.pages import finance
from ledger.console.queries import trial_balance
from ledger.console.statements_pages import STATEMENT_BYTES_MAX, may_import
from ledger.console.words import resolution
from ledger.proving import receipt
from ledger.reconcile.importing import import_statement
from ledger.reconcile.resolve import REASONS, TAP_REASONS
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.topups import top_up
from ledger.verified import keep_verified, last_verified
from models.access.staff import SignedIn
from models.access.web import signed_in
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow
from models.tables.reconcile import DifferenceRow, PostingTotalRow
from tests.signing import let_staff_sign_in
from tests.test_ledger_pages import LAYOUT, client_as
from tests.town import Town, make_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = make_town(tmp_path_factory.mktemp("search") / "data")
    made = make_day(town.ledger, 150, 120, seed=11)
    town.clock.now = datetime(2026, 11, 26, 8, tzinfo=UTC)
    import_statement(town.ledger, balance_report(made), "balance.csv")
    run_day(town.ledger, "2026-11-25", Rules())
    top_up(town.ledger, made.accounts[0], Money(4321, "CNY"), str(uuid4()), "mei")
    publish(town.ledger)
    return town


@pytest.fixture
def app(town: Town, tmp_path: Path) -> Flask:
    return make_app(town, tmp_path)


def make_app(town: Town, tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "only for tests"
    CSRFProtect(app)
    app.jinja_loader = ChoiceLoader([DictLoader({"layout.html": LAYOUT})])
    let_staff_sign_in(app, tmp_path)
    app.register_blueprint(finance(town.ledger))
    app.context_processor(lambda: {"staff": signed_in()})
    return app


def found(town: Town, asked: str, days: int = 31) -> list[int]:
    with reading(town.ledger.engine) as session:
        result = find(session, asked, "CNY", since(town.ledger.clock(), days))
        return [entry.seq for entry in result.entries]


def entries(town: Town, **wanted: object) -> list[EntryRow]:
    with reading(town.ledger.engine) as session:
        rows = session.exec(select(EntryRow).order_by(EntryRow.seq)).all()
    return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]


def test_an_entry_is_found_by_id_number_account_and_amount(town: Town) -> None:
    (one,) = entries(town, amount_minor=4321)
    assert found(town, one.entry_id) == [one.seq]
    assert found(town, f"  {one.entry_id.upper()} ") == [one.seq]
    assert one.seq in found(town, str(one.seq))
    assert found(town, "43.21") == [one.seq]
    assert one.account_id is not None
    mine = [row.seq for row in entries(town, account_id=one.account_id)]
    assert found(town, one.account_id) == mine[::-1][:50]
    for nothing in ("43.2199", "x", "%", "43.22", str(uuid4()), "-", "9" * 19):
        assert found(town, nothing) == []


def test_amounts_are_looked_for_within_the_days_that_were_asked(town: Town) -> None:
    assert found(town, "910.01", days=31) != []
    assert found(town, "910.01", days=5) == []


def test_what_corrects_an_entry_is_found_with_it(town: Town) -> None:
    refund = next(row for row in entries(town, kind="card_refund") if row.corrects)
    assert refund.corrects is not None
    assert refund.seq in found(town, refund.corrects)
    assert len(found(town, refund.corrects)) == 2


def test_lines_of_statements_are_found_by_either_sides_id(town: Town) -> None:
    with reading(town.ledger.engine) as session:
        for asked in ("txn_c0000001", "stripe:txn_c0000001"):
            result = find(session, asked, "CNY", since(town.ledger.clock(), 1))
            assert [line.line_id for line in result.lines] == ["stripe:txn_c0000001"]
        own = result.lines[0].own_id
        assert own is not None
        both = find(session, own, "CNY", since(town.ledger.clock(), 1))
        assert len(both.entries) == 1 and len(both.lines) == 1


def test_a_receipt_is_checked_before_it_is_believed(town: Town) -> None:
    (one,) = entries(town, amount_minor=4321)
    text = receipt(town.ledger, one.entry_id).text()
    assert check(town.ledger, text) == check(town.ledger, text.replace("\n", "\r\n"))
    assert (check(town.ledger, text).seq, check(town.ledger, text).trouble) == (one.seq, "")
    forged = text.replace("extra ey", "extra eY")
    assert check(town.ledger, forged).trouble
    assert check(town.ledger, "not a receipt").seq is None


def test_the_days_of_an_account_add_up_to_its_total(town: Town) -> None:
    with reading(town.ledger.engine) as session:
        for row in trial_balance(session):
            days = days_of_account(session, row.account, row.total.currency)
            assert sum(day.moved for day in days) == row.total.minor
            assert days[0].held == row.total.minor
            assert days[-1].held == days[-1].moved
            for day in days:
                assert days_of_account(session, row.account, row.total.currency, day.day) == [
                    other for other in days if other.day < day.day
                ]


def test_the_lines_of_a_day_are_all_of_it_also_what_was_booked_back(town: Town) -> None:
    with reading(town.ledger.engine) as session:
        kinds = set()
        for total in session.exec(select(PostingTotalRow)).all():
            lines, after = [], -1
            while page := lines_of_day(session, total.account, total.currency, total.day, after):
                lines += page
                after = page[-1].seq
            assert len(lines) == total.lines, (total.account, total.day)
            assert sum(line.minor for line in lines) == total.minor
            kinds |= {line.kind for line in lines}
        assert "settlement" in kinds
        assert len(session.exec(select(PostingRow)).all()) > 200  # more than one page of lines


def test_the_chart_has_every_day_also_those_without_a_ride(app: Flask, town: Town) -> None:
    given = client_as(app, "auditor").get("/finance/takings.json?days=12").json
    assert given is not None and len(given["days"]) == 12
    (series,) = given["series"]
    place = given["days"].index(DAY)
    assert series["rides"][place] == 150 and sum(series["rides"]) == 150
    with reading(town.ledger.engine) as session:
        fares = -sum(
            row.minor for row in session.exec(select(PostingRow)) if row.account.startswith("inc")
        )
        assert takings_by_day(session, DAY, DAY)["CNY"][DAY] == [150, fares]
    assert series["minor"][place] == fares
    most = client_as(app, "auditor").get("/finance/takings.json?days=99999").json
    assert most is not None and len(most["days"]) == 400


@pytest.mark.parametrize(
    "address",
    ["/finance/totals/assets:nothing/CNY", f"/finance/totals/assets:psp_clearing/JPY/{DAY}",
     "/finance/totals/assets:psp_clearing/CNY/yesterday", "/finance/differences/unknown",
     "/finance/periods/2026-13/report", "/finance/periods/2026-11-20/report",
     "/finance/periods/yesterday/pdf", "/finance/entries/99999999/receipt"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(app: Flask, address: str) -> None:
    assert client_as(app, "finance").get(address).status_code == 404


def test_an_export_of_too_many_days_names_the_command(app: Flask) -> None:
    client = client_as(app, "finance")
    one_day = "from=2026-11-22&to=2026-11-22"
    for query in ("format=csv", "format=csv&from=2026-01-01&to=2026-11-22", "format=exe",
                  f"format=exe&{one_day}", "format=csv&from=x&to=y"):  # fmt: skip
        answer = client.get(f"/finance/export?{query}")
        assert answer.status_code == 400 and 'role="alert"' in answer.text
    good = client.get(f"/finance/export?format=hledger&from={DAY}&to={DAY}")
    assert good.headers["Content-Disposition"].endswith(f'ledger-{DAY}-{DAY}.journal"')
    assert good.text.startswith("commodity 1000.00 CNY")


def test_the_queue_is_filtered_by_everything_it_shows(town: Town) -> None:
    with reading(town.ledger.engine) as session:
        everything = queue(session, {}, "2026-11-26")
        severities = [one.row.severity for one in everything]
        assert severities == sorted(severities, key=("high", "medium", "low").index)
        for name in ("state", "kind", "owner", "severity", "currency"):
            for value in {getattr(one.row, name) for one in everything}:
                some = queue(session, {name: value}, "2026-11-26")
                assert some == [one for one in everything if getattr(one.row, name) == value]
        for age in ("0-1", "2-7", "8-30", ">30"):
            some = queue(session, {"age": age}, "2026-11-26")
            assert some == [one for one in everything if one.bucket == age]
        assert queue(session, {"q": "%"}, "2026-11-26") == []
        subject = everything[0].row.subject
        assert everything[0] in queue(session, {"q": subject[:12]}, "2026-11-26")


def test_filters_have_names_and_a_limit(town: Town) -> None:
    for name in ("", " ", "x" * 61, "two\nlines"):
        with pytest.raises(FilterRefused, match="name"):
            save_filter(town.ledger, "lin", name, {})
    for number in range(30):
        save_filter(town.ledger, "lin", f"f{number}", {"kind": "fee", "csrf_token": "secret"})
    with pytest.raises(FilterRefused, match="delete one first"):
        save_filter(town.ledger, "lin", "one more", {})
    save_filter(town.ledger, "lin", "f0", {"kind": "late & more"})
    assert saved_filters(town.ledger, "lin")["f0"] == "kind=late+%26+more"
    assert saved_filters(town.ledger, "lin")["f1"] == "kind=fee"
    forget_filter(town.ledger, "lin", "f0")
    assert "f0" not in saved_filters(town.ledger, "lin")
    assert saved_filters(town.ledger, "mei") == {}


def test_when_the_log_was_verified_is_kept_and_a_damaged_note_is_none(town: Town) -> None:
    keep_verified(town.ledger, 12)
    kept = last_verified(town.ledger)
    assert kept is not None and (kept.at, kept.entries) == (town.clock.now, 12)
    town.ledger.checkpoint_file.with_name("verified").write_text('{"at": 3}')
    assert last_verified(town.ledger) is None


def test_only_bookkeepers_send_long_files() -> None:
    assert may_import(SignedIn("fang", frozenset({"finance"})))
    assert not may_import(SignedIn("fang", frozenset({"service", "auditor"})))
    assert not may_import(None)
    assert STATEMENT_BYTES_MAX == 64 * 1024 * 1024


def test_the_reasons_of_resolutions_are_the_ledgers_own(app: Flask) -> None:
    with app.test_request_context():
        words = {code: words for code, (_, words) in REASONS.items()}
        words |= {code: words for of in TAP_REASONS.values() for code, words in of.items()}
        assert {code: resolution(code) for code in words} == words


def many(town: Town, number: int) -> list[str]:
    """So many slight differences that are old and one severe that is new; their ids in order."""
    sorts = [("low", "2026-11-01")] * number + [("medium", "2026-11-02"), ("high", "2026-11-25")]
    ids = [f"{place:05}" for place in range(len(sorts))]
    with writing(town.ledger.engine) as session:
        for name, (severity, day) in zip(ids, sorts, strict=True):
            session.add(DifferenceRow(
                difference_id=name, kind="planted", subject=name, account="x", minor=0,
                at_stake_minor=0, currency="CNY", day=day, severity=severity, owner="finance",
                said='{"code":"moved_silently"}', state="open", version=1,
            ))  # fmt: skip
    return [*ids[::-1][:2], *ids[:-2]]


def test_the_severe_comes_first_however_many_are_older(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    ids = many(town, 620)
    asked = {"kind": "planted"}
    with reading(town.ledger.engine) as session:
        shown = queue(session, asked, "2026-11-26")
        pages, links = [shown], [beside(session, asked, "2026-11-26", shown)]
        while "after" in links[-1]:
            pages.append(queue(session, asked, "2026-11-26", after=links[-1]["after"]))
            links.append(beside(session, asked, "2026-11-26", pages[-1]))
        assert [one.row.difference_id for page in pages for one in page] == ids
        assert [len(page) for page in pages] == [100] * 6 + [22]
        assert ["before" in link for link in links] == [False] + [True] * 6
        for page, link in zip(pages, links[1:], strict=False):
            assert queue(session, asked, "2026-11-26", before=link["before"]) == page


def test_the_queue_leads_to_its_next_page_and_back(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    app = make_app(town, tmp_path)
    client, links = client_as(app, "finance"), r'rel="(prev|next)" href="([^"]+)"'
    first = client.get("/finance/differences?kind=planted").text
    assert re.findall(links, first) == []
    ids = many(town, 150)
    first = client.get("/finance/differences?kind=planted").text
    ((way, address),) = re.findall(links, first)
    assert way == "next" and "kind=planted" in address
    second = client.get(unescape(address)).text
    assert ids[0] in first and ids[-1] in second and ids[-1] not in first
    ((way, address),) = re.findall(links, second)
    again, listed = client.get(unescape(address)).text, r"/finance/differences/(\w+)"
    assert way == "prev" and re.findall(listed, again) == re.findall(listed, first)


def test_the_overview_says_what_is_left_on_clearing_accounts(app: Flask) -> None:
    page = client_as(app, "finance").get("/finance/").text
    left = page.partition("To look at")[2]
    assert "/finance/totals/assets:psp_balance/CNY" in left
    assert "every tap that arrived was charged" not in left
