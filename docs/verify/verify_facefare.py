#!/usr/bin/env python3
"""Check a Facefare receipt, or two checkpoints, without any Facefare program.

    python verify_facefare.py receipt FILE.tlog-proof --key KEY [--ride-key HEX]
    python verify_facefare.py checkpoint FILE --key KEY
    python verify_facefare.py entries FOLDER CHECKPOINT --key KEY

KEY is the log's public key as the operator publishes it: origin+hash+base64. ``entries``
takes the bundles an auditor downloaded from /log/tile/entries/ (any file names that sort in
their order), hashes every entry, follows the chain and compares the root with a checkpoint
that was kept elsewhere.

Needs Python 3.11 and the package ``cryptography``; nothing else. It reads the formats of
RFC 6962 (tree), C2SP signed-note, tlog-checkpoint, tlog-proof and tlog-tiles, and of
docs/ledger-format.md (entries). It prints what was shown, or says what is wrong and exits
with 1.
"""
# ruff: noqa: T201 - a stand-alone program prints

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """What is wrong, in a sentence."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Wrong(f"{text[:40]!r} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Wrong(f"{text[:40]!r} is base64 with stray bits")
    return data


class LogKey:
    """A public key in the form origin+hash+base64(0x01 || 32 bytes)."""

    def __init__(self, text: str) -> None:
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise Wrong("a log's key has the form origin+hash+base64")
        self.origin, named, encoded = parts
        raw = decode(encoded)
        if len(raw) != 33 or raw[0] != 1:
            raise Wrong("the key is not an Ed25519 key")
        self.id = hashlib.sha256(self.origin.encode() + b"\n" + raw).digest()[:4]
        if self.id.hex() != named:
            raise Wrong("the key's hash does not fit the key; copy it again")
        self.key = Ed25519PublicKey.from_public_bytes(raw[1:])


def open_checkpoint(note: str, log: LogKey) -> tuple[int, bytes]:
    """Return (size, root) of a checkpoint that ``log`` signed."""
    body, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Wrong("this is not a signed note")
    lines = body.split("\n")
    if len(lines) != 3 or lines[0] != log.origin:
        raise Wrong(f"this is not a checkpoint of {log.origin}")
    if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Wrong("the checkpoint's size is not a plain number")
    root = decode(lines[2])
    if len(root) != 32:
        raise Wrong("the checkpoint's root is not 32 bytes")
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != "\N{EM DASH}" or not encoded:
            raise Wrong("the checkpoint has a signature line that cannot be read")
        signature = decode(encoded)
        if name == log.origin and signature[:4] == log.id:
            try:
                log.key.verify(signature[4:], f"{body}\n".encode())
            except InvalidSignature as error:
                raise Wrong("the checkpoint's signature does not verify") from error
            return int(lines[1]), root
    raise Wrong("the checkpoint is not signed by this key")


def root_of_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        raise Wrong(f"the checkpoint covers {size} entries; entry {index} is not among them")
    position, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            raise Wrong("the proof does not fit the tree")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise Wrong("the proof is too short for the tree")
    return node


def read_entry(data: bytes) -> dict:
    """An entry's members; refuse what is not canonical or does not balance."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Wrong("the entry is not JSON") from error
    again = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if not isinstance(value, dict) or again.encode() != data or value.get("v") != 1:
        raise Wrong("the entry is not a canonical entry of version 1")
    sums: dict[str, int] = defaultdict(int)
    for posting in value["postings"]:
        sums[posting["currency"]] += posting["minor"]
    if any(sums.values()):
        raise Wrong("the entry's postings do not sum to zero")
    return value


