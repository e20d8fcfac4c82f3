"""Rider accounts: a pseudonym, a balance, and a key that can be taken away.

The key makes the commitments in the account's entries. Erasing the key and the account
columns leaves a log that still verifies and no longer says whose rides they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlmodel import Session

from ledger.categories import ADULT, record_category
from ledger.ledger import Ledger
from models.database import reading, writing
from models.errors import FacefareError
from models.money import Money
from models.tables.ledger import AccountRow, FareStateRow
from models.vault import Vault

_ACCOUNT_ID = re.compile(r"[0-9a-f]{32}")


class AccountError(FacefareError):
    """An account that cannot be opened or found."""


def key_name(account_id: str) -> str:
    """The name of the account's commitment key in the vault."""
    return f"account:{account_id}"


def account_keys(vault: Vault, accounts: Iterable[str]) -> dict[str, bytes]:
    """The commitment keys of those ``accounts`` that have one."""
    names = {key_name(account_id): account_id for account_id in accounts}
    return {names[name]: key for name, key in vault.keys(names).items()}


def open_account(ledger: Ledger, account_id: str, category: str = ADULT) -> None:
    """Open the account ``account_id`` (32 hex digits) for a rider of this ``category``.

    Opening it again changes nothing.
    """
    if not _ACCOUNT_ID.fullmatch(account_id):
        raise AccountError(f"{account_id!r} is not an account id of 32 hex digits")
    ledger.vault.create(key_name(account_id))
    now = ledger.clock()
    with writing(ledger.engine) as session:
        if session.get(AccountRow, account_id) is not None:
            return
        session.add(
            AccountRow(
                account_id=account_id,
                currency=ledger.settings.currency,
                opened_at=now,
                changed_at=now,
            )
        )
        session.add(FareStateRow(account_id=account_id))
        if category != ADULT:
            record_category(session, ledger.fares.book(session), account_id, category, now)


def find_account(session: Session, account_id: str, currency: str) -> AccountRow:
    """The account's row; raise ``AccountError`` where there is none in this ``currency``."""
    account = session.get(AccountRow, account_id)
    if account is None:
        raise AccountError(f"there is no account {account_id}; it was never opened, or erased")
    if account.currency != currency:
        raise AccountError(f"the account {account_id} is kept in {account.currency}")
    return account


def balance(ledger: Ledger, account_id: str) -> Money:
    """What we owe the rider; negative when the rider owes us."""
    with reading(ledger.engine) as session:
        account = find_account(session, account_id, ledger.settings.currency)
        return Money(account.balance_minor, account.currency)
