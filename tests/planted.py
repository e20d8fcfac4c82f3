"""Bugs that somebody could make, each as a patch: the simulator has to find every one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

import facefare.simulate.gates
import ledger.checkpoints
import ledger.deciding
import ledger.erasure
import ledger.fare_entries
import ledger.fares.caps
import ledger.fares.position
import ledger.given_back
import ledger.ledger
import ledger.priced
import ledger.processors.outbox
import ledger.processors.settling
import ledger.reconcile.importing
import ledger.reconcile.run
import ledger.refunds
import ledger.rollback
import ledger.sequencer
import ledger.standings
import ledger.store
import ledger.topups
from gate import sync
from gate.outbox import Outbox
from ledger.chains import Verdict
from ledger.fares.book import FareBook
from ledger.fares.history import History
from ledger.histories import Riders
from ledger.inforce import FaresInForce
from ledger.kept import CheckpointFile
from ledger.processors.protocol import ChargeOrder, Failed, NotThere
from ledger.store import LogWriter, table
from models.access.gates import GateRegister
from models.database import writing
from models.log.notes import Checkpoint, sign_checkpoint
from models.log.tree import EMPTY_ROOT
from models.money import Money
from models.tables.ledger import TapRow
from models.tables.reconcile import ProcessorCallRow

Plant = Callable[[pytest.MonkeyPatch], None]


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


def refused_counts_as_charged(patch: pytest.MonkeyPatch) -> None:
    """The gate takes every answer for a good one."""
    patch.setitem(sync._STATUS, "refused", "accepted")
    patch.setitem(sync._STATUS, "quarantined", "accepted")


def request_ids_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A request that was seen on the wire can be sent again."""
    patch.setattr(GateRegister, "use_once", lambda self, jti, expires: True)


def same_tap_again_is_a_new_one(patch: pytest.MonkeyPatch) -> None:
    """What was recorded before is not looked up."""
    patch.setattr(ledger.deciding, "recorded_taps", lambda session, ids: {})
    patch.setattr(ledger.deciding, "used_ids", lambda session, ids: set())


def forks_are_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Two taps with one number are both taken for the gate's own."""
    patch.setattr(ledger.deciding, "judge", lambda seq, link, known: Verdict("ok", ""))


def chain_names_the_wrong_entry(patch: pytest.MonkeyPatch) -> None:
    """After a batch the head is read one entry too early."""
    plain = LogWriter.__init__

    def init(self: LogWriter, session: Any, now: Any) -> None:
        plain(self, session, now)
        if self._frontier.size > 5:
            self._prev = bytes(32)

    patch.setattr(LogWriter, "__init__", init)


def checkpoint_signed_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The checkpoint goes out while its entries may still be rolled back."""
    plain = LogWriter.save

    def save(self: LogWriter) -> None:
        plain(self)
        path = self._session.connection().get_execution_options()[ledger.rollback._OPTION]
        file = CheckpointFile(path)
        ahead = Checkpoint("fares.example/city", self._frontier.size, self._frontier.root())
        file.swap(file.read(), sign_checkpoint(ahead, _LOG_KEY[0]))

    plain_open = ledger.ledger.Ledger.open

    def remember_key(data: Any, clock: Any) -> Any:
        opened = plain_open(data, clock)
        _LOG_KEY[:] = [opened.log_key]
        return opened

    patch.setattr(ledger.ledger.Ledger, "open", remember_key)
    patch.setattr(LogWriter, "save", save)


_LOG_KEY: list[Any] = []


def lost_entries_are_signed_over(patch: pytest.MonkeyPatch) -> None:
    """The kept checkpoint is not compared with the log before a new one is signed."""
    plain = ledger.checkpoints._consistent_tree

    def consistent(session: Any, old: Checkpoint) -> Any:
        del old
        return plain(session, Checkpoint("fares.example/city", 0, EMPTY_ROOT))

    patch.setattr(ledger.checkpoints, "_consistent_tree", consistent)


def stale_database_takes_taps(patch: pytest.MonkeyPatch) -> None:
    """A log that has lost entries goes on acknowledging taps."""
    patch.setattr(ledger.store, "refuse_shorter_log", lambda session, size: None)
    patch.setattr(ledger.sequencer, "refuse_shorter_log", lambda session, size: None)


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


def deny_list_is_fetched_once(patch: pytest.MonkeyPatch) -> None:
    """A gate that has a deny list keeps it."""
    plain = sync.fetch_blocked

    def fetch(identity: Any, client: Any) -> Any:
        kept = sync.kept_blocked(identity)
        return plain(identity, client) if kept is None else kept

    patch.setattr(sync, "fetch_blocked", fetch)


def refunds_have_no_ceiling(patch: pytest.MonkeyPatch) -> None:
    """More than a ride cost can be given back."""
    patch.setattr(ledger.refunds, "check_given_back", lambda *about: None)


def a_second_click_tops_up_again(patch: pytest.MonkeyPatch) -> None:
    """A form that is sent twice is two payments."""
    plain = ledger.topups.Draft

    def draft(**facts: Any) -> Any:
        return plain(**{**facts, "entry_id": str(uuid4())})

    patch.setattr(ledger.topups, "Draft", draft)


def erasure_forgets_the_taps(patch: pytest.MonkeyPatch) -> None:
    """The rows of taps go on naming the account."""
    plain = ledger.erasure._unlink

    def unlink(session: Any, account_id: str) -> None:
        plain(session, account_id)
        session.execute(update(table(TapRow)).values(account_id=account_id))

    patch.setattr(ledger.erasure, "_unlink", unlink)


def who_passed_is_forgotten_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    """A gate that starts again lets a rider pass, and pay, a second time."""
    patch.setattr(Outbox, "recent", lambda self: [])


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


def balances_drift(patch: pytest.MonkeyPatch) -> None:
    """The balance beside an account moves once more than its postings."""
    plain = LogWriter.save

    def save(self: LogWriter) -> None:
        for account in list(self._owed):
            self._owed[account] -= 1
        plain(self)

    patch.setattr(LogWriter, "save", save)


def caps_count_taps_as_they_arrive(patch: pytest.MonkeyPatch) -> None:
    """A tap that comes late is put behind those that came before it."""
    patch.setattr(History, "_added", lambda self, tap: self._after(tap))


def late_taps_are_not_rated_again(patch: pytest.MonkeyPatch) -> None:
    """A tap adds its own part and nothing that was charged before is put right."""
    plain = ledger.priced.rated_drafts

    def only_the_ride(*facts: Any) -> Any:
        yield next(plain(*facts))

    patch.setattr(ledger.priced, "rated_drafts", only_the_ride)


def old_journeys_cost_what_the_new_feed_says(patch: pytest.MonkeyPatch) -> None:
    """The newest feed counts as if it had always been in force."""
    plain = FaresInForce._read

    def newest_only(self: FaresInForce, session: Any) -> FareBook:
        *_, newest = plain(self, session).rates
        return FareBook.of(replace(newest.tables, effective=date.min))

    patch.setattr(FaresInForce, "_read", newest_only)


def holds_are_never_freed(patch: pytest.MonkeyPatch) -> None:
    """A fare is charged in full, and what was held for it stays held."""
    plain = ledger.fare_entries.moved

    def keep_holding(amount: Money, held: Money, income: str) -> Any:
        return plain(amount, held if held.minor > 0 else held - held, income)

    patch.setattr(ledger.fare_entries, "moved", keep_holding)


def who_left_keeps_a_hold(patch: pytest.MonkeyPatch) -> None:
    """The account is settled, and what was held for its journey is forgotten."""
    plain = ledger.erasure._settle
    patch.setattr(ledger.erasure, "_settle", lambda left, held: plain(left, held - held))


def days_close_at_midnight(patch: pytest.MonkeyPatch) -> None:
    """A journey is taken for ended when the date changes, and not at half past four."""
    plain = ledger.fares.position.closes_at

    def early(end: Any, history: Any) -> Any:
        return plain(end, history) - timedelta(hours=4, minutes=30)

    patch.setattr(ledger.fares.position, "closes_at", early)


def limits_of_a_child_are_an_adults(patch: pytest.MonkeyPatch) -> None:
    """A rider's concession is forgotten by whoever reads the taps again."""
    patch.setattr(Riders, "_concessions", lambda self, accounts: dict.fromkeys(accounts, ()))


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


