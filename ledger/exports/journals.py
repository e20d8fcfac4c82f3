"""The books as a plain-text journal, for hledger or beancount to check without us.

    account Assets:Cash-desk                       hledger
    2026-11-22 * (0) top_up
        ; id: 7f3c…
        Assets:Cash-desk  20.00 CNY
        Liabilities:Rider  -20.00 CNY
    2026-11-22 * end of day
        Assets:Cash-desk  0.00 CNY = 20.00 CNY

    2026-11-22 * "top_up" ""                       beancount
      seq: 0
      Assets:Cash-desk  20.00 CNY
      Liabilities:Rider  -20.00 CNY
    2026-11-23 balance Assets:Cash-desk  20.00 ~ 0 CNY

The transactions come from the entries, the assertions from the roll-ups: two books that were
kept apart, which the reader compares, exactly. Beancount would let a wrong minor unit pass,
so each assertion says that it tolerates nothing. A journal that does not begin with the first
day begins with what the accounts held. Entries that move nothing are left out.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import IO

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.exports.lines import (
    Entry,
    ExportRefused,
    ShowProgress,
    Span,
    decimals,
    plain_amount,
    read_entries,
)
from models.tables.reconcile import PostingTotalRow

Balances = dict[tuple[str, str], int]
"""Minor units by account and currency."""


def journal_account(account: str) -> str:
    """Our name of an account as both programs take it: each part begins with a capital or digit.

    ``assets:psp_clearing`` is ``Assets:Psp-clearing``. Lower-case letters and digits stand for
    themselves, ``_`` is ``-``, and anything else is ``X`` with its number.
    """
    return ":".join(_part(part) for part in account.split(":"))


def _part(part: str) -> str:
    if not part:
        raise ExportRefused("an account has an empty part in its name")
    first = part[0].upper() if re.match(r"[a-z0-9]", part) else _escaped(part[0])
    return first + "".join(
        char if re.match(r"[a-z0-9]", char) else "-" if char == "_" else _escaped(char)
        for char in part[1:]
    )


def _escaped(char: str) -> str:
    return f"X{ord(char):04X}"


def names_of(accounts: list[str]) -> dict[str, str]:
    """The journal's name of each account; raise ``ExportRefused`` should two be the same."""
    names = {account: journal_account(account) for account in accounts}
    if len(set(names.values())) != len(names):
        raise ExportRefused("two accounts would have one name in a journal; export CSV instead")
    return names


class Journal(ABC):
    """How one of the two programs wants things written."""

    @abstractmethod
    def heading(self, opened: str, names: list[str], currencies: list[str]) -> Iterator[str]:
        """Declare accounts and currencies."""

    @abstractmethod
    def begin(self, entry: Entry) -> Iterator[str]:
        """The head of a transaction, before its postings."""

    @abstractmethod
    def end_of_day(self, day: str, balances: Mapping[tuple[str, str], int]) -> Iterator[str]:
        """Assert what accounts hold at the end of ``day``."""

    def posting(self, name: str, minor: int, currency: str) -> str:
        """One posting of a transaction."""
        return f"    {name}  {plain_amount(minor, currency)} {currency}\n"


class Hledger(Journal):
    """hledger; ``hledger check -s`` wants everything declared."""

    def heading(self, opened: str, names: list[str], currencies: list[str]) -> Iterator[str]:
        for currency in currencies:
            yield f"commodity 1000.{'0' * decimals(currency)} {currency}\n"
        yield from (f"account {name}\n" for name in names)

    def begin(self, entry: Entry) -> Iterator[str]:
        yield f"\n{entry['day']} * ({entry['seq']}) {_plain(_what(entry))}\n"
        yield f"    ; id: {_plain(entry['id'])}\n"

    def end_of_day(self, day: str, balances: Mapping[tuple[str, str], int]) -> Iterator[str]:
        yield f"\n{day} * end of day\n"
        for (name, currency), minor in balances.items():
            nothing, held = plain_amount(0, currency), plain_amount(minor, currency)
            yield f"    {name}  {nothing} {currency} = {held} {currency}\n"


