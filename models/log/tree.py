"""The Merkle tree of RFC 6962: leaf and node hashes, and a root that grows leaf by leaf.

    leaf   SHA-256(0x00 || entry bytes)
    node   SHA-256(0x01 || left || right)
    empty  SHA-256("")

The prefixes keep a leaf from being passed off as a node. No storage here: callers hand in
hashes and keep what comes back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962 section 2.1 hash of one entry's exact bytes; 32 bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1 hash of two subtrees; 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: enough to append and to take the root, in O(log n).

    ``peaks`` holds the roots of the perfect subtrees, largest first: one for every set bit
    of ``size``. A million leaves need at most twenty hashes.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if len(self.peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks")

    def append(self, leaf: bytes) -> list[bytes]:
        """Add the next leaf's hash; return the roots of the perfect subtrees it completed.

        Item ``k`` of the answer is the root over the last ``2**k`` leaves, so item 0 is the
        leaf itself: what a store may keep to prove things later.
        """
        size, node = self.size, leaf
        completed = [leaf]
        while size & 1:
            node = node_hash(self.peaks.pop(), node)
            completed.append(node)
            size >>= 1
        self.peaks.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The tree's root: RFC 6962 ``MTH`` over the leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, in one pass and logarithmic memory."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()
