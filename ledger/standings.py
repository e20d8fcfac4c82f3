"""Standings as they are: one account's, the gates' deny list, and blocks by staff.

The deny list has a version that rises when what it says changes, so a gate that has the
newest need not hear it again, and may wait for the next (``StandingsFeed``).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Row, and_, case, delete, exists, literal, select
from sqlmodel import Session, col

from ledger.accounts import AccountError, find_account
from ledger.fares.standing import (
    BLOCK_REASONS,
    Block,
    Standing,
    StandingPolicy,
    policy_of,
    standing,
)
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.store import table
from models.bulk import among
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import (
    IN_FORCE,
    AccountCategoryRow,
    AccountRow,
    BlockRow,
    EntryRow,
    FareStateRow,
    StandingFeedRow,
)

NOTE_CHARS_MAX = 500
WAITING_MAX = 4
WAIT_S_MAX = 25.0
LOOK_EVERY_S = 1.0
_NO_BALANCE = -(2**63)  # none is lower


class BlockRefused(EntryRefused):
    """A block that cannot be made or lifted."""


@dataclass(frozen=True, slots=True)
class BlockedAccount:
    """An account the gates should not let ride, and why."""

    account_id: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Standings:
    """The blocked accounts, in the order of their ids, and the version of this list."""

    version: int
    blocked: tuple[BlockedAccount, ...]


def account_standing(ledger: Ledger, account_id: str) -> Standing:
    """The standing that the rider, the help desk and the gates see alike.

    Raises ``AccountError`` where there is no such account.
    """
    with reading(ledger.engine) as session:
        policies = _policies(ledger, session)
        found = session.execute(_accounts(policies.day).where(account_id == _ID)).first()
        if found is None:
            raise AccountError(f"there is no account {account_id}; it was never opened, or erased")
        return _standing(found, policies)


def standings_of(ledger: Ledger, session: Session, accounts: Sequence[str]) -> dict[str, Standing]:
    """The standings of several accounts."""
    policies = _policies(ledger, session)
    rows = session.execute(_accounts(policies.day).where(among(session, _ID, accounts)))
    return {row.account_id: _standing(row, policies) for row in rows}


def standings(ledger: Ledger) -> Standings:
    """The gates' deny list; where it changed since anyone looked, its version rises."""
    with reading(ledger.engine) as session:
        blocked = _blocked(session, _policies(ledger, session))
        version, digest = _newest(session)
    if digest == _digest(blocked):
        return Standings(version, blocked)
    with writing(ledger.engine) as session:
        blocked = _blocked(session, _policies(ledger, session))
        version, digest = _newest(session)
        if digest != _digest(blocked):
            feed = table(StandingFeedRow)
            session.execute(delete(feed))
            version += 1
            session.add(
                StandingFeedRow(version=version, digest=_digest(blocked), changed_at=ledger.clock())
            )
    return Standings(version, blocked)


@dataclass(frozen=True, slots=True)
class _Policies:
    """What each category's rides cost on a service ``day``; the empty name is everybody's."""

    day: str
    by_category: Mapping[str, StandingPolicy]

    def of(self, category: str | None) -> StandingPolicy:
        return self.by_category.get(category or "", self.by_category[""])


def _policies(ledger: Ledger, session: Session) -> _Policies:
    day, rates = ledger.fares.book(session).at(ledger.clock())
    categories = ("", *rates.tables.categories)
    by_category = {category: policy_of(rates, category) for category in categories}
    return _Policies(date.fromordinal(day).isoformat(), by_category)


_ID: Any = col(AccountRow.account_id)
_BALANCE: Any = col(AccountRow.balance_minor)
_OWN: Any = _BALANCE + col(FareStateRow.held_minor)


def _category(day: str) -> Any:
    """The category that holds on ``day``, NULL where none is proven."""
    row = AccountCategoryRow
    holds = col(row.first_day) <= day, col(row.last_day) >= day
    query = select(col(row.category)).where(col(row.account_id) == _ID, *holds)
    newest = query.order_by(col(row.first_day).desc()).limit(1)
    return newest.correlate(AccountRow).scalar_subquery()


def _accounts(day: str) -> Any:
    """Accounts with what their standing on a service day depends on."""
    funded = exists().where(col(EntryRow.account_id) == _ID, col(EntryRow.kind) == "top_up")
    query: Any = (
        select(
            _ID.label("account_id"),
            col(AccountRow.currency).label("currency"),
            _OWN.label("own_minor"),
            col(AccountRow.changed_at).label("changed_at"),
            col(BlockRow.reason).label("reason"),
            col(BlockRow.blocked_at).label("blocked_at"),
            funded.label("funded"),
            _category(day).label("category"),
        )
        .join(FareStateRow, col(FareStateRow.account_id) == _ID)
        .outerjoin(BlockRow, and_(col(BlockRow.account_id) == _ID, IN_FORCE))
    )
    return query


def _standing(row: Row[Any], policies: _Policies) -> Standing:
    block = None if row.reason is None else Block(row.reason, row.blocked_at)
    own = Money(row.own_minor, row.currency)
    policy = policies.of(row.category)
    return standing(own, policy, funded=row.funded, block=block, since=row.changed_at)


