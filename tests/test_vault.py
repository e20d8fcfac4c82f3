"""The vault: sealed values open with their own key and context only, and not after erasure."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from models.vault import KeyErased, Vault, VaultError, make_master_key, seal, unseal


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    make_master_key(tmp_path / "master.key")
    return Vault(tmp_path / "keys.sqlite", tmp_path / "master.key")


def test_a_sealed_value_opens_with_its_key_and_context(vault: Vault) -> None:
    key = vault.create("rider:a")
    assert unseal(key, seal(key, b"template", "template a"), "template a") == b"template"


def test_the_same_value_is_never_sealed_the_same_way_twice(vault: Vault) -> None:
    key = vault.create("rider:a")
    assert seal(key, b"template", "a") != seal(key, b"template", "a")


def test_every_changed_bit_is_noticed(vault: Vault) -> None:
    key = vault.create("rider:a")
    sealed = seal(key, b"a template", "a")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VaultError):
            unseal(key, bytes(changed), "a")


def test_another_key_context_or_a_part_does_not_open(vault: Vault) -> None:
    key = vault.create("rider:a")
    sealed = seal(key, b"template", "template a")
    with pytest.raises(VaultError, match="does not open"):
        unseal(vault.create("rider:b"), sealed, "template a")
    with pytest.raises(VaultError, match="does not open"):
        unseal(key, sealed, "photo a")
    for length in (1, 5, 13, len(sealed) - 1):
        with pytest.raises(VaultError):
            unseal(key, sealed[:length], "template a")
    with pytest.raises(VaultError, match="unknown version"):
        unseal(key, b"", "template a")


def test_a_key_is_the_same_after_reopening(vault: Vault, tmp_path: Path) -> None:
    key = vault.create("rider:a")
    again = Vault(tmp_path / "keys.sqlite", tmp_path / "master.key")
    assert again.key("rider:a") == key
    assert again.create("rider:a") == key


def test_a_key_that_another_process_erased_is_gone_here_too(vault: Vault) -> None:
    elsewhere = pickle.loads(pickle.dumps(vault))
    key = elsewhere.create("rider:a")
    assert vault.key("rider:a") == key
    elsewhere.erase("rider:a")
    assert vault.keys(["rider:a"]) == {}
    with pytest.raises(KeyErased):
        vault.key("rider:a")


def test_an_erased_key_is_gone_and_its_bytes_are_nowhere(vault: Vault, tmp_path: Path) -> None:
    vault.create("rider:a")
    before = (tmp_path / "keys.sqlite").read_bytes()
    vault.erase("rider:a")
    with pytest.raises(KeyErased, match="it was erased"):
        vault.key("rider:a")
    after = (tmp_path / "keys.sqlite").read_bytes()
    assert b"rider:a" in before
    assert b"rider:a" not in after
    assert {path.name for path in tmp_path.iterdir()} == {"keys.sqlite", "master.key"}


def test_a_new_key_after_erasure_is_another_key(vault: Vault) -> None:
    old = vault.create("rider:a")
    vault.erase("rider:a")
    assert vault.create("rider:a") != old


def test_another_master_key_opens_nothing(vault: Vault, tmp_path: Path) -> None:
    vault.create("rider:a")
    make_master_key(tmp_path / "other.key")
    with pytest.raises(VaultError, match="does not open"):
        Vault(tmp_path / "keys.sqlite", tmp_path / "other.key").key("rider:a")


def test_a_missing_or_short_master_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="cannot be read"):
        Vault(tmp_path / "keys.sqlite", tmp_path / "none.key")
    (tmp_path / "short.key").write_bytes(b"short")
    with pytest.raises(VaultError, match="is not 32 bytes long"):
        Vault(tmp_path / "keys.sqlite", tmp_path / "short.key")


def test_a_master_key_is_never_overwritten(tmp_path: Path) -> None:
    make_master_key(tmp_path / "master.key")
    with pytest.raises(FileExistsError):
        make_master_key(tmp_path / "master.key")


def test_a_wrapped_key_cannot_be_moved_to_another_name(vault: Vault, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    vault.create("rider:a")
    with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as connection, connection:
        connection.execute("UPDATE data_key SET name = 'rider:b'")
    with pytest.raises(VaultError, match="does not open"):
        vault.key("rider:b")


def test_many_keys_are_read_at_once_and_erased_ones_are_left_out(vault: Vault) -> None:
    names = [f"rider:{number}" for number in range(40)]
    made = {name: vault.create(name) for name in names}
    vault.erase("rider:7")
    del made["rider:7"]
    assert vault.keys([*names, "rider:unknown"]) == made
    assert vault.keys([]) == {}
