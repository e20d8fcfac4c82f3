"""Signed checkpoints, tiles and receipts: written one way, and refused in every other."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.log.notes import (
    Checkpoint,
    NoteRefused,
    check_checkpoint,
    sign_checkpoint,
    verifier_key,
)
from models.log.proofs import ProofRefused, prove_inclusion
from models.log.receipts import Receipt, check_receipt, read_receipt
from models.log.tiles import Tile, TileRefused, bundle, parse_tile
from models.log.tree import EMPTY_ROOT, leaf_hash, root

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
ORIGIN = "fares.test/town"
ENTRIES = [f'{{"seq":{number}}}'.encode() for number in range(5)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
CHECKPOINT = Checkpoint(ORIGIN, len(ENTRIES), root(LEAVES))


def test_a_checkpoint_is_three_lines_a_blank_one_and_a_signature() -> None:
    note = sign_checkpoint(CHECKPOINT, KEY)
    body, signature = note.split("\n\n")
    assert body.split("\n") == [ORIGIN, "5", base64.b64encode(root(LEAVES)).decode()]
    assert signature.startswith(f"— {ORIGIN} ")
    assert note.endswith("\n")
    assert check_checkpoint(note, ORIGIN, PUBLIC) == CHECKPOINT


def test_any_changed_character_of_a_checkpoint_is_refused() -> None:
    note = sign_checkpoint(CHECKPOINT, KEY)
    for place in range(len(note)):
        for other in ("A", "\n", "0", " "):
            if note[place] == other:
                continue
            changed = note[:place] + other + note[place + 1 :]
            with pytest.raises(NoteRefused):
                check_checkpoint(changed, ORIGIN, PUBLIC)


def test_a_cosigned_checkpoint_is_still_the_logs() -> None:
    note = sign_checkpoint(CHECKPOINT, KEY)
    witness = base64.b64encode(b"1234" + bytes(72)).decode()
    assert check_checkpoint(f"{note}— witness.test {witness}\n", ORIGIN, PUBLIC) == CHECKPOINT


@pytest.mark.parametrize("size", ["05", "-5", "+5", "5.0", " 5", "٥", ""])
def test_a_size_is_written_one_way(size: str) -> None:
    encoded = base64.b64encode(root(LEAVES)).decode()
    with pytest.raises(NoteRefused):
        check_checkpoint(f"{ORIGIN}\n{size}\n{encoded}\n\n— x y\n", ORIGIN, PUBLIC)


def test_the_public_key_is_named_by_origin_and_hash() -> None:
    name, key_hash, encoded = verifier_key(ORIGIN, PUBLIC).split("+", 2)
    assert name == ORIGIN
    assert len(key_hash) == 8
    assert base64.b64decode(encoded)[0] == 1


def node(level: int, position: int) -> bytes:
    return root(LEAVES[position << level : (position + 1) << level])


def receipt_for(index: int) -> str:
    path = tuple(prove_inclusion(index, len(ENTRIES), node))
    return Receipt(ENTRIES[index], index, path, sign_checkpoint(CHECKPOINT, KEY)).text()


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_a_receipt_shows_its_entry(index: int) -> None:
    assert check_receipt(receipt_for(index), ORIGIN, PUBLIC) == (ENTRIES[index], CHECKPOINT)


def test_a_receipt_is_a_tlog_proof() -> None:
    lines = receipt_for(2).split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(ENTRIES[2]).decode()
    assert lines[2] == "index 2"
    assert lines[3:6] == [
        base64.b64encode(value).decode()
        for value in (LEAVES[3], root(LEAVES[:2]), LEAVES[4])
    ]  # fmt: skip
    assert lines[6:8] == ["", ORIGIN]


def test_any_changed_character_of_a_receipt_is_refused() -> None:
    text = receipt_for(3)
    for place in range(len(text)):
        for other in ("B", "\n", "7", "="):
            if text[place] == other:
                continue
            changed = text[:place] + other + text[place + 1 :]
            with pytest.raises((ProofRefused, NoteRefused)):
                check_receipt(changed, ORIGIN, PUBLIC)


def test_a_receipt_for_the_empty_log_or_from_another_key_is_refused() -> None:
    nothing = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY)
    with pytest.raises(ProofRefused):
        check_receipt(Receipt(ENTRIES[0], 0, (), nothing).text(), ORIGIN, PUBLIC)
    foreign = sign_checkpoint(CHECKPOINT, Ed25519PrivateKey.generate())
    path = tuple(prove_inclusion(0, 5, node))
    with pytest.raises(NoteRefused):
        check_receipt(Receipt(ENTRIES[0], 0, path, foreign).text(), ORIGIN, PUBLIC)


def test_a_receipt_with_more_hashes_than_any_tree_is_not_read() -> None:
    long = Receipt(ENTRIES[0], 0, (LEAVES[0],) * 65, "x").text()
    with pytest.raises(ProofRefused, match="longer than any tree"):
        read_receipt(long)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "0/000"),
        (Tile(1, 999), "1/999"),
        (Tile(0, 1000), "0/x001/000"),
        (Tile(0, 1234067), "0/x001/x234/067"),
        (Tile(2, 0, 1), "2/000.p/1"),
        (Tile(None, 273, 112), "entries/273.p/112"),
    ],
)
def test_a_tile_has_one_path(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_tile(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0/0",
        "0/00",
        "0/0000",
        "0/x000/001",
        "0/001/002",
        "00/000",
        "64/000",
        "-1/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/000.p/",
        "0/000/",
        "entry/000",
        "0/٠٠٠",
        "../keys/000",
    ],
)
def test_no_other_path_names_a_tile(path: str) -> None:
    with pytest.raises(TileRefused):
        parse_tile(path)


def test_a_tree_of_70000_has_the_tiles_the_standard_counts() -> None:
    for tile in (
        Tile(0, 272),
        Tile(0, 273, 112),
        Tile(1, 0),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
        Tile(None, 273, 112),
    ):
        tile.check_within(70_000)
    for tile in (Tile(0, 273), Tile(0, 273, 113), Tile(1, 1, 18), Tile(2, 0, 2), Tile(3, 0, 1)):
        with pytest.raises(TileRefused):
            tile.check_within(70_000)


def test_a_bundle_is_entries_after_their_lengths() -> None:
    assert bundle([b"a", b"", b"bcd"]) == b"\x00\x01a\x00\x00\x00\x03bcd"
    with pytest.raises(TileRefused):
        bundle([bytes(65_536)])
