"""Inclusion and consistency proofs of RFC 6962: small answers to two large questions.

    inclusion     entry ``index`` is in the tree of ``size`` entries with this root
    consistency   the tree of ``new`` entries begins with the whole tree of ``old`` entries

``prove_*`` asks for the roots of perfect subtrees through ``node(level, position)``: the
root over leaves ``position * 2**level`` up to ``(position + 1) * 2**level``. ``check_*``
needs nothing but the proof and raises ``ProofRefused``; it follows RFC 9162, sections
2.1.3.2 and 2.1.4.2, and refuses a proof with a hash too many or too few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.errors import FacefareError
from models.log.tree import EMPTY_ROOT, HASH_BYTES, node_hash

Node = Callable[[int, int], bytes]


class ProofRefused(FacefareError):
    """A proof that does not show what it should."""


def prove_inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """RFC 6962 ``PATH(index, D[size])``: the sibling hashes from the leaf to the root."""
    if not 0 <= index < size:
        raise ProofRefused(f"there is no entry {index} among {size}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start = middle
    return path[::-1]


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ``ProofRefused`` unless ``proof`` shows ``leaf`` at ``index`` under ``root``."""
    _check_hashes([leaf, root, *proof])
    if not 0 <= index < size:
        raise ProofRefused(f"there is no entry {index} among {size}")
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofRefused("the inclusion proof is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofRefused("the inclusion proof is too short")
    if node != root:
        raise ProofRefused(f"the proof does not lead from entry {index} to the tree's root")


def prove_consistency(old: int, new: int, node: Node) -> list[bytes]:
    """RFC 6962 ``PROOF(old, D[new])``; empty for equal sizes and for an empty old tree."""
    if not 0 <= old <= new:
        raise ProofRefused(f"a tree of {new} entries cannot continue one of {old}")
    if old in (0, new):
        return []
    start, end, path, whole = 0, new, [], True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start, whole = middle, False
    if not whole:
        path.append(_range_root(start, end, node))
    return path[::-1]


def check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise ``ProofRefused`` unless ``proof`` shows that the new tree continues the old one."""
    _check_hashes([old_root, new_root, *proof])
    if not 0 <= old <= new:
        raise ProofRefused(f"a tree of {new} entries cannot continue one of {old}")
    if old in (0, new):
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofRefused("the trees are not the same, or the proof is too long")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)  # the old tree is itself a node of the new one
    if not path:
        raise ProofRefused("the consistency proof is too short")
    roots = _both_roots(old, new, path)
    if roots != (old_root, new_root):
        raise ProofRefused(f"the tree of {new} entries does not continue the tree of {old}")


def _both_roots(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the old and the new tree that ``path`` leads to."""
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofRefused("the consistency proof is too long")
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofRefused("the consistency proof is too short")
    return first, second


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _range_root(start: int, end: int, node: Node) -> bytes:
    """The root over leaves ``start`` up to ``end``, where ``start`` is where a subtree begins."""
    roots = []
    while start < end:
        level = (end - start).bit_length() - 1
        roots.append(node(level, start >> level))
        start += 1 << level
    root = roots.pop()
    while roots:
        root = node_hash(roots.pop(), root)
    return root


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ProofRefused(f"a proof is made of hashes of {HASH_BYTES} bytes")