def who_does_not_hear_asks_under_a_new_key(patch: pytest.MonkeyPatch) -> None:
    """An outcome that is not known is not asked about: the charge is made again."""
    patch.setattr(ChargeOrder, "key", property(lambda self: str(uuid4())))
    patch.setattr(ledger.processors.outbox, "_ask", lambda processor, order: NotThere())


def a_line_again_is_a_payment(patch: pytest.MonkeyPatch) -> None:
    """A report's second line about one payment is not told to anybody."""
    plain = ledger.reconcile.run.find_differences

    def find(*facts: Any) -> Any:
        return [found for found in plain(*facts) if found.kind != "duplicate"]

    patch.setattr(ledger.reconcile.run, "find_differences", find)


def blocks_do_not_reach_the_gates(patch: pytest.MonkeyPatch) -> None:
    """Whom staff blocked is not on the deny list."""
    plain = ledger.standings._blocked

    def in_debt_only(*facts: Any) -> Any:
        return tuple(one for one in plain(*facts) if one.standing.reason == "overdraft")

    patch.setattr(ledger.standings, "_blocked", in_debt_only)


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


PLANTED: tuple[Plant, ...] = (
    outbox_emptied_before_the_answer,
    door_opens_before_the_tap_is_on_disk,
    refused_counts_as_charged,
    request_ids_are_forgotten,
    same_tap_again_is_a_new_one,
    forks_are_not_noticed,
    chain_names_the_wrong_entry,
    checkpoint_signed_before_the_commit,
    lost_entries_are_signed_over,
    stale_database_takes_taps,
    gallery_only_grows,
    deny_list_is_fetched_once,
    refunds_have_no_ceiling,
    a_second_click_tops_up_again,
    erasure_forgets_the_taps,
    who_passed_is_forgotten_at_a_restart,
    a_full_disk_is_not_noticed,
    balances_drift,
    caps_count_taps_as_they_arrive,
    late_taps_are_not_rated_again,
    old_journeys_cost_what_the_new_feed_says,
    holds_are_never_freed,
    who_left_keeps_a_hold,
    days_close_at_midnight,
    limits_of_a_child_are_an_adults,
    a_message_again_is_money_again,
    who_does_not_hear_asks_under_a_new_key,
    a_line_again_is_a_payment,
    blocks_do_not_reach_the_gates,
    the_card_of_who_left_stays,
)

FOUND_SOON: tuple[Plant, ...] = (
    outbox_emptied_before_the_answer,
    chain_names_the_wrong_entry,
    a_second_click_tops_up_again,
    who_passed_is_forgotten_at_a_restart,
    a_full_disk_is_not_noticed,
    balances_drift,
    caps_count_taps_as_they_arrive,
    late_taps_are_not_rated_again,
    old_journeys_cost_what_the_new_feed_says,
    holds_are_never_freed,
    a_message_again_is_money_again,
)
"""Those whose first seed comes early; the long run looks for all."""
