"""All chance in the city comes from its seed: what a story holds, and what programs draw.

Keys, nonces and ids are drawn from the system's own source, which is another one at each run.
While a city lives, this source is one that the seed decides, so a seed has the same log, to
the last bit of its root, wherever and whenever it is lived through again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid6
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_KEY_BYTES = 32
_BITS_BESIDE_TIME = 80


@contextmanager
def seeded(seed: str) -> Iterator[None]:
    """Draw everything from ``seed`` within; afterwards from the system again."""
    draw = random.Random(seed).randbytes  # noqa: S311 - a city of play, whose keys are worth nothing

    def key(kind: Any) -> Any:
        return kind.from_private_bytes(draw(_KEY_BYTES))

    with ExitStack() as stack:
        for owner, name, ours in (
            (os, "urandom", draw),  # uuid4, the vault
            (random, "_urandom", draw),  # the secrets module
            (Ed25519PrivateKey, "generate", classmethod(key)),
            (X25519PrivateKey, "generate", classmethod(key)),
        ):
            stack.enter_context(instead(owner, name, ours))
        yield


@contextmanager
def instead(owner: Any, name: str, ours: Any) -> Iterator[None]:
    """Let ``ours`` stand where ``owner.name`` is, within."""
    plain: Callable[..., Any] = vars(owner)[name]
    setattr(owner, name, ours)
    try:
        yield
    finally:
        setattr(owner, name, plain)


def uuid7_at(moment: datetime) -> UUID:
    """A UUIDv7 of this moment, where the library's own asks the machine's clock."""
    beside = int.from_bytes(os.urandom(_BITS_BESIDE_TIME // 8))
    return uuid6.UUID(int=int(moment.timestamp() * 1000) << _BITS_BESIDE_TIME | beside, version=7)
