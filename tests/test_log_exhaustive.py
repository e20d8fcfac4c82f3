"""Nothing sampled: every size to 300, every proof, and every single bit of a 64-entry log.

The comparison is with RFC 6962's definitions written down once more, kept from being slow
by remembering roots, and with nothing of ours in it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.errors import FacefareError
from models.log.notes import Checkpoint, check_checkpoint, sign_checkpoint
from models.log.proofs import (
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
)
from models.log.receipts import Receipt, check_receipt
from models.log.tree import Frontier, leaf_hash

ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"
SIZE_MAX = 300
LOG_SIZE = 64
FILES_SIZE = LOG_SIZE if ALL else 9
ORIGIN = "fares.test/town"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()

ENTRIES = [f'{{"seq":{number},"v":1}}'.encode() for number in range(SIZE_MAX)]
LEAVES = [hashlib.sha256(b"\x00" + entry).digest() for entry in ENTRIES]


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end]), RFC 6962 section 2.1."""
    if end - start == 0:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return LEAVES[start]
    middle = start + split(end - start)
    return hashlib.sha256(b"\x01" + mth(start, middle) + mth(middle, end)).digest()


def split(size: int) -> int:
    half = 1
    while half * 2 < size:
        half *= 2
    return half


def path(index: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[n]), section 2.1.1; ``index`` counts from the whole log's beginning."""
    if end - start == 1:
        return []
    middle = start + split(end - start)
    if index < middle:
        return [*path(index, start, middle), mth(middle, end)]
    return [*path(index, middle, end), mth(start, middle)]


def subproof(old: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b), section 2.1.2."""
    if old == end:
        return [] if whole else [mth(start, end)]
    middle = start + split(end - start)
    if old <= middle:
        return [*subproof(old, start, middle, whole), mth(middle, end)]
    return [*subproof(old, middle, end, False), mth(start, middle)]


def node(level: int, position: int) -> bytes:
    return mth(position << level, (position + 1) << level)


def test_the_root_at_every_size_is_the_definitions() -> None:
    tree = Frontier()
    assert tree.root() == mth(0, 0)
    for size, entry in enumerate(ENTRIES, 1):
        tree.append(leaf_hash(entry))
        assert tree.root() == mth(0, size)


def test_every_inclusion_proof_at_every_size_is_the_definitions_and_checks() -> None:
    checked = 0
    for size in range(1, SIZE_MAX + 1):
        for index in range(size):
            proof = prove_inclusion(index, size, node)
            assert proof == path(index, 0, size)
            check_inclusion(LEAVES[index], index, size, proof, mth(0, size))
            checked += 1
    assert checked == SIZE_MAX * (SIZE_MAX + 1) // 2


def test_every_consistency_proof_between_two_sizes_is_the_definitions_and_checks() -> None:
    checked = 0
    for new in range(SIZE_MAX + 1):
        for old in range(new + 1):
            proof = prove_consistency(old, new, node)
            assert proof == (subproof(old, 0, new, True) if old else [])
            check_consistency(old, mth(0, old), new, mth(0, new), proof)
            checked += 1
    assert checked == (SIZE_MAX + 1) * (SIZE_MAX + 2) // 2


def flips(data: bytes) -> Iterator[bytes]:
    """``data`` with each of its bits flipped in turn."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def refused(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except FacefareError:
        return True
    return False


def test_every_flipped_bit_of_entry_path_and_root_is_refused() -> None:
    size, top, tried = LOG_SIZE, mth(0, LOG_SIZE), 0
    for index in range(size):
        proof = prove_inclusion(index, size, node)
        check_inclusion(leaf_hash(ENTRIES[index]), index, size, proof, top)
        for entry in flips(ENTRIES[index]):
            leaf = leaf_hash(entry)
            assert refused(check_inclusion, leaf, index, size, proof, top)
            tried += 1
        for wrong in flips(top):
            assert refused(check_inclusion, LEAVES[index], index, size, proof, wrong)
            tried += 1
        for place, value in enumerate(proof):
            for wrong in flips(value):
                changed = [*proof[:place], wrong, *proof[place + 1 :]]
                assert refused(check_inclusion, LEAVES[index], index, size, changed, top)
                tried += 1
    hashes = sum(len(path(index, 0, size)) + 1 for index in range(size))
    assert tried == 256 * hashes + 8 * sum(map(len, ENTRIES[:size]))


def test_every_flipped_bit_of_a_consistency_proof_and_its_roots_is_refused() -> None:
    new, top, tried = LOG_SIZE, mth(0, LOG_SIZE), 0
    for old in range(1, new + 1):
        proof, below = prove_consistency(old, new, node), mth(0, old)
        check_consistency(old, below, new, top, proof)
        for wrong in flips(below):
            assert refused(check_consistency, old, wrong, new, top, proof)
            tried += 1
        for wrong in flips(top):
            assert refused(check_consistency, old, below, new, wrong, proof)
            tried += 1
        for place, value in enumerate(proof):
            for wrong in flips(value):
                changed = [*proof[:place], wrong, *proof[place + 1 :]]
                assert refused(check_consistency, old, below, new, top, changed)
                tried += 1
    hashes = sum(len(subproof(old, 0, new, True)) + 2 for old in range(1, new + 1))
    assert tried == 256 * hashes


def utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None  # no text any more: nothing that reads a file as text accepts it


def test_every_flipped_bit_of_a_checkpoint_is_refused() -> None:
    for size in range(FILES_SIZE + 1):
        note = sign_checkpoint(Checkpoint(ORIGIN, size, mth(0, size)), KEY)
        check_checkpoint(note, ORIGIN, PUBLIC)
        for changed in map(utf8, flips(note.encode())):
            assert changed is None or refused(check_checkpoint, changed, ORIGIN, PUBLIC)


def test_every_flipped_bit_of_a_receipt_is_refused() -> None:
    """The files riders hold, whole: of all 64 entries with FACEFARE_TEST_ALL=1, else of nine."""
    note = sign_checkpoint(Checkpoint(ORIGIN, FILES_SIZE, mth(0, FILES_SIZE)), KEY)
    for index in range(FILES_SIZE):
        proof = tuple(prove_inclusion(index, FILES_SIZE, node))
        text = Receipt(ENTRIES[index], index, proof, note).text()
        assert check_receipt(text, ORIGIN, PUBLIC)[0] == ENTRIES[index]
        for changed in map(utf8, flips(text.encode())):
            assert changed is None or refused(check_receipt, changed, ORIGIN, PUBLIC)


@pytest.mark.parametrize("stray", ["B", "C", "D"])
def test_base64_with_stray_bits_is_refused(stray: str) -> None:
    """The last character of a 32-byte root has two bits that carry nothing; they are zero."""
    note = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), KEY)
    encoded = base64.b64encode(bytes(32)).decode()
    changed = note.replace(encoded, encoded[:-2] + stray + "=")
    assert changed != note
    assert refused(check_checkpoint, changed, ORIGIN, PUBLIC)
