"""The tree and its proofs against a naive reading of RFC 6962, at every small size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.log.proofs import (
    ProofRefused,
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
)
from models.log.tree import EMPTY_ROOT, Frontier, leaf_hash, node_hash, root

SIZES = range(65)
LEAVES = [leaf_hash(bytes([number])) for number in range(max(SIZES) + 1)]


# The definitions of RFC 6962, section 2.1, as they are written there.
def mth(leaves: Sequence[bytes]) -> bytes:
    n = len(leaves)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return leaves[0]
    k = split(n)
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    n = len(leaves)
    if n == 1:
        return []
    k = split(n)
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    def subproof(m: int, leaves: Sequence[bytes], b: bool) -> list[bytes]:
        n = len(leaves)
        if m == n:
            return [] if b else [mth(leaves)]
        k = split(n)
        if m <= k:
            return [*subproof(m, leaves[:k], b), mth(leaves[k:])]
        return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]

    return subproof(m, leaves, True)


def node(level: int, position: int) -> bytes:
    leaves = LEAVES[position << level : (position + 1) << level]
    assert len(leaves) == 1 << level, "asked for a subtree that is not full"
    return mth(leaves)


def test_the_hashes_are_those_of_certificate_transparency() -> None:
    # From RFC 6962's reference: printf '' | sha256sum; printf '\0' | sha256sum.
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


def test_the_roots_are_those_of_the_reference_implementation() -> None:
    # The eight leaves and roots that certificate-transparency's own tests have used since 2012.
    leaves = [
        leaf_hash(bytes.fromhex(data))
        for data in (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        )
    ]
    roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    assert [root(leaves[:size]).hex() for size in range(1, 9)] == roots


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", SIZES)
def test_the_growing_tree_has_the_root_of_the_definition(size: int) -> None:
    assert root(LEAVES[:size]) == mth(LEAVES[:size])


def test_a_tree_can_be_taken_up_again_at_every_size() -> None:
    grown = Frontier()
    for size in SIZES:
        again = Frontier(grown.size, grown.peaks)
        for leaf in LEAVES[size:]:
            again.append(leaf)
        assert again.root() == mth(LEAVES)
        grown.append(LEAVES[size])


def test_peaks_that_do_not_fit_the_size_are_refused() -> None:
    with pytest.raises(ValueError, match="2 peaks"):
        Frontier(3, [LEAVES[0]])


def test_appending_tells_every_subtree_it_completes() -> None:
    tree = Frontier()
    for count in range(1, 65):
        completed = tree.append(LEAVES[count - 1])
        for level, value in enumerate(completed):
            assert value == mth(LEAVES[count - (1 << level) : count])
        assert count % (1 << len(completed) - 1) == 0
        assert count % (1 << len(completed)) != 0


@pytest.mark.parametrize("size", range(1, 65))
def test_every_entry_of_every_small_tree_is_proved_as_the_rfc_says(size: int) -> None:
    leaves = LEAVES[:size]
    for index in range(size):
        made = prove_inclusion(index, size, node)
        assert made == path(index, leaves)
        check_inclusion(LEAVES[index], index, size, made, mth(leaves))


@pytest.mark.parametrize("new", range(65))
def test_every_small_tree_is_proved_to_continue_every_smaller_one(new: int) -> None:
    for old in range(new + 1):
        made = prove_consistency(old, new, node)
        if old:
            assert made == proof(old, LEAVES[:new])
        check_consistency(old, mth(LEAVES[:old]), new, mth(LEAVES[:new]), made)


def wrong_proofs(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Every proof one step away from ``proof``."""
    for place, value in enumerate(proof):
        for bit in range(0, 256, 37):
            changed = bytearray(value)
            changed[bit // 8] ^= 1 << bit % 8
            yield [*proof[:place], bytes(changed), *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], value, *proof[place:]]
        yield [*proof[:place], value[:-1], *proof[place + 1 :]]
    yield [*proof, LEAVES[0]]
    yield [LEAVES[0], *proof]
    yield [*proof, b""]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 9, 16, 21, 33, 64])
def test_a_changed_inclusion_proof_is_refused(size: int) -> None:
    top = mth(LEAVES[:size])
    for index in range(size):
        good = prove_inclusion(index, size, node)
        for wrong in wrong_proofs(good):
            with pytest.raises(ProofRefused):
                check_inclusion(LEAVES[index], index, size, wrong, top)
        for leaf, place, width, under in (
            (LEAVES[size], index, size, top),
            (LEAVES[index], index, size, mth(LEAVES[: size - 1])),
            (LEAVES[index], size, size, top),
            (LEAVES[index], -1, size, top),
            (LEAVES[index], index, 0, top),
            (b"", index, size, top),
        ):
            with pytest.raises(ProofRefused):
                check_inclusion(leaf, place, width, good, under)


@pytest.mark.parametrize("size", range(2, 34))
def test_a_proof_is_good_for_its_own_place_only(size: int) -> None:
    top = mth(LEAVES[:size])
    for index in range(size):
        good = prove_inclusion(index, size, node)
        for other in range(size):
            if other != index:
                with pytest.raises(ProofRefused):
                    check_inclusion(LEAVES[index], other, size, good, top)


@pytest.mark.parametrize("new", [2, 3, 4, 6, 7, 8, 13, 32, 33, 64])
def test_a_changed_consistency_proof_is_refused(new: int) -> None:
    top = mth(LEAVES[:new])
    for old in range(1, new + 1):
        below = mth(LEAVES[:old])
        good = prove_consistency(old, new, node)
        for wrong in wrong_proofs(good):
            with pytest.raises(ProofRefused):
                check_consistency(old, below, new, top, wrong)
        other = mth([*LEAVES[: old - 1], LEAVES[64]])
        for first, last in ((other, top), (below, other), (b"", top)):
            with pytest.raises(ProofRefused):
                check_consistency(old, first, new, last, good)


def test_a_tree_never_continues_a_larger_one() -> None:
    top = mth(LEAVES[:3])
    with pytest.raises(ProofRefused):
        prove_consistency(4, 3, node)
    for old, new in ((4, 3), (-1, 3)):
        with pytest.raises(ProofRefused):
            check_consistency(old, top, new, top, [])


def test_the_empty_tree_is_continued_by_all_but_only_if_it_is_empty() -> None:
    check_consistency(0, EMPTY_ROOT, 3, mth(LEAVES[:3]), [])
    with pytest.raises(ProofRefused):
        check_consistency(0, LEAVES[0], 3, mth(LEAVES[:3]), [])


def test_there_is_no_proof_of_an_entry_that_is_not_there() -> None:
    for index, size in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(ProofRefused):
            prove_inclusion(index, size, node)


@given(st.integers(1, 10**12), st.data())
def test_proofs_stay_as_short_as_a_large_tree_is_high(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    made = prove_inclusion(index, size, lambda level, position: LEAVES[level % 7])
    assert len(made) <= (size - 1).bit_length()
