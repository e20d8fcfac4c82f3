"""docs/troubleshooting.md is read with a message in hand: the code says each of them."""

from __future__ import annotations

import ast
import functools
import re

from tests.test_docs import ROOT

PACKAGES = ("models", "gate", "enrollment", "ledger", "facefare")
GAP = re.compile(r"%\(\w+\)s|\{[^{}]*\}")
"""Where a name or a number is put into a message; the page writes … there."""


def text_of(node: ast.AST) -> str | None:
    """The text of a string in the source, … for what is put into it; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(GAP.sub("…", node.value).split())
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return " ".join("".join(map(str, parts)).split())
    return None


@functools.cache
def said() -> str:
    """Every text in the code, one a line."""
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            found += [text for node in nodes if (text := text_of(node))]
    return "\n".join(found)


def messages() -> list[str]:
    """What stands in code letters in the first column of the page's tables."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def unsaid(message: str) -> list[str]:
    """The pieces of a message between its gaps that no text of the code has."""
    pieces = (piece.strip(" :;,") for piece in message.split("…"))
    return [piece for piece in pieces if len(piece) > 3 and piece not in said()]


def test_every_message_is_one_that_the_code_says() -> None:
    assert len(messages()) > 30
    assert {message: unsaid(message) for message in messages() if unsaid(message)} == {}


def test_a_message_that_nothing_says_is_found() -> None:
    assert unsaid("the tap … was eaten by the gate") == ["was eaten by the gate"]
