"""The rider's own pages: signing in, what is theirs and nobody else's, and the way out."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from sqlmodel import select

from enrollment.access_log import record_looks
from enrollment.cases import Case
from enrollment.gallery import data_key_name
from enrollment.pass_pictures import as_png
from enrollment.passes import list_passes
from enrollment.rider_money import NotThere
from enrollment.rider_sign_in import IDLE_MAX, LIFETIME_MAX, PIN_CHARACTERS_MAX
from facefare.rider_ledger import BY_THE_RIDER, DISPUTES_OPEN_MAX, rider_money
from facefare.rider_words import say
from ledger.adjustments import settle_dispute
from ledger.console.refunds_pages import open_disputes
from ledger.fares.standing import StandingPolicy, standing
from ledger.fares.words import SENTENCES, Rule
from ledger.processors.cards import keep_card
from ledger.requests import open_requests
from ledger.standings import account_standing, block
from ledger.verify import verify
from models.access.sessions import begin_session
from models.access.staff import new_account
from models.database import reading, writing
from models.log.receipts import check_receipt
from models.money import Money
from models.tables.ledger import EntryRow, LedgerTable
from models.tables.reconcile import ProcessorCallRow
from models.tables.riders import Rider, RiderSession, RidersTable, Template
from models.vault import KeyErased
from tests.riding import PIN, City, post, sign_in, staff_browser


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def proved(city: City, receipt: str) -> dict[str, Any]:
    """The entry that a receipt proves under the log's own key."""
    key = city.ledger.log_key.public_key()
    body, _ = check_receipt(receipt, city.ledger.settings.origin, key)
    value: dict[str, Any] = json.loads(body)
    return value


def check_books(city: City) -> None:
    ledger = city.ledger
    verify(ledger.engine, ledger.settings.origin, ledger.log_key.public_key(), vault=ledger.vault)


# ---- signing in


def test_the_pass_its_number_its_photo_and_the_reference_open_the_pages_with_the_pin(
    city: City,
) -> None:
    rider = city.rider()
    held = city.hold(rider)
    for who in (held.qr_text, held.pass_id, rider.rider_id, f" {rider.rider_id.upper()} "):
        client = city.browser()
        assert sign_in(client, who).location == "/me/"
        assert rider.name in client.get("/me/").text
    client = city.browser()
    photo = (io.BytesIO(as_png(held)), "pass.png")
    assert sign_in(client, "", photo=photo).status_code == 303
    assert rider.name in client.get("/me/").text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rider, held: (rider.rider_id, "111222"),
        lambda rider, held: (rider.rider_id, ""),
        lambda rider, held: (rider.rider_id, "9" * (PIN_CHARACTERS_MAX + 1000)),
        lambda rider, held: ("0000000000", PIN),
        lambda rider, held: ("", PIN),
        lambda rider, held: (held.qr_text[:-6] + "AAAAAA", PIN),
        lambda rider, held: (held.pass_id[:-1] + "!", PIN),
        lambda rider, held: (rider.account_id, PIN),
    ],
)
def test_anything_else_is_refused_in_the_same_words(
    city: City, wrong: Callable[..., tuple[str, str]]
) -> None:
    rider = city.rider()
    answer = sign_in(city.browser(), *wrong(rider, city.hold(rider)))
    assert answer.status_code == 401
    assert "the pass or the PIN is wrong" in answer.text


def test_a_rider_without_a_pin_cannot_sign_in(city: City) -> None:
    rider = city.rider()
    with writing(city.enrollment.riders) as session:
        row = session.get(Rider, rider.rider_id)
        assert row is not None
        row.pin_hash = None
        session.add(row)
    assert sign_in(city.browser(), rider.rider_id, "").status_code == 401
    assert sign_in(city.browser(), rider.rider_id).status_code == 401


def test_five_wrong_pins_make_the_right_one_wait_and_another_rider_does_not(city: City) -> None:
    rider, other = city.rider(), city.rider()
    for _ in range(5):
        assert sign_in(city.browser(), rider.rider_id, "111222").status_code == 401
    assert sign_in(city.browser(), rider.rider_id).status_code == 401
    assert sign_in(city.browser(), other.rider_id).status_code == 303
    city.clock.forward(seconds=61)
    assert sign_in(city.browser(), rider.rider_id).status_code == 303


