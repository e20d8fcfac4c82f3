"""Several processes that walk the log side by side, all at the same moment of the database.

A log that grows, or a rider who is erased, while the stretches are read one here and one
there would make an honest log look broken. So all processes begin their read transactions
while this one holds the write lock, which takes milliseconds; from then on everybody sees
the same snapshot, and writers go on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import Engine, text
from sqlmodel import Session

from ledger.stretch import Setup, Walked, work
from models.database import reading, writing
from models.errors import FacefareError

Parts = Callable[[int], Generator[Walked, None, None]]
"""The stretches of a log of so many entries, in order."""


class WalkerLost(FacefareError):
    """A process ended before its answer."""


def can_share(engine: Engine) -> bool:
    """Whether other processes can open this database: it is SQLite, in a file."""
    return engine.dialect.name == "sqlite" and bool(engine.url.database)


@contextmanager
def walkers(engine: Engine, count: int, setup: Setup) -> Iterator[tuple[Session, Parts]]:
    """Start ``count`` processes; yield a session at their moment, and what they find."""
    context = get_context("spawn")  # the caller may have threads and open connections
    with ExitStack() as stack:
        ends: list[Connection] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            given = (theirs, str(engine.url.database), number, count, setup)
            process = context.Process(target=work, args=given, daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(process.terminate)
            stack.callback(ours.close)
            theirs.close()
            ends.append(ours)
        for end in ends:
            _receive(end)  # it has its connection
        with writing(engine):
            for end in ends:
                end.send("begin")
            for end in ends:
                _receive(end)  # it has its snapshot
            session = stack.enter_context(reading(engine))
            session.execute(text("SELECT 1 FROM entry LIMIT 1"))

        def parts(size: int) -> Generator[Walked, None, None]:
            for end in ends:
                end.send(size)
            stretches = range(-(-size // setup.long))
            return (_receive(ends[number % count]) for number in stretches)

        yield session, parts


def _receive(end: Connection) -> Any:
    try:
        return end.recv()
    except EOFError as error:
        raise WalkerLost(
            "a process that read the log ended unexpectedly; nothing was verified. Try again, "
            "with more memory if there was too little"
        ) from error