class Beancount(Journal):
    """beancount; a balance is what there was before the day named."""

    def heading(self, opened: str, names: list[str], currencies: list[str]) -> Iterator[str]:
        yield from (f"{opened} open {name}\n" for name in names)

    def begin(self, entry: Entry) -> Iterator[str]:
        rule = entry["rule"]["code"] if "rule" in entry else ""
        yield f"\n{entry['day']} * {_quoted(entry['kind'])} {_quoted(rule)}\n"
        yield f"  seq: {entry['seq']}\n  id: {_quoted(entry['id'])}\n"

    def end_of_day(self, day: str, balances: Mapping[tuple[str, str], int]) -> Iterator[str]:
        following = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        yield "\n"
        for (name, currency), minor in balances.items():
            yield f"{following} balance {name}  {plain_amount(minor, currency)} ~ 0 {currency}\n"


def _what(entry: Entry) -> str:
    rule = entry["rule"]["code"] if "rule" in entry else ""
    return f"{entry['kind']}, {rule}" if rule else str(entry["kind"])


def _plain(text: str) -> str:
    """Text that ends no line and begins no comment or payee."""
    return re.sub(r"[^A-Za-z0-9_ :,./+-]", " ", text)


def _quoted(text: str) -> str:
    """Text in quotation marks, which ends no line."""
    plain = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_journal(
    path: Path, session: Session, span: Span, how: Journal, progress: ShowProgress
) -> int:
    """Write a journal of the days of ``span`` to ``path``; return how many postings it has."""
    days = _totals(session, span)
    names = names_of(sorted({account for moved in days.values() for account, _ in moved}))
    with path.open("w", encoding="utf-8") as file:
        currencies = sorted({currency for moved in days.values() for _, currency in moved})
        first = span.first or min(filter(None, days), default="1970-01-01")
        file.writelines(how.heading(first, sorted(names.values()), currencies))
        count = _write_opening(file, how, first, days.pop("", {}), names)
        for entry in read_entries(session, span, progress):
            if entry["postings"]:
                file.writelines(how.begin(entry))
                for posting in entry["postings"]:
                    name = names[posting["account"]]
                    file.write(how.posting(name, posting["minor"], posting["currency"]))
                    count += 1
        file.writelines(_assertions(session, span, how, names))
    return count


def _totals(session: Session, span: Span) -> dict[str, Balances]:
    """What was posted on each day of the span; what came before it is under ''."""
    row = (col(PostingTotalRow.day), col(PostingTotalRow.account),
           col(PostingTotalRow.currency), col(PostingTotalRow.minor))  # fmt: skip
    query = select(*row).order_by(*row[:3])
    if span.last:
        query = query.where(row[0] <= span.last)
    found: dict[str, Balances] = {}
    for day, account, currency, minor in session.execute(query):
        moved = found.setdefault(day if span.has(day) else "", {})
        moved[account, currency] = moved.get((account, currency), 0) + minor
    return found


def _write_opening(
    file: IO[str], how: Journal, first: str, held: Balances, names: Mapping[str, str]
) -> int:
    """What the accounts held before the first day, as one transaction."""
    held = {key: minor for key, minor in held.items() if minor}
    if held:
        file.writelines(how.begin({"day": first, "seq": 0, "kind": "opening", "id": ""}))
        for (account, currency), minor in held.items():
            file.write(how.posting(names[account], minor, currency))
    return len(held)


def _assertions(
    session: Session, span: Span, how: Journal, names: Mapping[str, str]
) -> Iterator[str]:
    """At the end of each day, what the accounts hold that moved on it."""
    days = _totals(session, span)
    held: Balances = dict(days.pop("", {}))
    for day, moved in days.items():
        for key, minor in moved.items():
            held[key] = held.get(key, 0) + minor
        yield from how.end_of_day(
            day, {(names[account], currency): held[account, currency]
                  for account, currency in moved}
        )  # fmt: skip
