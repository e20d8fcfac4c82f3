"""Bugs that somebody could make, each as a patch: the simulator has to find every one of them.

    @breaks(r"the top-ups in the ledger are not the money")
    def a_second_click_tops_up_again(patch): ...

``breaks`` names the rule that finds the bug, as a pattern of what that rule says when it is
broken. A failure that says anything else, such as a patch's own TypeError, does not count.
Where the schema stands before a rule, the plant takes that guard out of its city as well,
so that it is the rule that has to find the bug.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select, update
from sqlmodel import Session

import facefare.rider_ledger
import facefare.simulate.city
import facefare.simulate.gates
import ledger.checkpoints
import ledger.deciding
import ledger.entries
import ledger.erasure
import ledger.fare_entries
import ledger.fares.bills
import ledger.fares.position
import ledger.priced
import ledger.processors.outbox
import ledger.processors.settling
import ledger.reconcile.importing
import ledger.reconcile.run
import ledger.refunds
import ledger.sequencer
import ledger.standings
import ledger.store
import ledger.topups
import models.database
from gate import sync
from gate.outbox import Outbox
from ledger.chains import Verdict
from ledger.entries import decode, encode
from ledger.fares.book import FareBook
from ledger.fares.caps import Sums, WeekCost
from ledger.fares.history import History
from ledger.fares.standing import BLOCK_REASONS
from ledger.histories import Riders
from ledger.inforce import FaresInForce
from ledger.processors.protocol import ChargeOrder, Failed, NotThere
from ledger.store import LogWriter, table
from models.access.gates import GateRegister
from models.database import writing
from models.log.notes import Checkpoint
from models.log.tree import EMPTY_ROOT, leaf_hash
from models.money import Money
from models.settings import DataDirectory
from models.tables.ledger import EntryRow, TapRow
from models.tables.reconcile import ProcessorCallRow

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug, the pattern of what the rule it breaks says, and whether an early seed shows it."""

    plant: Plant
    rule: str
    soon: bool


PLANTED: list[Planted] = []

TOLD = r"gate-\d+ was told that tap \S+ is charged, and it is not"
UNCHARGED = r"passage \S+ was not charged and nobody knows of it"
DISAGREE = r"gate-\d+ and the ledger disagree on who is blocked"
MONEY = "the top-ups in the ledger are not the money that was handed over"
BILL = r"rider \d+ was charged \S+, and the taps come to \d+"
HELD = r"\S+ are held for rider \d+, it should be \d+"


def breaks(rule: str, *, soon: bool = False) -> Callable[[Plant], Plant]:
    """Say which rule the bug breaks; ``soon``: it is among the few of the normal run."""

    def note(plant: Plant) -> Plant:
        PLANTED.append(Planted(plant, rule, soon))
        return plant

    return note


_UNIQUE = re.compile(r",\s*(UNIQUE|PRIMARY KEY) \((?!seq\))[^)]*\)|WITHOUT ROWID")