def test_a_replaced_pass_opens_nothing_and_a_frozen_one_still_says_who(city: City) -> None:
    rider = city.rider()
    old, new = city.hold(rider), city.hold(rider)
    assert sign_in(city.browser(), old.qr_text).status_code == 401
    client = city.browser()
    assert sign_in(client, new.qr_text).status_code == 303
    assert post(client, "/me/freeze", {}).status_code == 303
    assert sign_in(city.browser(), new.qr_text).status_code == 303


def test_a_session_ends_when_idle_when_old_and_at_signing_out(city: City) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    city.clock.forward(seconds=IDLE_MAX.total_seconds() + 1)
    assert client.get("/me/").location == "/me/sign-in"
    client = city.signed_in(rider)
    for _ in range(int(LIFETIME_MAX / timedelta(minutes=25)) + 1):
        client.get("/me/")
        city.clock.forward(minutes=25)
    assert client.get("/me/").location == "/me/sign-in"
    client = city.signed_in(rider)
    assert post(client, "/me/sign-out", {}).status_code == 303
    assert client.get("/me/").location == "/me/sign-in"


def test_a_riders_session_opens_no_page_of_staff_and_a_staff_session_none_of_riders(
    city: City,
) -> None:
    client = city.signed_in(city.rider())
    assert client.get("/staff/account").location.startswith("/staff/sign-in")
    assert client.get("/finance/").location.startswith("/staff/sign-in")
    cookie = client.get_cookie("rider")
    assert cookie is not None
    staff = city.browser()
    with staff.session_transaction() as held:
        held["staff"] = cookie.value  # the token of a rider is no session of staff
    assert staff.get("/staff/account").location.startswith("/staff/sign-in")

    with writing(city.enrollment.access) as session:
        session.add(new_account("boss", ["admin"], city.clock()))
    token = begin_session(city.enrollment.access, "boss", city.clock())
    stranger = city.browser()
    stranger.set_cookie("rider", token)
    assert stranger.get("/me/").location == "/me/sign-in"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(city: City) -> None:
    answer = sign_in(city.browser(), city.rider().rider_id)
    cookie = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith("rider"))
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


# ---- what is theirs


