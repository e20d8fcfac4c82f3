"""Every kind of entry that the code can write is described, with the bytes of one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.console import words
from ledger.entries import Draft, EntryUnknown, contents, decode
from ledger.kinds import KINDS
from ledger.postings import Posting, check_balanced
from ledger.shapes import EntryShape
from models.log.tree import leaf_hash, root
from models.money import Money
from tests.entry_examples import NOON, ZERO, example_log

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "ledger-format.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"### {title}\n")[2].partition("\n## ")[0]


def test_a_kind_that_is_not_described_is_not_written() -> None:
    with pytest.raises(EntryUnknown, match=r"'present' is no kind of entry; describe it"):
        contents(Draft("present", str(uuid4()), NOON, ZERO, ()))


def test_the_page_describes_every_kind_that_can_be_written_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", section("Kinds"), re.MULTILINE)
    assert dict(rows[1:]) == KINDS  # the first is the head


def test_every_kind_has_a_word_on_the_pages() -> None:
    assert KINDS.keys() - words._WORDS.keys() == set()


def test_the_interfaces_document_has_every_kind_and_its_shape_fits() -> None:
    assert EntryShape.model_json_schema()["properties"]["kind"]["enum"] == list(KINDS)
    for body in example_log():
        EntryShape.model_validate_json(body)


def test_the_examples_are_the_bytes_that_the_code_makes() -> None:
    kept = (DOCS / "verify" / "entries.jsonl").read_bytes().splitlines()
    assert kept == example_log(), "run: python -m tests.entry_examples > docs/verify/entries.jsonl"
    assert {decode(body)["kind"] for body in kept} == KINDS.keys()
    assert root(map(leaf_hash, kept)).hex() in PAGE
    assert next(body for body in kept if b'"cash_deposit"' in body).decode() in PAGE


def test_the_examples_are_a_log_that_adds_up() -> None:
    prev = bytes(32).hex()
    for seq, body in enumerate(example_log()):
        value = decode(body)
        assert (value["seq"], value["prev"]) == (seq, prev)
        check_balanced(
            [Posting(p["account"], Money(p["minor"], p["currency"])) for p in value["postings"]]
        )
        prev = leaf_hash(body).hex()


def test_every_member_of_an_example_is_on_the_page() -> None:
    table = PAGE.partition("| member | in | meaning |")[2].partition("\n\n")[0]
    described = set(re.findall(r"`([a-z_]+)`", " ".join(
        row.split("|")[1] for row in table.splitlines() if row.count("|") >= 3
    )))  # fmt: skip
    members = {name for body in example_log() for name in json.loads(body)}
    assert members <= described
