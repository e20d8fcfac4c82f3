#!/usr/bin/env python3
"""Check a Facefare receipt, checkpoint or whole log without any Facefare program.

    python verify_facefare.py receipt FILE.tlog-proof --key KEY [--ride-key HEX]
    python verify_facefare.py checkpoint FILE --key KEY [--witness KEY ...]
    python verify_facefare.py entries EXPORT [CHECKPOINT ...] --key KEY

KEY is the log's public key as the operator publishes it: origin+hash+base64. A witness's key
has the same form; the checkpoint must then bear its cosignature.

EXPORT is the file that ``facefare ledger entries`` writes, one entry a line, or a folder of the
bundles from /log/tile/entries/ (any file names that sort in their order). Every entry is hashed,
the chain followed, and the tree compared with every CHECKPOINT: the newest and those that you
kept earlier show that the log only grew in between. Without one the root is printed.

Needs Python 3.11 and the package ``cryptography``; nothing else. It reads RFC 6962 (tree), C2SP
signed-note, tlog-checkpoint, -cosignature, -proof and -tiles, and docs/ledger-format.md
(entries). It prints what was shown, or says what is wrong and exits with 1.
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
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOG, WITNESS = b"\x01", b"\x04"  # what kind of key: whose signature it makes


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


class SignerKey:
    """A public key in the form name+hash+base64(kind || 32 bytes)."""

    def __init__(self, text: str, kind: bytes) -> None:
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise Wrong(f"{text[:40]!r} is not a public key of the form name+hash+base64")
        self.name, named, encoded = parts
        raw = decode(encoded)
        if len(raw) != 33 or raw[:1] != kind:
            raise Wrong(f"the key of {self.name} is not the Ed25519 key of a log or witness")
        self.id = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if self.id.hex() != named:
            raise Wrong("the key's hash does not fit the key; copy it again")
        self.key = Ed25519PublicKey.from_public_bytes(raw[1:])

    def verify(self, signature: bytes, message: str) -> None:
        try:
            self.key.verify(signature, message.encode())
        except InvalidSignature as error:
            raise Wrong(f"the checkpoint's signature by {self.name} does not verify") from error


def signature_by(signer: SignerKey, note: str) -> tuple[str, bytes]:
    """The text of a note, and what ``signer`` wrote under it, which is not verified yet."""
    body, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Wrong("this is not a signed note")
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != "\N{EM DASH}" or not encoded:
            raise Wrong("the checkpoint has a signature line that cannot be read")
        signature = decode(encoded)
        if name == signer.name and signature[:4] == signer.id:
            return f"{body}\n", signature[4:]
    raise Wrong(f"the checkpoint is not signed by this key of {signer.name}")


def open_checkpoint(note: str, log: SignerKey) -> tuple[int, bytes]:
    """Return (size, root) of a checkpoint that ``log`` signed."""
    body, signature = signature_by(log, note)
    log.verify(signature, body)
    lines = body.split("\n")
    if len(lines) != 4 or lines[0] != log.name:
        raise Wrong(f"this is not a checkpoint of {log.name}")
    if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Wrong("the checkpoint's size is not a plain number")
    root = decode(lines[2])
    if len(root) != 32:
        raise Wrong("the checkpoint's root is not 32 bytes")
    return int(lines[1]), root


def cosigned_at(note: str, witness: SignerKey) -> str:
    """When ``witness`` saw this checkpoint and none that contradicts it, in words."""
    body, signature = signature_by(witness, note)
    time_s = int.from_bytes(signature[:8], "big")
    witness.verify(signature[8:], f"cosignature/v1\ntime {time_s}\n{body}")
    return f"{witness.name} saw it at {datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def open_checkpoints(files: Iterable[Path], key: str) -> dict[int, bytes]:
    """The root at each size that the log with this key signed for."""
    roots: dict[int, bytes] = {}
    for file in files:
        size, root = open_checkpoint(file.read_text(encoding="utf-8"), SignerKey(key, LOG))
        if roots.setdefault(size, root) != root:
            raise Wrong(f"the log signed two histories: {file} has another root at size {size}")
    return roots


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


def read_entry(data: bytes, name: str = "the entry") -> dict:
    """An entry's members; refuse what is not canonical or does not balance."""
    sums: dict[str, int] = defaultdict(int)
    try:
        value = json.loads(data)
        for posting in value["postings"]:
            sums[posting["currency"]] += posting["minor"]
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        canonical = text.encode()
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Wrong(f"{name} is not JSON with postings") from error
    if canonical != data or value.get("v") != 1:
        raise Wrong(f"{name} is not a canonical entry of version 1")
    if any(sums.values()):
        raise Wrong(f"{name} has postings that do not sum to zero")
    return value


def check_receipt(text: str, log: SignerKey) -> tuple[dict, int]:
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
    if value.get("seq") != int(number):
        raise Wrong("the entry's own number is another one than its place in the log")
    return value, size


