"""Receipts and tiles, checked by our own code and by the stand-alone verifier."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import select

from ledger.api import public
from ledger.checkpoints import publish
from ledger.cli import ledger as command
from ledger.entries import decode
from ledger.proving import NothingToProve, consistency, receipt
from ledger.topups import top_up
from models.database import reading
from models.errors import FacefareError
from models.log.notes import Checkpoint
from models.log.proofs import ProofRefused, check_consistency, prove_inclusion
from models.log.receipts import check_receipt
from models.log.tiles import Tile
from models.log.tree import leaf_hash, root
from models.money import Money
from models.tables.ledger import EntryRow
from tests.signing import let_staff_sign_in
from tests.town import ORIGIN, Town, make_town

VERIFIER = Path(__file__).parents[1] / "docs" / "verify" / "verify_facefare.py"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def many(town: Town, count: int) -> None:
    account = town.account()
    for start in range(0, count, 500):
        batch = [town.gate.tap(account) for _ in range(min(500, count - start))]
        town.charge(*batch)


def entries(town: Town) -> list[EntryRow]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(EntryRow).order_by(EntryRow.seq)))


def test_every_entry_of_a_growing_log_gets_a_receipt_that_checks(town: Town) -> None:
    account = town.account()
    for _ in range(9):
        town.rides(1, account)
        kept = publish(town.ledger)
        for row in entries(town):
            text = receipt(town.ledger, row.entry_id).text()
            shown = check_receipt(text, ORIGIN, town.ledger.log_key.public_key())
            assert shown == (row.body, kept)


def test_receipts_of_a_log_with_kept_nodes_check_as_well(town: Town) -> None:
    many(town, 700)
    publish(town.ledger)
    found = entries(town)
    leaves = [row.leaf_hash for row in found]

    def node(level: int, position: int) -> bytes:
        return root(leaves[position << level : (position + 1) << level])

    for index in (0, 1, 255, 256, 511, 512, 640, 698, 699):
        made = receipt(town.ledger, found[index].entry_id)
        assert list(made.path) == prove_inclusion(index, 700, node)
        check_receipt(made.text(), ORIGIN, town.ledger.log_key.public_key())


def test_a_receipt_holds_one_riders_entry_and_no_other(town: Town) -> None:
    town.rides(3)
    publish(town.ledger)
    first, second, _ = entries(town)
    text = receipt(town.ledger, second.entry_id).text()
    assert first.entry_id not in text
    assert decode(receipt(town.ledger, second.entry_id).entry)["id"] == second.entry_id


def test_there_is_no_receipt_before_the_signature_or_for_nothing(town: Town) -> None:
    town.rides(1)
    (row,) = entries(town)
    with pytest.raises(NothingToProve, match="not signed for yet"):
        receipt(town.ledger, row.entry_id)
    with pytest.raises(NothingToProve, match="no entry"):
        receipt(town.ledger, "nothing")


def test_the_log_is_proved_to_continue_each_of_its_own_checkpoints(town: Town) -> None:
    account, kept = town.account(), []
    for _ in range(9):
        kept.append(publish(town.ledger))
        town.rides(1, account)
    for place, old in enumerate(kept):
        for new in kept[place:]:
            proof = consistency(town.ledger, old.size, new.size)
            check_consistency(old.size, old.root, new.size, new.root, proof)
    other = Checkpoint(ORIGIN, 3, leaf_hash(b"other"))
    with pytest.raises(ProofRefused):
        check_consistency(3, other.root, 8, kept[8].root, consistency(town.ledger, 3, 8))


# The stand-alone verifier, as a rider runs it.


def run_verifier(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(VERIFIER), *arguments], capture_output=True, text=True
    )


def printed_by(town: Town, *arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--data", str(town.data.path)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_rider_checks_a_receipt_without_any_of_our_code(town: Town, tmp_path: Path) -> None:
    account = town.rides(2)
    publish(town.ledger)
    row = entries(town)[1]
    file, key = tmp_path / "ride.tlog-proof", printed_by(town, "key").strip()
    file.write_text(printed_by(town, "receipt", row.entry_id), encoding="utf-8")
    done = run_verifier("receipt", str(file), "--key", key)
    assert done.returncode == 0, done.stderr
    assert "entry 1 of 2" in done.stdout
    assert "Flat fare, from South Gate" in done.stdout
    mine = town.ledger.vault.key(f"account:{account}").hex()
    assert "made by the account" in run_verifier(
        "receipt", str(file), "--key", key, "--ride-key", mine
    ).stdout  # fmt: skip
    other = run_verifier("receipt", str(file), "--key", key, "--ride-key", "00" * 32)
    assert other.returncode == 1
    assert "another account" in other.stderr


def test_the_verifier_refuses_what_our_own_code_refuses(town: Town, tmp_path: Path) -> None:
    town.rides(3)
    publish(town.ledger)
    key = printed_by(town, "key").strip()
    text = receipt(town.ledger, entries(town)[1].entry_id).text()
    place = text.index("extra ") + 60
    wrong = {
        "entry": text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :],
        "index": text.replace("index 1", "index 2"),
        "path": "\n".join(line for number, line in enumerate(text.split("\n")) if number != 3),
        "size": text.replace(f"{ORIGIN}\n3\n", f"{ORIGIN}\n4\n"),
        "nothing": "",
    }
    for name, changed in wrong.items():
        assert changed != text
        file = tmp_path / name
        file.write_text(changed, encoding="utf-8")
        done = run_verifier("receipt", str(file), "--key", key)
        assert done.returncode == 1, name
        assert done.stderr.startswith("WRONG: ")
        with pytest.raises(FacefareError):
            check_receipt(changed, ORIGIN, town.ledger.log_key.public_key())


def test_another_logs_key_does_not_check_this_logs_receipt(town: Town, tmp_path: Path) -> None:
    town.rides(1)
    publish(town.ledger)
    other = make_town(tmp_path / "other")
    file = tmp_path / "ride"
    file.write_text(receipt(town.ledger, entries(town)[0].entry_id).text(), encoding="utf-8")
    done = run_verifier("receipt", str(file), "--key", other.ledger.verifier_key)
    assert done.returncode == 1
    assert "not signed by this key" in done.stderr


# Tiles over HTTP.


@pytest.fixture
def app(town: Town, tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "only for tests"
    let_staff_sign_in(app, tmp_path)
    app.register_blueprint(public(town.ledger))
    return app


def auditor(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.get("/as/lin/auditor")
    return client


def test_the_root_can_be_computed_from_public_tiles_alone(town: Town, app: Flask) -> None:
    many(town, 700)
    kept = publish(town.ledger)
    client = app.test_client()
    hashes = b""
    for path in ("0/000", "0/001", "0/002.p/188"):
        response = client.get(f"/log/tile/{path}")
        assert response.status_code == 200
        assert response.mimetype == "application/octet-stream"
        assert "immutable" in response.headers["Cache-Control"]
        hashes += response.data
    leaves = [hashes[place : place + 32] for place in range(0, len(hashes), 32)]
    assert len(leaves) == 700
    assert root(leaves) == kept.root
    above = client.get("/log/tile/1/000.p/2").data
    assert above == root(leaves[:256]) + root(leaves[256:512])


@pytest.mark.parametrize(
    "path", ["0/001", "0/000.p/4", "1/000.p/1", "0/0", "x", "0/000.p/0", "entries", "0/../entries"]
)
def test_a_tile_that_the_signed_tree_lacks_is_not_found(town: Town, app: Flask, path: str) -> None:
    town.rides(3)
    publish(town.ledger)
    town.rides(2)  # here, but not signed for
    assert app.test_client().get(f"/log/tile/{path}").status_code == 404
    assert app.test_client().get("/log/tile/0/000.p/3").status_code == 200


def test_the_entries_themselves_are_for_auditors_only(town: Town, app: Flask) -> None:
    town.rides(3)
    publish(town.ledger)
    path = f"/log/tile/{Tile(None, 0, 3).path}"
    assert app.test_client().get(path).status_code == 302
    service = app.test_client()
    service.get("/as/wu/service")
    assert service.get(path).status_code == 403
    data = auditor(app).get(path).data
    for row in entries(town):
        assert data[:2] == len(row.body).to_bytes(2, "big")
        assert data[2 : 2 + len(row.body)] == row.body
        data = data[2 + len(row.body) :]
    assert data == b""
    assert auditor(app).get("/log/tile/entries/000.p/4").status_code == 404


def test_an_auditor_verifies_the_whole_log_without_any_of_our_code(
    town: Town, app: Flask, tmp_path: Path
) -> None:
    top_up(town.ledger, town.account(), Money(2000, "CNY"), str(uuid4()), "desk")
    many(town, 299)
    publish(town.ledger)
    bundles, kept, key = tmp_path / "bundles", tmp_path / "kept", printed_by(town, "key").strip()
    bundles.mkdir()
    kept.write_text(printed_by(town, "checkpoint"), encoding="utf-8")
    for name, path in (("000", "entries/000"), ("001", "entries/001.p/44")):
        (bundles / name).write_bytes(auditor(app).get(f"/log/tile/{path}").data)
    done = run_verifier("entries", str(bundles), str(kept), "--key", key)
    assert done.returncode == 0, done.stderr
    assert "all 300 entries" in done.stdout
    shown = run_verifier("checkpoint", str(kept), "--key", key)
    assert "has signed 300 entries" in shown.stdout
    whole = (bundles / "000").read_bytes()
    (bundles / "000").write_bytes(whole.replace(b'"minor":200', b'"minor":100', 3))
    assert run_verifier("entries", str(bundles), str(kept), "--key", key).returncode == 1
    (bundles / "000").write_bytes(whole)
    (bundles / "001").unlink()
    missing = run_verifier("entries", str(bundles), str(kept), "--key", key)
    assert "entry 256 is missing" in missing.stderr
