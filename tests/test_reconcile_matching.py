"""Pairs are made by the surest rule, and never by a guess."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reconcile.differences import bucket
from ledger.reconcile.matching import Claim, match_processor
from ledger.reconcile.matching_bank import match_bank
from ledger.reconcile.statements.lines import Kind, Line, payout_named


def claim(name: str, minor: int, day: str = "2026-11-22", **more: str) -> Claim:
    kind = more.pop("kind", "top_up")
    return Claim(name, kind, minor, more.pop("currency", "CNY"), day, more.get("corrects"))


def item(name: str, gross: int, day: str = "2026-11-22", **more: Any) -> Line:
    kind: Kind = more.get("kind", "charge")
    return Line(1, name, kind, gross, 0, more.get("currency", "CNY"), day, more.get("own_id"),
                more.get("reference"))  # fmt: skip


def payout(name: str, minor: int, day: str = "2026-11-22", currency: str = "CNY") -> Line:
    return Line(1, f"s:{name}", "payout", -minor, 0, currency, day, payout_id=name)


def deposit(slip: str, minor: int, day: str = "2026-11-22") -> Line:
    return Line(0, f"e:{slip}", "deposit", -minor, 0, "CNY", day, payout_id=slip)


def receipt(name: str, minor: int, words: str = "", day: str = "2026-11-23") -> Line:
    return Line(1, name, "receipt", minor, 0, "CNY", day, words=words,
                payout_id=payout_named(words))  # fmt: skip


def processor_pairs(claims: list[Claim], items: list[Line]) -> list[tuple[str, str, str]]:
    return [(p.left, p.right, p.rule) for p in match_processor(claims, items).pairs]


def bank_pairs(payouts: list[Line], receipts: list[Line]) -> list[tuple[str, str, str]]:
    return [(p.left, p.right, p.rule) for p in match_bank(payouts, receipts).pairs]


def test_our_own_id_pairs_whatever_the_amount_and_the_day() -> None:
    found = processor_pairs([claim("a", 100)], [item("1", 90, "2026-12-30", own_id="a")])
    assert found == [("a", "1", "own_id")]


@pytest.mark.parametrize(
    "line",
    [item("1", 100, own_id="a", currency="EUR"), item("1", 100, own_id="a", kind="refund"),
     item("1", 100, own_id="b")],
)  # fmt: skip
def test_an_id_pairs_only_the_same_sort_of_money(line: Line) -> None:
    assert processor_pairs([claim("a", 100)], [line]) == []


def test_a_refund_is_told_by_its_charge_and_amount() -> None:
    claims = [claim("r", -50, kind="card_refund", corrects="a"),
              claim("c", -50, kind="chargeback", corrects="a")]  # fmt: skip
    lines = [item("1", -50, kind="chargeback", reference="a"),
             item("2", -50, kind="refund", reference="a"),
             item("3", -49, kind="refund", reference="a"),
             item("4", -50, kind="refund", reference="b")]  # fmt: skip
    assert processor_pairs(claims, lines) == [
        ("c", "1", "charge_and_amount"), ("r", "2", "charge_and_amount"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "lines", "pairs"),
    [
        ([claim("a", 100)], [item("1", 100, "2026-11-29")], 1),
        ([claim("a", 100)], [item("1", 100, "2026-11-30")], 0),
        ([claim("a", 100), claim("b", 100)], [item("1", 100)], 0),
        ([claim("a", 100)], [item("1", 100), item("2", 100)], 0),
        ([claim("a", 100), claim("b", 100, "2026-10-01")], [item("1", 100)], 1),
        ([claim("a", 100)], [item("1", 101)], 0),
    ],
)
def test_amount_and_date_need_that_nobody_else_could_be_meant(
    claims: list[Claim], lines: list[Line], pairs: int
) -> None:
    assert len(processor_pairs(claims, lines)) == pairs


def test_a_report_without_any_id_pairs_only_what_stands_alone() -> None:
    claims = [claim(f"c{n}", 500) for n in range(20_000)] + [claim("odd", 777)]
    lines = [item(f"i{n}", 500) for n in range(20_000)] + [item("1", 777)]
    assert processor_pairs(claims, lines) == [("odd", "1", "amount_and_date")]


def test_a_sure_pair_leaves_the_other_alone_to_be_told_by_amount() -> None:
    claims = [claim("a", 100), claim("b", 100)]
    assert processor_pairs(claims, [item("1", 100, own_id="a"), item("2", 100)]) == [
        ("a", "1", "own_id"), ("b", "2", "amount_and_date"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words", ["STRIPE po_1AbcdEF00", "stripe PO 1ABCD EF00/X", "x/PO1ABCDEF00"]
)
def test_a_bank_may_spell_a_payouts_id_its_own_way(words: str) -> None:
    payouts = [payout("po_1AbcdEF00", 500), payout("po_1OTHER0001", 500)]
    assert bank_pairs(payouts, [receipt("b", 499, words)]) == [
        ("s:po_1AbcdEF00", "b", "payout_id")
    ]  # fmt: skip


def test_a_short_id_must_be_a_word_of_its_own() -> None:
    assert bank_pairs([payout("p-9", 500)], [receipt("b", 400, "ref p-9 x")]) != []
    assert bank_pairs([payout("p-9", 500)], [receipt("b", 400, "ref p-99 x")]) == []


def test_split_and_merged_payouts_are_told_by_their_ids() -> None:
    one, two = payout("po_1ONE00001", 500), payout("po_1TWO00002", 300)
    both = receipt("b", 800, "po_1ONE00001 po_1TWO00002")
    assert bank_pairs([one, two], [both]) == [
        (one.line_id, "b", "merged_payout"), (two.line_id, "b", "merged_payout"),
    ]  # fmt: skip
    parts = [receipt("b", 200, "po_1ONE00001"), receipt("c", 300, "po_1ONE00001")]
    assert bank_pairs([one], parts) == [
        (one.line_id, "b", "split_payout"), (one.line_id, "c", "split_payout"),
    ]  # fmt: skip


def test_sums_without_ids_need_that_only_they_add_up() -> None:
    payouts = [payout("po_1ONE00001", 500), payout("po_1TWO00002", 300)]
    assert {rule for _, _, rule in bank_pairs(payouts, [receipt("b", 800)])} == {"sum_and_date"}
    ambiguous = [*payouts, payout("po_1THREE003", 600), payout("po_1FOUR0004", 200)]
    assert bank_pairs(ambiguous, [receipt("b", 800)]) == []
    assert bank_pairs(payouts[:1], [receipt("b", 200), receipt("c", 300)]) != []
    assert bank_pairs(payouts[:1], [receipt("b", 200), receipt("c", 301)]) == []


def test_a_second_receipt_of_a_payout_is_left_over() -> None:
    again = [receipt("b", 500, "po_1ONE00001"), receipt("c", 500, "po_1ONE00001")]
    found = match_bank([payout("po_1ONE00001", 500)], again)
    assert [pair.right for pair in found.pairs] == ["b"]


@given(
    st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_nothing_is_paired_twice_and_amounts_agree_without_an_id(
    sketch: list[tuple[int, bool]], rng: random.Random
) -> None:
    claims = [claim(f"c{n}", minor) for n, (minor, _) in enumerate(sketch)]
    lines = [item(f"i{n}", minor, own_id=f"c{n}") if known else item(f"i{n}", minor)
             for n, (minor, known) in enumerate(sketch)]  # fmt: skip
    rng.shuffle(claims)
    found = match_processor(claims, lines)
    lefts = [pair.left for pair in found.pairs]
    rights = [pair.right for pair in found.pairs]
    assert len(set(lefts)) == len(lefts) and len(set(rights)) == len(rights)
    # Equal amounts never hide a wrong pair: what was paired is what was meant.
    for pair in found.pairs:
        if pair.rule == "own_id":
            assert pair.left[1:] == pair.right[1:]
    assert {pair.right for pair in found.pairs} >= {
        f"i{n}" for n, (_, known) in enumerate(sketch) if known
    }


@pytest.mark.parametrize(
    ("age", "name"),
    [(0, "0-1"), (1, "0-1"), (2, "2-7"), (7, "2-7"), (8, "8-30"), (30, "8-30"), (31, ">30")],
)
def test_age_buckets(age: int, name: str) -> None:
    assert bucket(age) == name