def _blocked(session: Session, policies: _Policies) -> tuple[BlockedAccount, ...]:
    """Whom staff blocked, and those of the poor in balance whom their policy blocks."""
    limits = {name: _limit(policy) for name, policy in policies.by_category.items()}
    highest, accounts = max(limits.values()), _accounts(policies.day)
    named = {name: literal(limit, BigInteger) for name, limit in limits.items()}
    limit = case(named, value=_category(policies.day), else_=named[""])
    by_staff = accounts.where(col(BlockRow.reason).is_not(None))
    in_debt = accounts.where(highest > _BALANCE, highest > _OWN, limit > _OWN)
    rows = {row.account_id: row for query in (by_staff, in_debt) for row in session.execute(query)}
    found = (BlockedAccount(name, _standing(rows[name], policies)) for name in sorted(rows))
    return tuple(account for account in found if account.standing.state == "blocked")


def _limit(policy: StandingPolicy) -> int:
    """The balance below which an account may be blocked, whether it was topped up or not."""
    lowest = [policy.lowest_balance_to_ride(funded) for funded in (True, False)]
    return max(_NO_BALANCE if balance is None else balance.minor for balance in lowest)


def _newest(session: Session) -> tuple[int, str]:
    row = session.execute(select(StandingFeedRow)).scalar()
    return (0, _digest(())) if row is None else (row.version, row.digest)


def _digest(blocked: tuple[BlockedAccount, ...]) -> str:
    said = "\n".join(f"{b.account_id} {b.standing.reason} {b.standing.words}" for b in blocked)
    return hashlib.sha256(said.encode()).hexdigest()


def block(ledger: Ledger, account_id: str, reason: str, note: str, staff: str) -> Standing:
    """Block the account; every gate hears of it within a minute. ``note`` is for staff only.

    Raises ``BlockRefused`` for an unknown reason, no note, or an account that is blocked
    already; ``AccountError`` where there is none.
    """
    if reason not in BLOCK_REASONS:
        raise BlockRefused(f"a block's reason is one of {', '.join(BLOCK_REASONS)}, not {reason!r}")
    note = _note(note)
    with writing(ledger.engine) as session:
        find_account(session, account_id, ledger.settings.currency)
        if _in_force(session, account_id) is not None:
            raise BlockRefused("this account is blocked already; lift that block first")
        session.add(
            BlockRow(
                block_id=str(uuid4()),
                account_id=account_id,
                reason=reason,
                note=note,
                blocked_at=ledger.clock(),
                blocked_by=staff,
            )
        )
    return account_standing(ledger, account_id)


def lift(
    ledger: Ledger, account_id: str, note: str, staff: str, roles: Collection[str]
) -> Standing:
    """Lift the block in force; raise ``BlockRefused`` where there is none or the roles may not."""
    note = _note(note)
    with writing(ledger.engine) as session:
        row = _in_force(session, account_id)
        if row is None:
            raise BlockRefused("this account is not blocked by staff")
        may = BLOCK_REASONS[row.reason].lifted_by
        if not set(may) & set(roles):
            raise BlockRefused(f"this block can be lifted by {' or '.join(may)} only")
        row.lifted_at, row.lifted_by, row.lift_note = ledger.clock(), staff, note
        session.add(row)
    return account_standing(ledger, account_id)


def blocks_of(session: Session, account_id: str) -> list[BlockRow]:
    """All blocks of an account, the newest first."""
    query = select(BlockRow).where(col(BlockRow.account_id) == account_id)
    return list(session.execute(query.order_by(col(BlockRow.blocked_at).desc())).scalars())


def _in_force(session: Session, account_id: str) -> BlockRow | None:
    query = select(BlockRow).where(col(BlockRow.account_id) == account_id, IN_FORCE)
    row: BlockRow | None = session.execute(query).scalar()
    return row


def _note(note: str) -> str:
    note = note.strip()
    if not 1 <= len(note) <= NOTE_CHARS_MAX:
        raise BlockRefused(f"say why in 1 to {NOTE_CHARS_MAX} characters")
    return note


class StandingsFeed:
    """The deny list for gates that wait for the next version, looked up once for all of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._places = threading.Semaphore(WAITING_MAX)
        self._looked_at = float("-inf")
        self._found = Standings(0, ())

    def after(self, have: int, wait_s: float) -> Standings:
        """The list as soon as its version is not ``have``, after ``wait_s`` in any case.

        A request that waits keeps a thread of the server, so only some may; the others are
        answered at once and come again.
        """
        found = self._look(0.0)
        if found.version != have or wait_s <= 0 or not self._places.acquire(blocking=False):
            return found
        try:
            until = time.monotonic() + min(wait_s, WAIT_S_MAX)
            while found.version == have and (left := until - time.monotonic()) > 0:
                time.sleep(min(left, LOOK_EVERY_S))
                found = self._look(LOOK_EVERY_S / 2)
            return found
        finally:
            self._places.release()

    def _look(self, age_s_max: float) -> Standings:
        with self._lock:
            if time.monotonic() - self._looked_at >= age_s_max:
                self._found = standings(self._ledger)
                self._looked_at = time.monotonic()
            return self._found
