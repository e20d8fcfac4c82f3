"""Whatever strangers send, a reader answers or says why not: no other exception, no hang."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from random import Random

import pytest
from fuzz.mutate import mutate
from fuzz.targets import targets

from models.errors import FacefareError

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
ROUNDS = 20_000 if os.environ.get("FACEFARE_TEST_ALL") else 400
SECONDS_MAX = 1.0
"""No input of a few kilobytes may take longer."""
MEMORY_MB_MAX = 256
"""Nor may any make the process grow by more."""


@pytest.mark.parametrize("name", sorted(targets()))
def test_damaged_input_is_answered_with_a_sentence(name: str) -> None:
    target, random = targets()[name], Random(name)
    slowest, memory_mb = 0.0, _memory_mb()
    for number in range(ROUNDS):
        data = mutate(random.choice(target.seeds + target.odd), random)
        started = time.thread_time()
        try:
            target.run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            pytest.fail(f"{name}, round {number}: {type(error).__name__}: {error}\n{data[:300]!r}")
        slowest = max(slowest, time.thread_time() - started)
    assert slowest < SECONDS_MAX
    assert _memory_mb() - memory_mb < MEMORY_MB_MAX


def _memory_mb() -> float:
    """The most this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", sorted(targets()))
def test_the_seeds_themselves_are_read_and_the_odd_ones_refused(name: str) -> None:
    target = targets()[name]
    for seed in target.seeds:
        target.read(seed)
    for odd in target.odd:
        with pytest.raises(FacefareError):
            target.read(odd)


@pytest.mark.parametrize("name", sorted(targets()))
def test_every_kept_input_is_answered_in_time(name: str) -> None:
    """Those that were once a finding, and the smallest set by which fuzzing reached all it did."""
    for path in sorted((CORPUS / name).glob("*")):
        started = time.thread_time()
        targets()[name].run(path.read_bytes())
        assert time.thread_time() - started < SECONDS_MAX, path.name


def test_a_reader_that_stumbles_is_found() -> None:
    def stumbles(data: bytes) -> object:
        return 1 // (len(data) - len(data))

    from fuzz.target import Target

    with pytest.raises(ZeroDivisionError):
        Target(stumbles, (b"x",)).run(b"x")