def check_receipt(text: str, log: LogKey) -> tuple[dict, int]:
    """Return the entry a receipt shows, and the size of the log it is shown in."""
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or len(lines) < 3 or lines[0] != "c2sp.org/tlog-proof@v1":
        raise Wrong("this is not a tlog-proof")
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Wrong("the receipt lacks the entry or its index")
    size, root = open_checkpoint(note, log)
    number = lines[2].removeprefix("index ")
    if not number.isascii() or not number.isdigit() or str(int(number)) != number:
        raise Wrong("the receipt's index is not a plain number")
    entry = decode(lines[1].removeprefix("extra "))
    path = [decode(line) for line in lines[3:]]
    if root_of_path(leaf_hash(entry), int(number), size, path) != root:
        raise Wrong("the proof does not lead from this entry to the signed root")
    value = read_entry(entry)
    if value["seq"] != int(number):
        raise Wrong("the entry's own number is another one than its place in the log")
    return value, size


def entries_in(folder: Path) -> Iterator[bytes]:
    """The entries of all bundles in ``folder``, in the order of the files' paths."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data, place = file.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 2], "big")
            entry = data[place + 2 : place + 2 + length]
            if len(entry) != length:
                raise Wrong(f"{file} ends in the middle of an entry")
            yield entry
            place += 2 + length


def check_entries(entries: Iterator[bytes], size: int, root: bytes) -> int:
    """Hash and chain the first ``size`` entries and compare the tree with ``root``."""
    peaks: list[tuple[int, bytes]] = []  # (leaves, root) of the perfect subtrees
    previous, count = "0" * 64, 0
    for entry in entries:
        if count == size:
            break
        value = read_entry(entry)
        if value["seq"] != count or value["prev"] != previous:
            raise Wrong(f"entry {count} does not follow the one before it")
        node, leaves = leaf_hash(entry), 1
        previous = node.hex()
        while peaks and peaks[-1][0] == leaves:
            node, leaves = node_hash(peaks.pop()[1], node), leaves * 2
        peaks.append((leaves, node))
        count += 1
    if count < size:
        raise Wrong(f"entry {count} is missing: the checkpoint covers {size}")
    found = hashlib.sha256(b"").digest() if not peaks else peaks.pop()[1]
    while peaks:
        found = node_hash(peaks.pop()[1], found)
    if found != root:
        raise Wrong("the entries are not those the checkpoint was signed over")
    return count


def run(arguments: argparse.Namespace) -> str:
    log = LogKey(arguments.key)
    if arguments.what == "checkpoint":
        size, root = open_checkpoint(arguments.file.read_text(encoding="utf-8"), log)
        return f"{log.origin} has signed {size} entries with the root {root.hex()}"
    if arguments.what == "entries":
        size, root = open_checkpoint(arguments.checkpoint.read_text(encoding="utf-8"), log)
        count = check_entries(entries_in(arguments.folder), size, root)
        return f"all {count} entries are those the checkpoint was signed over"
    value, size = check_receipt(arguments.file.read_text(encoding="utf-8"), log)
    shown = f"entry {value['seq']} of {size} in {log.origin}:\n"
    if arguments.ride_key:
        key = bytes.fromhex(arguments.ride_key)
        if hmac.digest(key, value["id"].encode(), "sha256").hex() != value.get("rider"):
            raise Wrong("the ride was made by another account than this key's")
        shown = "made by the account of this key; " + shown
    return shown + json.dumps(value, indent=2, ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check Facefare receipts and checkpoints.")
    what = parser.add_subparsers(dest="what", required=True)
    receipt = what.add_parser("receipt", help="a rider's receipt")
    receipt.add_argument("file", type=Path)
    receipt.add_argument("--ride-key", help="the account's key in hex: shows whose ride it was")
    checkpoint = what.add_parser("checkpoint", help="a signed checkpoint")
    checkpoint.add_argument("file", type=Path)
    entries = what.add_parser("entries", help="downloaded entry bundles against a checkpoint")
    entries.add_argument("folder", type=Path)
    entries.add_argument("checkpoint", type=Path)
    for command in (receipt, checkpoint, entries):
        command.add_argument("--key", required=True, help="origin+hash+base64")
    try:
        print(run(parser.parse_args()))
    except (Wrong, OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
