"""Something on every page of the site that is attacked: records that make each form appear.

Money of three days, of which two are closed; differences, requests, disputes and blocks that
wait for somebody; a card, a passkey and a pass; colleagues who come and who went. What other
people would have written is hostile already: names of files, lines of a bank, notes.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from sqlmodel import select

from enrollment.gallery import data_key_name, seal_template
from enrollment.passes import issue_pass
from ledger.adjustments import dispute_credit
from ledger.autotopup import set_auto_top_up
from ledger.checkpoints import publish
from ledger.console.filters import save_filter
from ledger.holds import HOLD_REASONS, hold
from ledger.processors.keeping import keep_card, open_page
from ledger.processors.protocol import Card
from ledger.reconcile.drawer import open_drawer
from ledger.reconcile.importing import import_statement
from ledger.reconcile.periods import close_period
from ledger.reconcile.reopening import ask_to_reopen
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.requests import adjust
from ledger.standings import block
from ledger.topups import top_up
from ledger.wanted import Wanted
from models.access.invitations import invite_staff
from models.access.staff import new_account
from models.database import reading, writing
from models.money import Money
from models.tables.reconcile import DifferenceRow
from models.tables.riders import Consent, Passkey, Rider, Template
from tests.attack_site import ACCOUNT, OTHER_ACCOUNT, Site, make_site
from tests.looking import RIDERS
from tests.pass_riders import unit
from tests.riding import PIN_HASH
from tests.town import open_drawers

COLLEAGUE = "mei"


class DaysAgo:
    """The real time, so many days ago."""

    days = 0

    def __call__(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=self.days)


def make_lived_in(path: Path, words: str) -> tuple[Site, dict[str, Any]]:
    """A site with records; and what stands in the addresses of those of the first rider.

    ``words`` is what other people wrote.
    """
    clock = DaysAgo()
    site = make_site(path, clock=clock, pretend_cards=True)
    closed = _money_of_three_days(site, clock, words)
    _riders(site, clock())
    token = _colleagues(site, clock(), words)
    ride = _waiting(site, words)
    publish(site.ledger)
    with reading(site.ledger.engine) as session:
        difference = session.exec(select(DifferenceRow.difference_id)).first()
    known = {"rider_id": RIDERS[0], "seq": 0, "name": COLLEAGUE, "entry_id": ride, "token": token,
             "text_id": "en-2", "difference_id": difference, "period": closed, "account": "cash",
             "currency": "CNY", "day": closed, "page_id": card_page_of(RIDERS[0]),
             "session": f"cs_{card_page_of(RIDERS[0])}"}  # fmt: skip
    return site, known


def _money_of_three_days(site: Site, clock: DaysAgo, words: str) -> str:
    """Top-ups on three days; the first two are closed, one of them to be opened again."""
    ledger, days = site.ledger, []
    for clock.days in (3, 2, 1):
        if not days:
            open_drawers(ledger, COLLEAGUE)
        days.append(clock().date().isoformat())
        top_up(ledger, ACCOUNT, Money(5_000, "CNY"), str(uuid4()), COLLEAGUE)
    clock.days = 0
    open_drawer(ledger, str(uuid4()), Money(9_000, "CNY"), "all")
    for day in days[:2]:
        close_period(ledger, day, COLLEAGUE)
    ask_to_reopen(ledger, days[0], words, COLLEAGUE)
    import_statement(ledger, _bank(days[2], words), f"{words}.csv")
    run_day(ledger, days[2], Rules())
    return days[1]


def _bank(day: str, words: str) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("id", "day", "amount", "currency", "reference", "text"))
    for number in range(4):
        lines.writerow((f"b{number}", day, f"{7 + number}.00", "CNY", words, words))
    return text.getvalue().encode()


def _riders(site: Site, now: datetime) -> None:
    """The first rider goes by face and has a pass, a PIN, a card and a passkey, as the second."""
    enrollment = site.enrollment
    for rider_id in RIDERS:
        issue_pass(enrollment, rider_id, "pass", now)
        account, page = rider_id[0] * 32, card_page_of(rider_id)
        open_page(site.ledger, site.app.extensions["processor"], account, page,
                  done_url="/me/", back_url="/me/", language="en")  # fmt: skip
        keep_card(site.ledger, account, "pretend",
                  Card("cus_1", f"pm_{rider_id}", "visa", "4242", 12, now.year + 3))  # fmt: skip
        set_auto_top_up(site.ledger, account, *(Money(1_000 * n, "CNY") for n in (1, 2, 5)))
        engine = "before" if rider_id == RIDERS[1] else enrollment.engine_id
        sealed = seal_template(
            enrollment.vault.key(data_key_name(rider_id)), unit(7), account, engine
        )
        with writing(enrollment.riders) as session:
            rider = session.get(Rider, rider_id)
            assert rider is not None
            rider.medium, rider.pin_hash = "face", PIN_HASH
            session.add(Template(rider_id=rider_id, engine_id=engine, images=3, sealed=sealed,
                                 created_at=now, quality_note="made up"))  # fmt: skip
            for consent in session.exec(select(Consent).where(Consent.rider_id == RIDERS[0])):
                consent.guardian = None
            session.add(Passkey(credential_id=passkey_of(rider_id), rider_id=rider_id,
                                public_key=b"", sign_count=0, made_at=now))  # fmt: skip


def passkey_of(rider_id: str) -> bytes:
    """The id of the rider's passkey."""
    return f"passkey of {rider_id}".encode()


def card_page_of(rider_id: str) -> str:
    """The id of the page on which the rider is adding a card."""
    return str(uuid5(NAMESPACE_OID, rider_id))


def _colleagues(site: Site, now: datetime, words: str) -> str:
    """One who works, one who left, and one with an invitation, whose token it returns."""
    with writing(site.enrollment.access) as session:
        session.add(new_account(COLLEAGUE, ["finance"], now))
        left = new_account("left", ["service"], now)
        left.disabled_at = now
        session.add(left)
    save_filter(site.ledger, "all", words[:60], {"q": words})
    return invite_staff(site.enrollment.staff, "newcomer", ["service"], now)


def _waiting(site: Site, words: str) -> str:
    """A request, a dispute and a block of the colleague's; returns a ride that is nobody's yet."""
    ledger, gate = site.ledger, site.gates[0]
    for _ in range(2):
        assert site.deliver(gate, gate.tap(ACCOUNT)).status_code == 200
    disputed, ride = site.rides(ACCOUNT)
    dispute_credit(ledger, disputed, Money(100, "CNY"), str(uuid4()), COLLEAGUE)
    for _ in range(2):
        much = Money(5_000, "CNY")
        adjust(ledger, Wanted(str(uuid4()), "goodwill", ACCOUNT, much, "apology"), COLLEAGUE)
    until = ledger.clock() + timedelta(days=9)
    hold(ledger, ACCOUNT, Money(200, "CNY"), next(iter(HOLD_REASONS)), until, str(uuid4()),
         COLLEAGUE)  # fmt: skip
    block(ledger, OTHER_ACCOUNT, "lost", words, COLLEAGUE)
    return ride