def entries_in(export: Path) -> Iterator[bytes]:
    """The lines of a file, or the entries of all bundles in a folder in their paths' order."""
    if not export.is_dir():
        with export.open("rb") as lines:
            yield from (line.removesuffix(b"\n") for line in lines)
        return
    for file in sorted(path for path in export.rglob("*") if path.is_file()):
        data, place = file.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 2], "big")
            entry = data[place + 2 : place + 2 + length]
            if len(entry) != length:
                raise Wrong(f"{file} ends in the middle of an entry")
            yield entry
            place += 2 + length


def root_of_peaks(peaks: list[tuple[int, bytes]]) -> bytes:
    found = peaks[-1][1] if peaks else hashlib.sha256(b"").digest()
    for _, peak in reversed(peaks[:-1]):
        found = node_hash(peak, found)
    return found


def check_entries(entries: Iterable[bytes], roots: dict[int, bytes]) -> tuple[int, bytes]:
    """Hash and chain the entries, compare the tree at the sizes in ``roots``; size and root."""
    peaks: list[tuple[int, bytes]] = []  # (leaves, root) of the perfect subtrees
    previous, recorded_at, count = "0" * 64, "", 0
    if roots.get(0, root_of_peaks(peaks)) != root_of_peaks(peaks):
        raise Wrong("the checkpoint of the empty log has another root than the empty tree")
    for entry in entries:
        value = read_entry(entry, f"entry {count}")
        if value.get("seq") != count or value.get("prev") != previous:
            raise Wrong(f"entry {count} does not follow the one before it")
        if str(value.get("recorded_at")) < recorded_at:
            raise Wrong(f"entry {count} says it was recorded before the one before it")
        node, leaves = leaf_hash(entry), 1
        previous, recorded_at = node.hex(), str(value.get("recorded_at"))
        while peaks and peaks[-1][0] == leaves:
            node, leaves = node_hash(peaks.pop()[1], node), leaves * 2
        peaks.append((leaves, node))
        count += 1
        if count in roots and roots[count] != root_of_peaks(peaks):
            raise Wrong(f"the first {count} entries are not those a checkpoint was signed over")
    if count < max(roots, default=0):
        raise Wrong(f"entry {count} is missing: a checkpoint covers {max(roots)}")
    return count, root_of_peaks(peaks)


def show_entries(export: Path, roots: dict[int, bytes]) -> str:
    count, root = check_entries(entries_in(export), roots)
    shown = [f"all {count} entries follow one another, with the root {root.hex()}"]
    shown += [f"the first {size} are those a checkpoint was signed over" for size in sorted(roots)]
    if not roots:
        shown.append("not excluded: that entries were cut off or replaced; give a checkpoint")
    elif max(roots) < count:
        shown.append(f"not excluded: that there were more or other entries from {max(roots)} on")
    return "\n".join(shown)


def run(arguments: argparse.Namespace) -> str:
    if arguments.what == "entries":
        roots = open_checkpoints(arguments.checkpoints, arguments.key)
        return show_entries(arguments.export, roots)
    log = SignerKey(arguments.key, LOG)
    text = arguments.file.read_text(encoding="utf-8")
    if arguments.what == "checkpoint":
        size, root = open_checkpoint(text, log)
        seen = [cosigned_at(text, SignerKey(key, WITNESS)) for key in arguments.witness]
        shown = f"{log.name} has signed {size} entries with the root {root.hex()}"
        return "\n".join([shown, *seen])
    value, size = check_receipt(text, log)
    shown = f"entry {value['seq']} of {size} in {log.name}:\n"
    if arguments.ride_key:
        key = bytes.fromhex(arguments.ride_key)
        if hmac.digest(key, value["id"].encode(), "sha256").hex() != value.get("rider"):
            raise Wrong("the ride was made by another account than this key's")
        shown = "made by the account of this key; " + shown
    return shown + json.dumps(value, indent=2, ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check Facefare receipts and logs.")
    what = parser.add_subparsers(dest="what", required=True)
    receipt = what.add_parser("receipt", help="a rider's receipt")
    receipt.add_argument("file", type=Path)
    receipt.add_argument("--ride-key", help="the account's key in hex: shows whose ride it was")
    checkpoint = what.add_parser("checkpoint", help="a signed checkpoint")
    checkpoint.add_argument("file", type=Path)
    checkpoint.add_argument("--witness", action="append", default=[], help="must have cosigned it")
    entries = what.add_parser("entries", help="a whole log against checkpoints")
    entries.add_argument("export", type=Path, help="a file of lines, or a folder of bundles")
    entries.add_argument("checkpoints", type=Path, nargs="*", help="the newest, and older ones")
    for command in (receipt, checkpoint, entries):
        command.add_argument("--key", default="", help="the log's public key: origin+hash+base64")
    try:
        print(run(parser.parse_args()))
    except (Wrong, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
