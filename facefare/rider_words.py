"""The ledger's sentences in the rider's language.

Entries and standings say why in English sentences, because they are signed and shown to all
alike. They are made from a few known sentences with values in them; here they are recognised
again and said in Chinese. A sentence that is not known stays as it is: nothing is guessed.
"""

from __future__ import annotations

import re
from functools import cache

from ledger.fares.words import SENTENCES

STANDINGS = (
    (
        "The balance is {balance}; top up at least {amount} to ride again.",
        "余额为 {balance}；至少充值 {amount} 后方可再次乘车。",
    ),
    (
        "The balance is {balance}; the next ride will be on credit.",
        "余额为 {balance}；下次乘车将先记账。",
    ),
    ("The balance is {balance}.", "余额为 {balance}。"),
)
"""What ``ledger.fares.standing`` says; a test holds the two together."""

_END = re.compile(r"\.(?: |$)")  # of a sentence, or of an abbreviation such as "St."


def say(words: str, language: str) -> str:
    """``words`` in ``language``: as they are but for Chinese."""
    if not language.startswith("zh"):
        return words
    said = _in_chinese(words)
    return words if said is None else said


def _in_chinese(words: str) -> str | None:
    """All sentences in Chinese, or None where one is not known."""
    if not words:
        return ""
    for end in _END.finditer(words):
        first = _sentence(words[: end.end()].rstrip())
        rest = None if first is None else _in_chinese(words[end.end() :])
        if first is not None and rest is not None:
            return first + rest
    return None


def _sentence(english: str) -> str | None:
    for pattern, chinese in _patterns():
        match = pattern.fullmatch(english)
        if match is not None:
            return chinese.format(**match.groupdict())
    return None


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """English patterns with their Chinese, those with the most words of their own first."""
    pairs = sorted((*SENTENCES.values(), *STANDINGS), key=lambda pair: -len(_own_words(pair[0])))
    return [(_pattern(english), chinese) for english, chinese in pairs]


def _own_words(english: str) -> str:
    return re.sub(r"\{\w+\}", "", english)


def _pattern(english: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\{\w+\})", english):
        name = part[1:-1]
        if not part.startswith("{"):
            parts.append(re.escape(part))
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>.+?)")
    return re.compile("".join(parts))
