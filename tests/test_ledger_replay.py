"""A log taken out as lines and put into an empty ledger of either kind has the signed root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from bench.postgres import Postgres
from ledger.checkpoints import publish
from ledger.cli import ledger as command
from ledger.entries import EntryUnreadable
from ledger.erasure import erase_account
from ledger.once import EntryRefused
from ledger.replaying import entry_lines, replay
from ledger.sequencer import sequence
from ledger.topups import top_up
from ledger.verify import LogBroken, verify
from models.money import Money
from tests.postgres import a_server, make_postgres_town
from tests.town import ORIGIN, Town, make_town


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


def a_log(town: Town) -> Town:
    """Entries of several kinds, an erased rider among them, all signed for."""
    account = town.account()
    top_up(town.ledger, account, Money(9000, "CNY"), str(uuid4()), "desk")
    for _ in range(3):
        town.charge(*(town.gate.tap(account) for _ in range(100)))
        sequence(town.ledger)
    erase_account(town.ledger, account)
    publish(town.ledger)
    return town


@pytest.mark.parametrize("first", ["sqlite", "postgresql"])
def test_the_commands_take_a_log_from_one_kind_of_database_to_the_other(
    server: Postgres, tmp_path: Path, first: str
) -> None:
    towns = {
        "sqlite": make_town(tmp_path / "file"),
        "postgresql": make_postgres_town(tmp_path / "server", server),
    }
    source = a_log(towns.pop(first))
    (target,) = towns.values()
    signed = publish(source.ledger)
    lines = CliRunner().invoke(command, ["entries", "--data", str(source.data.path)])
    assert lines.exception is None
    file = tmp_path / "entries.jsonl"
    file.write_bytes(lines.stdout_bytes)
    arguments = ["replay", "--data", str(target.data.path), str(file)]
    told = CliRunner().invoke(command, arguments).output
    assert told == f"{signed.size} entries, root {signed.root.hex()}\n"
    assert b"".join(entry_lines(target.ledger)) == lines.stdout_bytes
    with pytest.raises(EntryRefused, match="empty one"):
        replay(target.ledger, [])


def test_a_log_is_replayed_whole_or_not_at_all(tmp_path: Path) -> None:
    lines = list(entry_lines(a_log(make_town(tmp_path / "source")).ledger))
    target = make_town(tmp_path / "target")
    for broken in (lines[1:], [*lines[:5], *lines[6:]], [*lines, lines[-1]], [b"nonsense\n"]):
        with pytest.raises(EntryUnreadable):
            replay(target.ledger, broken)
    assert list(entry_lines(target.ledger)) == []
    assert replay(target.ledger, lines).size == len(lines)


def test_a_replayed_log_has_bytes_and_a_root_but_nothing_beside_them(tmp_path: Path) -> None:
    """So ``verify``, which reads taps and accounts too, refuses it; its root is the check."""
    source = make_town(tmp_path / "source")
    source.rides(3)
    signed = publish(source.ledger)
    target = make_town(tmp_path / "target")
    made = replay(target.ledger, entry_lines(source.ledger))
    assert (made.size, made.root) == (signed.size, signed.root)
    with pytest.raises(LogBroken, match="the tap that caused it is missing") as caught:
        verify(target.ledger.engine, ORIGIN, source.ledger.log_key.public_key())
    assert caught.value.index == 0


def test_the_first_entries_alone_have_the_root_of_their_checkpoint(tmp_path: Path) -> None:
    town = make_town(tmp_path / "source")
    town.rides(5)
    signed = publish(town.ledger)
    town.rides(4)
    made = replay(make_town(tmp_path / "target").ledger, entry_lines(town.ledger, signed.size))
    assert (made.size, made.root) == (signed.size, signed.root)
    with pytest.raises(EntryRefused, match="entry 9 is missing"):
        list(entry_lines(town.ledger, 10))