def _without_guards(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Cities whose fares database lacks some triggers, or all that is unique in some tables."""
    plain = facefare.simulate.city.found

    def found(path: Path, *size: int) -> Any:
        made = plain(path, *size)
        fares = DataDirectory(path / "data").fares_db
        with closing(sqlite3.connect(fares, isolation_level=None)) as database:
            for name in names:
                _remove_guard(database, name)
        return made

    patch.setattr(facefare.simulate.city, "found", found)


def _remove_guard(database: sqlite3.Connection, name: str) -> None:
    about = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type {} 'table' AND sql <> ''"
    table_made = database.execute(about.format("="), (name,)).fetchone()
    if table_made is None:
        database.execute(f"DROP TRIGGER {name}")
        return
    beside = database.execute(about.format("<>"), (name,)).fetchall()
    database.execute(f"DROP TABLE {name}")
    database.execute(_UNIQUE.sub("", *table_made))
    for (sql,) in beside:
        database.execute(sql.replace("CREATE UNIQUE", "CREATE"))


@breaks(TOLD, soon=True)
def outbox_emptied_before_the_answer(patch: pytest.MonkeyPatch) -> None:
    """A batch is ticked off when it is sent, not when the ledger has answered."""
    plain = sync.deliver

    def deliver(outbox: Outbox, client: Any, *more: Any) -> int:
        waiting = outbox.pending(512)
        send = client.send_taps

        def send_and_tick_off(signed: list[str]) -> Any:
            outbox.settle([(tap_id, "accepted", "{}") for tap_id, _ in waiting], client.now())
            return send(signed)

        client.send_taps = send_and_tick_off
        try:
            return plain(outbox, client, *more)
        finally:
            client.send_taps = send

    patch.setattr(sync, "deliver", deliver)


@breaks(UNCHARGED)
def door_opens_before_the_tap_is_on_disk(patch: pytest.MonkeyPatch) -> None:
    """The write is left to later, and later may never come."""
    kept = Outbox.append

    def append(self: Outbox, build: Any, key: Any) -> Any:
        fuse = self._disk.fuse  # type: ignore[attr-defined]
        if not fuse.lit:
            return kept(self, build, key)
        fuse.light("")  # power goes after the door has moved and before the write
        return build(10_000, "0" * 64)

    patch.setattr(Outbox, "append", append)


@breaks(TOLD, soon=True)
def refused_counts_as_charged(patch: pytest.MonkeyPatch) -> None:
    """The gate takes every answer for a good one."""
    patch.setitem(sync._STATUS, "refused", "accepted")
    patch.setitem(sync._STATUS, "quarantined", "accepted")


@breaks(r"a (GET|POST) request was sent again and was answered")
def request_ids_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A request that was seen on the wire can be sent again."""
    patch.setattr(GateRegister, "use_once", lambda self, jti, expires: True)


@breaks(r"passage \S+ was charged twice", soon=True)
def same_tap_again_is_a_new_one(patch: pytest.MonkeyPatch) -> None:
    """What was recorded before is not looked up."""
    _without_guards(patch, "entry", "tap", "passage")
    patch.setattr(ledger.deciding, "recorded_taps", lambda session, ids: {})
    patch.setattr(ledger.deciding, "used_ids", lambda session, ids: set())


@breaks(r"gate-\d+ has two charged taps with number \d+")
def forks_are_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Two taps with one number are both taken for the gate's own."""
    _without_guards(patch, "tap")
    patch.setattr(ledger.deciding, "judge", lambda seq, link, known: Verdict("ok", ""))


@breaks(r"entry \d+ is not chained to the one before", soon=True)
def chain_names_the_wrong_entry(patch: pytest.MonkeyPatch) -> None:
    """After a batch the head is read one entry too early."""
    _without_guards(patch, "entry_follows_the_one_before")
    plain = LogWriter.__init__

    def init(self: LogWriter, session: Any, now: Any) -> None:
        plain(self, session, now)
        if self._frontier.size > 5:
            self._prev = bytes(32)

    patch.setattr(LogWriter, "__init__", init)


@breaks(
    r"a checkpoint over \d+ entries was signed, some are missing"
    r"|the log does not continue the checkpoint over \d+ entries",
    soon=True,
)
def checkpoint_signed_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The checkpoint goes out, and is copied, while its entries may still be rolled back.

    The ledger itself does not look at what was signed, so that the outsider has to notice.
    """
    plain = LogWriter.save
    cities: list[facefare.simulate.city.City] = []

    def save(self: LogWriter) -> None:
        plain(self)
        if cities:
            ahead = Checkpoint("fares.example/city", self._frontier.size, self._frontier.root())
            cities[-1].truth.checkpoints.append(ahead)

    plain_city = facefare.simulate.city.City.__init__

    def remember(self: facefare.simulate.city.City, *facts: Any) -> None:
        cities.clear()
        plain_city(self, *facts)
        cities.append(self)

    patch.setattr(facefare.simulate.city.City, "__init__", remember)
    patch.setattr(LogWriter, "save", save)


@breaks(r"a checkpoint was signed over a log that had lost entries")
def lost_entries_are_signed_over(patch: pytest.MonkeyPatch) -> None:
    """The kept checkpoint is not compared with the log before a new one is signed."""
    plain = ledger.checkpoints._consistent_tree

    def consistent(session: Any, old: Checkpoint) -> Any:
        del old
        return plain(session, Checkpoint("fares.example/city", 0, EMPTY_ROOT))

    patch.setattr(ledger.checkpoints, "_consistent_tree", consistent)


@breaks(TOLD)
def stale_database_takes_taps(patch: pytest.MonkeyPatch) -> None:
    """A log that has lost entries goes on acknowledging taps."""
    patch.setattr(ledger.store, "refuse_shorter_log", lambda session, size: None)
    patch.setattr(ledger.sequencer, "refuse_shorter_log", lambda session, size: None)


@breaks(r"gate-\d+ still recognises rider \d+, who has left", soon=True)
def gallery_only_grows(patch: pytest.MonkeyPatch) -> None:
    """Riders who are missing from a new gallery stay in the gate's."""
    plain = sync.fetch_gallery
    known: dict[Any, dict[str, Any]] = {}

    def fetch(identity: Any, client: Any, have: int) -> Any:
        fresh = plain(identity, client, have)
        if fresh is None:
            return None
        riders = known.setdefault(identity.path, {})
        riders.update({rider.account: rider for rider in fresh.riders})
        return fresh.model_copy(update={"riders": tuple(riders.values())})

    patch.setattr(sync, "fetch_gallery", fetch)


@breaks(DISAGREE, soon=True)
def deny_list_is_fetched_once(patch: pytest.MonkeyPatch) -> None:
    """A gate that has a deny list keeps it."""
    plain = sync.fetch_blocked

    def fetch(identity: Any, client: Any) -> Any:
        kept = sync.kept_blocked(identity)
        return plain(identity, client) if kept is None else kept

    patch.setattr(sync, "fetch_blocked", fetch)


@breaks(r"more than ride \S+ cost was given back")
def refunds_have_no_ceiling(patch: pytest.MonkeyPatch) -> None:
    """More than a ride cost can be given back."""
    patch.setattr(ledger.refunds, "check_given_back", lambda *about: None)


@breaks(MONEY)
def a_second_click_tops_up_again(patch: pytest.MonkeyPatch) -> None:
    """A form that is sent twice is two payments."""
    plain = ledger.topups.Draft

    def draft(**facts: Any) -> Any:
        return plain(**{**facts, "entry_id": str(uuid4())})

    patch.setattr(ledger.topups, "Draft", draft)


@breaks(r"rider \d+ has left, and fares\S* knows [0-9a-f]{32}$")
def erasure_forgets_the_taps(patch: pytest.MonkeyPatch) -> None:
    """The rows of taps go on naming the account."""
    plain = ledger.erasure._unlink

    def unlink(session: Any, account_id: str) -> None:
        mine = table(TapRow)
        kept = session.execute(select(mine.c.tap_id).where(mine.c.account_id == account_id))
        taps = list(kept.scalars())
        plain(session, account_id)
        named = update(mine).where(mine.c.tap_id.in_(taps)).values(account_id=account_id)
        session.execute(named)

    patch.setattr(ledger.erasure, "_unlink", unlink)


@breaks(r"rider \S+ passed \S+ twice within minutes")
def who_passed_is_forgotten_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    """A gate that starts again lets a rider pass, and pay, a second time."""
    patch.setattr(Outbox, "recent", lambda self: [])


@breaks(UNCHARGED)
def a_full_disk_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """The gate opens although the tap could not be written."""
    plain = Outbox.append

    def append(self: Outbox, build: Any, key: Any) -> Any:
        made: list[Any] = []

        def remember(seq: int, prev: str) -> Any:
            made.append(build(seq, prev))
            return made[0]

        try:
            return plain(self, remember, key)
        except facefare.simulate.gates.OutboxError:
            return made[0]

    patch.setattr(Outbox, "append", append)


@breaks(r"an account shows \S+, and its postings sum to \S+")
def balances_drift(patch: pytest.MonkeyPatch) -> None:
    """The balance beside an account moves once more than its postings."""
    plain = LogWriter.save

    def save(self: LogWriter) -> None:
        for account in list(self._owed):
            self._owed[account] -= 1
        plain(self)

    patch.setattr(LogWriter, "save", save)


@breaks(BILL, soon=True)
def caps_count_taps_as_they_arrive(patch: pytest.MonkeyPatch) -> None:
    """A tap that comes late is put behind those that came before it."""
    patch.setattr(History, "_added", lambda self, tap: self._after((tap,)))


@breaks(BILL)
def late_taps_are_not_rated_again(patch: pytest.MonkeyPatch) -> None:
    """A tap adds its own part and nothing that was charged before is put right."""
    plain = ledger.priced.rated_drafts

    def only_the_ride(*facts: Any) -> Any:
        yield next(plain(*facts))

    patch.setattr(ledger.priced, "rated_drafts", only_the_ride)


@breaks(BILL)
def old_journeys_cost_what_the_new_feed_says(patch: pytest.MonkeyPatch) -> None:
    """The newest feed counts as if it had always been in force."""
    plain = FaresInForce._read

    def newest_only(self: FaresInForce, session: Any) -> FareBook:
        *_, newest = plain(self, session).rates
        return FareBook.of(replace(newest.tables, effective=date.min))

    patch.setattr(FaresInForce, "_read", newest_only)


@breaks(HELD)
def holds_are_never_freed(patch: pytest.MonkeyPatch) -> None:
    """A fare is charged in full, and what was held for it stays held."""
    plain = ledger.fare_entries.moved

    def keep_holding(amount: Money, held: Money, income: str) -> Any:
        return plain(amount, held if held.minor > 0 else held - held, income)

    patch.setattr(ledger.fare_entries, "moved", keep_holding)


@breaks(r"\d+ cents are held, and of \d+ is known why")
def who_left_keeps_a_hold(patch: pytest.MonkeyPatch) -> None:
    """The account is settled, and what was held for its journey is forgotten."""
    plain = ledger.erasure._settle
    patch.setattr(ledger.erasure, "_settle", lambda left, held: plain(left, held - held))


@breaks(f"{BILL}|{HELD}")
def days_close_at_midnight(patch: pytest.MonkeyPatch) -> None:
    """A journey is taken for ended when the date changes, and not at half past four."""
    plain = ledger.fares.position.closes_at

    def early(end: Any, history: Any) -> Any:
        return plain(end, history) - timedelta(hours=4, minutes=30)

    patch.setattr(ledger.fares.position, "closes_at", early)


@breaks(f"{BILL}|{HELD}", soon=True)
def limits_of_a_child_are_an_adults(patch: pytest.MonkeyPatch) -> None:
    """A rider's concession is forgotten by whoever reads the taps again."""
    patch.setattr(Riders, "_concessions", lambda self, accounts: dict.fromkeys(accounts, ()))


@breaks(MONEY)
def a_message_again_is_money_again(patch: pytest.MonkeyPatch) -> None:
    """A call that is settled is settled once more, under a new id."""
    plain = ledger.processors.outbox.settle

    def settle(here: Any, processor: str, call_id: str, outcome: Any) -> bool:
        if plain(here, processor, call_id, outcome):
            return True
        with writing(here.engine) as session:
            call = session.get(ProcessorCallRow, call_id)
            if call is None or call.kind != "charge" or isinstance(outcome, Failed):
                return False
            writer = LogWriter(session, here.clock())
            draft = ledger.processors.settling._settling(
                here, writer, call, processor, returned=False
            )
            if draft is not None:
                writer.append(replace(draft, entry_id=str(uuid4())))
            writer.save()
        return True

    patch.setattr(ledger.processors.outbox, "settle", settle)


@breaks(f"{MONEY}|finance was not told of missing_in_ledger")
def who_does_not_hear_asks_under_a_new_key(patch: pytest.MonkeyPatch) -> None:
    """An outcome that is not known is not asked about: the charge is made again."""
    patch.setattr(ChargeOrder, "key", property(lambda self: str(uuid4())))
    patch.setattr(ledger.processors.outbox, "_ask", lambda processor, order: NotThere())


@breaks(r"finance was not told of duplicate \S+")
def a_line_again_is_a_payment(patch: pytest.MonkeyPatch) -> None:
    """A report's second line about one payment is not told to anybody."""
    plain = ledger.reconcile.run.find_differences

    def find(*facts: Any) -> Any:
        return [found for found in plain(*facts) if found.kind != "duplicate"]

    patch.setattr(ledger.reconcile.run, "find_differences", find)


@breaks(DISAGREE)
def blocks_do_not_reach_the_gates(patch: pytest.MonkeyPatch) -> None:
    """Whom staff blocked is not on the deny list."""
    plain = ledger.standings._blocked

    def in_debt_only(*facts: Any) -> Any:
        return tuple(one for one in plain(*facts) if one.standing.reason == "overdraft")

    patch.setattr(ledger.standings, "_blocked", in_debt_only)


@breaks(r"rider \d+ has left, and fares\S* knows cus-canary-\d+")
def the_card_of_who_left_stays(patch: pytest.MonkeyPatch) -> None:
    """What the processor calls the rider is kept with the calls that were made."""
    plain = ledger.erasure._unlink

    def unlink(session: Any, account_id: str) -> None:
        mine = table(ProcessorCallRow)
        kept = session.execute(
            select(mine.c.call_id, mine.c.customer).where(mine.c.account_id == account_id)
        ).all()
        plain(session, account_id)
        for call_id, customer in kept:
            session.execute(update(mine).where(mine.c.call_id == call_id).values(customer=customer))

    patch.setattr(ledger.erasure, "_unlink", unlink)


@breaks(r"the postings of entry \d+ do not sum to zero", soon=True)
def a_cent_is_lost_between_two_accounts(patch: pytest.MonkeyPatch) -> None:
    """The income of a fare is a cent short of what the rider pays, and nobody adds it up."""
    plain = ledger.fare_entries.moved

    def short(amount: Money, held: Money, income: str) -> Any:
        *others, last = plain(amount, held, income) or (None,)
        return (
            ()
            if last is None
            else (*others, replace(last, amount=last.amount + Money(1, amount.currency)))
        )

    patch.setattr(ledger.fare_entries, "moved", short)
    patch.setattr(ledger.entries, "check_balanced", lambda postings: None)


@breaks(r"entry \d+ was another one before", soon=True)
def an_entry_is_put_right_where_it_stands(patch: pytest.MonkeyPatch) -> None:
    """Before the next entry is added the last one is written anew, with a hash that fits."""
    _without_guards(patch, "entry_is_not_changed")
    plain = LogWriter.__init__

    def init(self: LogWriter, session: Session, *more: Any) -> None:
        entries = table(EntryRow)
        last = session.execute(select(entries).order_by(entries.c.seq.desc()).limit(1)).first()
        if last is not None and last.seq > 5:
            body = encode({**decode(last.body), "corrected": last.recorded_at})
            anew = {"body": body, "leaf_hash": leaf_hash(body)}
            session.execute(update(entries).where(entries.c.seq == last.seq).values(anew))
        plain(self, session, *more)

    patch.setattr(LogWriter, "__init__", init)


@breaks(r"rider \d+ paid \d+, the limit is \d+")
def no_limit_is_ever_reached(patch: pytest.MonkeyPatch) -> None:
    """Fares are added up, whatever the limits of the day and the week are."""

    def plain_sum(sums: Sums) -> WeekCost:
        return WeekCost(sum(sums.values()), ())

    patch.setattr(ledger.fares.bills, "week_cost", plain_sum)


@breaks("the rider page and the gates disagree on")
def the_page_of_who_is_blocked_says_all_is_well(patch: pytest.MonkeyPatch) -> None:
    """A rider's own page does not know of blocks by staff."""
    plain = facefare.rider_ledger.account_standing

    def own(here: Any, account_id: str) -> Any:
        told = plain(here, account_id)
        return replace(told, state="good") if told.reason in BLOCK_REASONS else told

    patch.setattr(facefare.rider_ledger, "account_standing", own)


def sequencer_without_lock(patch: pytest.MonkeyPatch) -> None:
    """Whoever wants to number entries does. The city lives on SQLite and has no sequencer, so
    ``tests/test_postgres.py`` plants this one.
    """

    @contextmanager
    def unlocked(engine: Engine, key: int) -> Iterator[Session]:
        del key
        with models.database._transaction(engine) as session:
            yield session

    patch.setattr(ledger.sequencer, "sequencing", unlocked)
    patch.setattr(ledger.store, "lock", lambda session, *key: None)
