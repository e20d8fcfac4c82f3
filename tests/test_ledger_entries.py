"""Entries: balanced, canonical, numbered without gaps, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from ledger.entries import Draft, EntryUnreadable, commitment, decode, encode
from ledger.ledger import Ledger
from ledger.nodes import TreeIncomplete, frontier_after, frontier_at
from ledger.postings import Posting, Unbalanced, check_balanced, transfer
from ledger.store import LogWriter
from models.database import reading, writing
from models.log.tree import leaf_hash, root
from models.money import Money
from models.tables.ledger import EntryRow, NodeRow, PostingRow
from models.wire.canonical import canonical_bytes
from tests.town import NOON, Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def draft(entry_id: str, minor: int = 200, debit: str = "assets:bank") -> Draft:
    amount = Money(minor, "CNY")
    postings = transfer(amount, debit=debit, credit="income:fares:metro")
    return Draft("goodwill", entry_id, NOON, amount, postings)


def append(town: Town, *drafts: Draft) -> list[int]:
    with writing(town.ledger.engine) as session:
        writer = LogWriter(session, town.ledger.clock())
        numbers = [writer.append(one) for one in drafts]
        writer.save()
    return numbers


def rows(town: Town) -> list[EntryRow]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(EntryRow).order_by(EntryRow.seq)))


def test_every_posting_pair_sums_to_zero() -> None:
    check_balanced(transfer(Money(5, "CNY"), debit="a", credit="b"))
    check_balanced(())


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=5).filter(lambda m: sum(m) != 0))
def test_postings_that_do_not_sum_to_zero_are_refused(amounts: list[int]) -> None:
    with pytest.raises(Unbalanced, match="nothing was recorded"):
        check_balanced([Posting("a", Money(minor, "CNY")) for minor in amounts])


def test_currencies_do_not_balance_each_other() -> None:
    with pytest.raises(Unbalanced):
        check_balanced([Posting("a", Money(1, "CNY")), Posting("b", Money(-1, "EUR"))])


def test_an_unbalanced_entry_is_not_recorded(town: Town) -> None:
    wrong = Draft("goodwill", "x", NOON, Money(2, "CNY"), (Posting("a", Money(2, "CNY")),))
    with pytest.raises(Unbalanced):
        append(town, draft("good"), wrong)
    assert rows(town) == []


def test_entries_are_numbered_from_zero_and_name_the_one_before(town: Town) -> None:
    assert append(town, draft("a"), draft("b")) == [0, 1]
    assert append(town, draft("c")) == [2]
    found = rows(town)
    assert found[0].prev == bytes(32)
    for before, after in pairwise(found):
        assert after.prev == before.leaf_hash == leaf_hash(before.body)
        assert json.loads(after.body)["prev"] == before.leaf_hash.hex()


def test_the_stored_bytes_are_canonical_json(town: Town) -> None:
    town.rides(1)
    (row,) = rows(town)
    assert canonical_bytes(json.loads(row.body)) == row.body


@given(
    st.recursive(
        st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.none() | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abcdefghij_", max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_entries_are_spelled_as_rfc_8785_spells_them(value: object) -> None:
    entry = {"member": value}
    try:
        expected = canonical_bytes(entry)
    except UnicodeEncodeError:
        return  # a lone surrogate has no bytes in either
    assert encode(entry) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"v":2}', b'{"v": 1}', b'{"v":1,"a":0}', b'{"v":1,"v":1}', b'{"v":1.0}',
     b'{"v":true}', b'{"a":NaN,"v":1}', b'{"a":1e3,"v":1}',
     b'{"v":1}\n', b"\xff", b"[" * 9999],
)  # fmt: skip
def test_bytes_that_are_not_a_canonical_entry_are_refused(body: bytes) -> None:
    with pytest.raises(EntryUnreadable):
        decode(body)


def test_an_entry_is_smaller_than_a_bundle_can_carry() -> None:
    with pytest.raises(EntryUnreadable, match="65535"):
        encode({"words": "x" * 70_000})


def test_a_commitment_needs_the_key_and_the_id() -> None:
    made = commitment(b"k" * 32, "ride")
    assert len(made) == 64
    assert made != commitment(b"K" * 32, "ride")
    assert made != commitment(b"k" * 32, "other ride")


def test_a_clock_that_was_set_back_does_not_date_entries_back(town: Town) -> None:
    append(town, draft("a"))
    town.clock.now -= timedelta(days=1)
    append(town, draft("b"))
    first, second = rows(town)
    assert second.recorded_at == first.recorded_at


NEW_ENTRY = (
    "INSERT INTO entry SELECT {seq}, 'new', kind, body, x'01', {prev}, recorded_at, occurred_at, "
    "amount_minor, currency, gate, station, direction, medium, rule, NULL, corrects, "
    "account_id, made_by FROM entry WHERE seq = 1"
)


def test_the_schema_takes_the_next_entry_that_names_the_one_before(town: Town) -> None:
    town.rides(2)
    with writing(town.ledger.engine) as session:
        session.execute(text(NEW_ENTRY.format(seq=2, prev="leaf_hash")))
    assert len(rows(town)) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET amount_minor = 1",
        "UPDATE entry SET body = x'00'",
        "UPDATE entry SET account_id = 'another'",
        "UPDATE entry SET made_by = 'another'",
        "UPDATE entry SET seq = 7 WHERE seq = 1",
        "DELETE FROM entry",
        "UPDATE posting SET minor = 0",
        "UPDATE posting SET account_id = 'another'",
        "DELETE FROM posting",
        "INSERT OR REPLACE INTO entry SELECT * FROM entry WHERE seq = 0",
        "INSERT OR REPLACE INTO posting SELECT * FROM posting",
        NEW_ENTRY.format(seq=2, prev="leaf_hash")
        .replace("INSERT", "INSERT OR REPLACE")
        .replace("'new'", "entry_id"),
        NEW_ENTRY.format(seq=9, prev="leaf_hash"),
        NEW_ENTRY.format(seq=2, prev="prev"),
        NEW_ENTRY.format(seq=2, prev="zeroblob(32)"),
    ],
)
def test_the_schema_refuses_to_change_what_is_recorded(town: Town, statement: str) -> None:
    account = town.account()
    town.rides(2, account)
    with pytest.raises(IntegrityError), writing(town.ledger.engine) as session:
        session.execute(text(statement))
    assert len(rows(town)) == 2


def test_the_schema_refuses_to_change_a_tree_node(town: Town) -> None:
    append(town, *(draft(str(number)) for number in range(256)))
    for statement in ("UPDATE node SET hash = x'00'", "DELETE FROM node"):
        with pytest.raises(IntegrityError), writing(town.ledger.engine) as session:
            session.execute(text(statement))


def test_the_schema_lets_an_account_be_forgotten(town: Town) -> None:
    town.rides(1)
    with writing(town.ledger.engine) as session:
        for name in ("entry", "posting"):
            session.execute(text(f"UPDATE {name} SET account_id = NULL"))
    (row,) = rows(town)
    assert row.account_id is None


def test_two_entries_cannot_have_one_id(town: Town) -> None:
    append(town, draft("a"))
    with pytest.raises(IntegrityError):
        append(town, draft("a"))


def test_the_tree_is_taken_up_without_reading_the_whole_log(town: Town) -> None:
    for start in range(0, 1400, 200):
        append(town, *(draft(str(number)) for number in range(start, start + 200)))
    leaves = [row.leaf_hash for row in rows(town)]
    with reading(town.ledger.engine) as session:
        assert len(session.exec(select(NodeRow)).all()) == 1400 // 256
        for size in (0, 1, 255, 256, 257, 511, 512, 1000, 1399, 1400):
            assert frontier_at(session, size).root() == root(leaves[:size])
    with writing(town.ledger.engine) as session:
        session.execute(text("DROP TRIGGER entry_is_not_deleted"))
        session.execute(text("DROP TRIGGER posting_is_not_deleted"))
        session.execute(text("DELETE FROM posting WHERE entry_seq < 1280"))
        session.execute(text("DELETE FROM entry WHERE seq < 1280"))
    with reading(town.ledger.engine) as session:  # still there: nothing of that was read
        assert frontier_at(session, 1400).root() == root(leaves)


def edge_is_right(town: Town) -> bool:
    leaves = [row.leaf_hash for row in rows(town)]
    with reading(town.ledger.engine) as session:
        return frontier_after(session, len(leaves), leaves[-1]).root() == root(leaves)


@pytest.fixture
def elsewhere(town: Town) -> Iterator[Town]:
    """The same ledger as another process has it open."""
    other = replace(town, ledger=Ledger.open(town.data))
    yield other
    other.ledger.engine.dispose()


@pytest.mark.parametrize("added", [0, 1, 3, 300])
def test_the_edge_goes_on_from_what_the_connection_saw(
    town: Town, elsewhere: Town, added: int
) -> None:
    append(town, draft("first"))
    assert edge_is_right(town)
    append(elsewhere, *(draft(f"more-{number}") for number in range(added)))
    assert edge_is_right(town)


def test_what_was_taken_back_is_not_in_the_edge(town: Town, elsewhere: Town) -> None:
    append(town, draft("first"))
    with pytest.raises(ZeroDivisionError), writing(town.ledger.engine) as session:
        writer = LogWriter(session, town.ledger.clock())
        writer.append(draft("taken back"))
        writer.save()
        LogWriter(session, town.ledger.clock())  # sees what will not have been
        _ = 1 / 0
    append(elsewhere, draft("in its place"))
    assert edge_is_right(town)


@pytest.mark.parametrize(("fewer", "more"), [(3, 3), (2, 1), (1, 2)])
def test_a_copy_that_was_put_back_and_went_on_otherwise_has_its_own_edge(
    town: Town, elsewhere: Town, fewer: int, more: int
) -> None:
    append(town, *(draft(f"{number}") for number in range(8)))
    assert edge_is_right(town)
    with writing(elsewhere.ledger.engine) as session:
        for table in ("posting", "entry"):
            session.execute(text(f"DROP TRIGGER {table}_is_not_deleted"))
        session.execute(text(f"DELETE FROM posting WHERE entry_seq >= {8 - fewer}"))
        session.execute(text(f"DELETE FROM entry WHERE seq >= {8 - fewer}"))
    append(elsewhere, *(draft(f"otherwise-{number}") for number in range(more)))
    assert edge_is_right(town)


def test_a_tree_with_missing_rows_cannot_be_taken_up(town: Town) -> None:
    append(town, draft("a"))
    with reading(town.ledger.engine) as session, pytest.raises(TreeIncomplete):
        frontier_at(session, 2)


def test_an_entry_of_nothing_has_no_postings(town: Town) -> None:
    append(town, draft("free", 0))
    with reading(town.ledger.engine) as session:
        assert session.exec(select(PostingRow)).all() == []