def test_the_home_page_says_the_standing_in_the_words_of_the_gates(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    client = city.signed_in(rider)
    page = text_of(client.get("/me/").text)
    assert account_standing(city.ledger, rider.account_id).words in page
    assert "CN¥50.00" in page
    block(city.ledger, rider.account_id, "misuse", "a note for staff only", "mei")
    page = text_of(client.get("/me/").text)
    assert "The account is being looked into." in page
    assert "a note for staff only" not in page


def test_a_ride_shows_the_rule_in_words_and_its_receipt_verifies_without_us(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    assert client.get(f"/me/rides/{ride}/receipt").status_code == 409  # not signed for yet
    city.sign_log()
    assert "Flat fare, from South Gate" in client.get("/me/rides").text
    assert "Flat fare, from South Gate" in client.get(f"/me/rides/{ride}").text
    receipt = client.get(f"/me/rides/{ride}/receipt")
    assert proved(city, receipt.text)["id"] == ride


def own_addresses(entry_id: str) -> list[str]:
    return [f"/me/rides/{entry_id}", f"/me/rides/{entry_id}/receipt"]


def test_no_id_of_another_riders_entry_opens_anything(city: City) -> None:
    rider, other = city.rider("Rider One"), city.rider("Rider Two")
    city.hold(rider)
    for who in (rider, other):
        city.pay(who)
        for _ in range(3):
            city.ride(who)
    city.sign_log()
    mine, theirs = city.signed_in(rider), city.signed_in(other)
    assert post(theirs, f"/me/rides/{rides_of(city, other)[0]}/dispute", {"why": "twice"}).location
    with reading(city.ledger.engine) as session:
        rows = session.exec(select(EntryRow.entry_id, EntryRow.account_id)).all()
    assert len(rows) == 9  # two top-ups, six rides, one credit
    for entry_id, account in rows:
        expected = account == rider.account_id
        for path in own_addresses(entry_id):
            assert (mine.get(path).status_code != 404) == expected, path
        answer = post(mine, f"/me/rides/{entry_id}/dispute", {"why": "twice"})
        is_my_ride = expected and UUID(entry_id).version == 7
        assert (answer.status_code == 303) == is_my_ride
        assert mine.get(f"/me/left/{entry_id}").status_code == 404  # a live entry is no farewell
    page = mine.get("/me/rides").text
    assert not [entry_id for entry_id, account in rows
                if account != rider.account_id and entry_id in page]  # fmt: skip
    assert "Rider Two" not in mine.get("/me/data").text


def rides_of(city: City, rider: Rider) -> list[str]:
    with reading(city.ledger.engine) as session:
        query = select(EntryRow.entry_id).where(
            EntryRow.account_id == rider.account_id, EntryRow.kind == "ride"
        )
        return list(session.exec(query))


def test_ids_that_are_no_ids_are_not_there(city: City) -> None:
    client = city.signed_in(city.rider())
    for path in ("/me/rides/1", f"/me/rides/{uuid4()}", "/me/rides/../data", "/me/rides/%00"):
        assert client.get(path).status_code in (404, 308), path


# ---- disputes


def test_a_disputed_ride_is_refunded_first_and_then_waits_for_staff(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    for _ in range(2):  # pressing twice is one dispute
        assert post(client, f"/me/rides/{ride}/dispute", {"why": "not-me"}).status_code == 303
    assert "CN¥50.00" in client.get("/me/").text
    assert "staff look into the ride" in client.get(f"/me/rides/{ride}").text
    with reading(city.ledger.engine) as session:
        (credit,) = open_disputes(session)
    assert (credit.corrects, credit.made_by, credit.account_id) == (
        ride, BY_THE_RIDER, rider.account_id,
    )  # fmt: skip
    assert json.loads(credit.body)["case"] == "rider/not-me"
    settle_dispute(city.ledger, credit.entry_id, upheld=False, made_by="mei")
    assert "the charge was right" in client.get(f"/me/rides/{ride}").text
    assert "CN¥48.00" in client.get("/me/").text
    check_books(city)


def test_only_some_disputes_are_open_at_once(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    rides = [city.ride(rider) for _ in range(DISPUTES_OPEN_MAX + 1)]
    client = city.signed_in(rider)
    for ride in rides[:-1]:
        assert post(client, f"/me/rides/{ride}/dispute", {"why": "twice"}).status_code == 303
    answer = post(client, f"/me/rides/{rides[-1]}/dispute", {"why": "twice"})
    assert answer.status_code == 409 and "ask at the desk" in answer.text
    with reading(city.ledger.engine) as session:
        assert len(open_disputes(session)) == DISPUTES_OPEN_MAX


def test_above_the_limit_a_dispute_moves_no_money_and_waits_for_staff(tmp_path: Path) -> None:
    city = City(tmp_path, lambda text: text.replace('refund_limit = "20.00"', 'refund_limit = "3"'))
    rider = city.rider()
    city.pay(rider)
    first, second = city.ride(rider), city.ride(rider)
    client = city.signed_in(rider)
    assert post(client, f"/me/rides/{first}/dispute", {"why": "twice"}).status_code == 303
    assert post(client, f"/me/rides/{second}/dispute", {"why": "twice"}).status_code == 303
    assert "above what is given back at once" in client.get(f"/me/rides/{second}").text
    assert "CN¥48.00" in client.get("/me/").text
    with reading(city.ledger.engine) as session:
        (waiting,) = open_requests(session)
    assert (waiting.wanted.about, waiting.made_by) == (second, BY_THE_RIDER)
    city.close()


def test_what_is_wrong_is_chosen_from_the_list(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    answer = post(client, f"/me/rides/{ride}/dispute", {"why": "my name is Lin"})
    assert answer.status_code == 409
    assert len(rides_of(city, rider)) == 1
    with reading(city.ledger.engine) as session:
        assert open_disputes(session) == []


# ---- pass and medium


def test_freezing_stops_the_pass_at_once_and_thawing_lets_a_new_one_be_made(city: City) -> None:
    rider = city.rider()
    held = city.hold(rider)
    client = city.signed_in(rider)
    assert post(client, "/me/freeze", {}).status_code == 303
    (row,) = list_passes(city.enrollment, rider.rider_id)
    assert (row.pass_id, row.reason) == (held.pass_id, "frozen")
    assert post(client, "/me/pass", {"replaces": ""}).status_code == 409
    assert post(client, "/me/freeze", {}).status_code == 409
    assert post(client, "/me/thaw", {}).status_code == 303
    page = post(client, "/me/pass", {"replaces": ""})
    assert page.status_code == 200 and "FF1:" in page.text and "<svg" in page.text


def test_a_new_pass_replaces_the_one_the_page_knew_and_no_other(city: City) -> None:
    rider = city.rider()
    held = city.hold(rider)
    client = city.signed_in(rider)
    assert post(client, "/me/pass", {"replaces": held.pass_id}).status_code == 200
    again = post(client, "/me/pass", {"replaces": held.pass_id})  # the same form, sent twice
    assert again.status_code == 409
    kept = [row for row in list_passes(city.enrollment, rider.rider_id) if row.revoked_at is None]
    assert len(kept) == 1
    paper = post(client, "/me/pass/paper", {"replaces": kept[0].pass_id})
    assert paper.mimetype == "application/pdf" and paper.data.startswith(b"%PDF")


def template_count(city: City) -> int:
    with reading(city.enrollment.riders) as session:
        return len(session.exec(select(Template)).all())


def test_changing_to_pass_deletes_the_template(city: City) -> None:
    client = city.signed_in(city.rider())
    assert template_count(city) == 1
    assert "FF1:" in post(client, "/me/medium", {"medium": "pass"}).text
    assert template_count(city) == 0
    assert "none is kept here" in client.get("/me/").text
    assert post(client, "/me/medium", {"medium": "face"}).status_code == 409  # at the desk only
    assert post(client, "/me/medium", {"medium": "face+pass"}).status_code == 409


def test_the_face_moves_into_the_pass_only_after_the_text_was_agreed_to(city: City) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    assert post(client, "/me/medium", {"medium": "face+pass"}).status_code == 400
    assert template_count(city) == 1
    page = post(client, "/me/medium", {"medium": "face+pass", "agreed": "yes"})
    assert template_count(city) == 0
    text = re.search(r'<pre id="text">([^<]+)</pre>', page.text)
    assert text is not None
    assert post(client, "/me/pass", {"replaces": "x"}).status_code == 409
    renewed = post(client, "/me/pass", {"pass": text[1]})
    assert renewed.status_code == 200 and "FF1:" in renewed.text
    assert post(client, "/me/pass", {"pass": text[1]}).status_code == 409  # the old one is revoked


def test_nobody_renews_another_riders_pass(city: City) -> None:
    rider, other = city.rider(), city.rider()
    mine, theirs = city.signed_in(rider), city.signed_in(other)
    pages = [
        post(client, "/me/medium", {"medium": "face+pass", "agreed": "yes"}).text
        for client in (mine, theirs)
    ]
    found = re.search(r'<pre id="text">([^<]+)</pre>', pages[1])
    assert found is not None
    assert post(mine, "/me/pass", {"pass": found[1]}).status_code == 409
    (row,) = list_passes(city.enrollment, other.rider_id)
    assert row.revoked_at is None


def test_the_page_of_the_pass_holds_nothing_of_anybody(city: City) -> None:
    rider = city.rider()
    held = city.hold(rider)
    page = city.signed_in(rider).get("/me/pass").text
    for secret in (held.qr_text, held.pass_id, rider.rider_id, rider.name, rider.account_id):
        assert secret not in page
    assert page == city.browser().get("/me/pass").text


# ---- privacy


def test_a_look_of_staff_is_on_the_riders_page_at_once(city: City) -> None:
    rider, other = city.rider(), city.rider()
    client = city.signed_in(rider)
    assert "Nobody has looked" in client.get("/me/looks").text
    case = Case("complaint", "a wrong charge")
    log = city.enrollment.access_log
    record_looks(log, [rider.rider_id], "mei", "rider", case, city.clock())
    record_looks(log, [other.rider_id], "omar", "rider", Case("check"), city.clock())
    page = text_of(client.get("/me/looks").text)
    assert "mei" in page and "A complaint or a wrong charge: a wrong charge" in page
    assert "omar" not in page


def test_the_download_holds_every_row_that_names_the_rider_and_no_secret(city: City) -> None:
    rider = city.rider()
    city.hold(rider)
    city.pay(rider)
    city.ride(rider)
    held = city.signed_in(rider).get("/me/data").get_json()
    with_rider = {t.name for t in RidersTable.metadata.tables.values() if "rider_id" in t.c}
    with_account = {t.name for t in LedgerTable.metadata.tables.values() if "account_id" in t.c}
    assert set(held["rider"]) == with_rider
    assert set(held["ledger"]["tables"]) == with_account
    assert {"account", "entry", "posting", "tap", "card"} <= with_account
    assert [row["name"] for row in held["rider"]["rider"]] == [rider.name]
    assert len(held["ledger"]["tables"]["entry"]) == 2
    assert held["unsealed"]["phone_digits"] == "4711"
    assert list(held["unsealed"]["templates_float32_little_endian"]) == ["dlib-resnet-1"]
    text = json.dumps(held)
    assert "argon2" not in text and PIN not in text


# ---- leaving


def test_leaving_deletes_the_rider_and_proves_it(city: City) -> None:
    rider, other = city.rider("Rider One"), city.rider("Rider Two")
    held = city.hold(rider)
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    assert "paid out at the service desk first" in client.get("/me/leave").text
    assert post(client, "/me/leave", {"pin": PIN}).status_code == 400
    assert post(client, "/me/leave", {"pin": "111222", "sure": "yes"}).status_code == 401
    assert client.get("/me/").status_code == 200
    gone = post(client, "/me/leave", {"pin": PIN, "sure": "yes"})
    assert gone.status_code == 200
    page = text_of(gone.text)
    assert "your face template: 1" in page and "your consents: 1" in page
    assert "3 entries lost their owner" in page
    assert client.get("/me/").location == "/me/sign-in"
    for who in (rider.rider_id, held.qr_text):
        assert sign_in(city.browser(), who).status_code == 401
    with pytest.raises(KeyErased):
        city.enrollment.vault.key(data_key_name(rider.rider_id))
    for table in RidersTable.metadata.sorted_tables:
        if "rider_id" in table.c:
            with reading(city.enrollment.riders) as session:
                rows = session.execute(table.select().where(table.c.rider_id == rider.rider_id))
                assert rows.all() == [], table.name
    closing = re.search(r"/me/left/([0-9a-f-]{36})", gone.text)
    assert closing is not None
    city.sign_log()
    receipt = city.browser().get(closing[0])
    value = proved(city, receipt.text)
    assert (value["kind"], value["unlinked"]) == ("close", 3)
    with pytest.raises(NotThere):
        rider_money(city.ledger, None).ride(rider.account_id, ride)
    assert city.signed_in(other).get("/me/").status_code == 200
    check_books(city)


def test_two_riders_who_leave_get_each_their_own_closing_entry(city: City) -> None:
    closings = []
    for rider in (city.rider(), city.rider()):
        page = post(city.signed_in(rider), "/me/leave", {"pin": PIN, "sure": "yes"}).text
        closings += re.findall(r'data-entry="([0-9a-f-]{36})"', page)
    assert len(set(closings)) == 2


# ---- topping up


def test_without_a_processor_there_is_no_button_and_the_desk_is_named(city: City) -> None:
    client = city.signed_in(city.rider())
    assert "cash at a station" in client.get("/me/").text
    assert post(client, "/me/top-up", {"amount": "10", "id": str(uuid4())}).status_code == 404


def test_a_top_up_is_ordered_once_from_the_card_that_is_kept(tmp_path: Path) -> None:
    keys = 'secret_key = "sk_test_1"\nwebhook_secret = "whsec_12345678"\n'
    city = City(tmp_path, files={"keys/stripe.toml": keys})
    rider = city.rider()
    client = city.signed_in(rider)
    assert "register a card" in client.get("/me/").text
    order = {"amount": "20", "id": str(uuid4())}
    assert post(client, "/me/top-up", order).status_code == 409  # no card is kept
    keep_card(city.ledger, rider.account_id, "stripe", "cus_1", "pm_1")
    assert 'name="amount"' in client.get("/me/").text
    for _ in range(2):  # the same form, sent twice
        assert post(client, "/me/top-up", order).status_code == 303
    assert post(client, "/me/top-up", {**order, "amount": "100000"}).status_code == 400
    with reading(city.ledger.engine) as session:
        (call,) = session.exec(select(ProcessorCallRow)).all()
    assert (call.account_id, call.minor) == (rider.account_id, 2000)
    city.close()


# ---- the words


@pytest.mark.parametrize("code", SENTENCES)
def test_every_rule_is_said_in_chinese_again(code: str) -> None:
    names = re.findall(r"\{(\w+)\}", SENTENCES[code][0])
    rule = Rule(code, tuple((name, f"{name.title()} St. 1") for name in dict.fromkeys(names)))
    assert say(rule.words(), "zh_Hans") == rule.words("zh")
    assert say(rule.words(), "en") == rule.words()
    leg = Rule("leg_from", (("product", "Flat"), ("start", "South"), ("amount", "2.00")))
    both = f"{leg.words()} {rule.words()}"
    assert say(both, "zh") == leg.words("zh") + rule.words("zh")


@pytest.mark.parametrize("minor", [-5000, -1, 0, 100, 5000])
def test_every_standing_is_said_in_chinese(minor: int) -> None:
    policy = StandingPolicy(Money(200, "CNY"), Money(500, "CNY"))
    words = standing(Money(minor, "CNY"), policy).words
    assert say(words, "zh").startswith("余额为 ")
    assert "balance" not in say(words, "zh")


def test_an_unknown_sentence_stays_as_it_is() -> None:
    assert say("Something new. The balance is 1.", "zh") == "Something new. The balance is 1."


# ---- the help desk


def test_the_help_desk_sees_what_the_rider_sees_and_the_rider_sees_that_it_looked(
    city: City,
) -> None:
    rider = city.rider()
    held = city.hold(rider)
    city.pay(rider)
    ride = city.ride(rider)
    desk = staff_browser(city, "service")
    assert desk.get(f"/help/riders/{rider.rider_id}").location.startswith("/help/?who=")
    assert post(desk, "/help/", {"who": held.pass_id}, "/help/").status_code == 400  # no reason
    unknown = {"who": "zzzzzzzzzz", "reason": "question"}
    assert post(desk, "/help/", unknown, "/help/").status_code == 404
    mine = city.signed_in(rider)
    assert "Nobody has looked" in mine.get("/me/looks").text
    opened = post(desk, "/help/", {"who": held.pass_id, "reason": "question"}, "/help/")
    page = desk.get(opened.location)
    words = account_standing(city.ledger, rider.account_id).words
    assert words in text_of(page.text) and words in text_of(mine.get("/me/").text)
    assert f"about={ride}" in page.text
    looks = text_of(mine.get("/me/looks").text)
    assert "staff-service" in looks and "The rider is here and asks something" in looks


def test_the_reason_is_asked_again_after_ten_minutes(city: City) -> None:
    rider = city.rider()
    desk = staff_browser(city, "service")
    opened = post(desk, "/help/", {"who": rider.rider_id, "reason": "question"}, "/help/")
    assert desk.get(opened.location).status_code == 200
    city.clock.forward(minutes=11)
    assert desk.get(opened.location).status_code == 303


def test_the_ids_of_a_dispute_are_those_the_ledger_expects(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    money = rider_money(city.ledger, None)
    assert money.dispute(rider.account_id, ride, "twice") == "credited"
    assert money.dispute(rider.account_id, ride, "twice") == "credited"
    credit = money.ride(rider.account_id, str(uuid5(UUID(ride), "dispute")))
    assert credit.change == Money(200, "CNY")


def test_sessions_of_other_browsers_stay_when_one_signs_out(city: City) -> None:
    rider = city.rider()
    one, two = city.signed_in(rider), city.signed_in(rider)
    post(one, "/me/sign-out", {})
    assert two.get("/me/").status_code == 200
    with reading(city.enrollment.riders) as session:
        assert len(session.exec(select(RiderSession)).all()) == 1
