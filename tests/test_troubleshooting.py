"""docs/troubleshooting.md quotes messages; each must be one that the program can say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
PACKAGES = ("models", "gate", "enrollment", "ledger", "facefare")
QUOTED = re.compile(r"^\| `([^`]*[a-z] [^`]*)`", re.MULTILINE)


def quoted(page: str) -> list[str]:
    """The messages in the first column of the tables."""
    return QUOTED.findall(page)


def sentences() -> list[str]:
    """Every text in the source, with … for what is filled in."""
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                    found.append("".join(map(str, parts)))
    return found


SENTENCES = sentences()


def is_said(message: str) -> bool:
    """Does one text of the source hold the message's parts, one after the other?"""
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)
    return any(pattern.search(sentence) for sentence in SENTENCES)


@pytest.mark.parametrize("message", quoted(PAGE.read_text(encoding="utf-8")))
def test_the_program_can_say(message: str) -> None:
    assert is_said(message)


def test_messages_are_found_on_the_page_at_all() -> None:
    assert len(quoted(PAGE.read_text(encoding="utf-8"))) > 25


def test_a_message_nobody_says_is_found() -> None:
    assert not is_said("the log has … entries and all is well")
