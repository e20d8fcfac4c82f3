"""Whatever strangers send, a reader answers or says why not: no other exception, no hang."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest
from fuzz.mutate import mutate
from fuzz.targets import targets

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
ROUNDS = 20_000 if os.environ.get("FACEFARE_TEST_ALL") else 400
SECONDS_MAX = 1.0
"""No input of a few kilobytes may take longer."""


@pytest.mark.parametrize("name", sorted(targets()))
def test_damaged_input_is_answered_with_a_sentence(name: str) -> None:
    target, random = targets()[name], Random(name)
    slowest = 0.0
    for number in range(ROUNDS):
        data = mutate(random.choice(target.seeds), random)
        started = time.thread_time()
        try:
            target.run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            pytest.fail(f"{name}, round {number}: {type(error).__name__}: {error}\n{data[:300]!r}")
        slowest = max(slowest, time.thread_time() - started)
    assert slowest < SECONDS_MAX


@pytest.mark.parametrize("name", sorted(targets()))
def test_the_seeds_themselves_are_read(name: str) -> None:
    for seed in targets()[name].seeds:
        targets()[name].run(seed)


@pytest.mark.parametrize("name", sorted(targets()))
def test_every_input_that_was_once_a_finding_stays_answered(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        targets()[name].run(path.read_bytes())


def test_a_reader_that_stumbles_is_found() -> None:
    def stumbles(data: bytes) -> object:
        return 1 // (len(data) - len(data))

    from fuzz.target import Target

    with pytest.raises(ZeroDivisionError):
        Target(stumbles, (b"x",)).run(b"x")
