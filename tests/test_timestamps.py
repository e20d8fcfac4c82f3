"""The daily time-stamp: asked of a real authority on loopback, kept, and checked again."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ledger.beside import LogBroken
from ledger.checkpoints import publish
from ledger.cli import ledger as command
from ledger.kept import CheckpointFile
from ledger.ledger import utc_now
from ledger.stamper import Stamper, ask_over_http
from ledger.timestamps import Ask, Stamp, TimestampTrouble, check_stamps, stamp, stamped_today
from ledger.verified import last_verified
from models.settings import TimestampSettings
from tests.conftest import missing
from tests.town import BrokenAtFirst, Town, make_town

_CONFIG = """\
[tsa]
default_tsa = us
[us]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
certs = {folder}/tsa.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
crypto_device = builtin
"""


def _certificate(
    folder: Path, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    """Make a key and a certificate: a root without an ``issuer``, else one for time-stamping."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed_by = issuer or (subject, key)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signed_by[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(usage, critical=True)
    made = builder.sign(signed_by[1], hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


class Authority:
    """A small time-stamping authority: OpenSSL behind HTTP on loopback."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.queries = folder, 0
        _certificate(folder, "tsa", _certificate(folder, "root", None))
        (folder / "serial").write_text("01\n", encoding="ascii")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder), encoding="ascii")
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = authority.reply(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/tsr"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reply(self, query: bytes) -> bytes:
        self.queries += 1
        (self.folder / "query").write_bytes(query)
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", str(self.folder / "tsa.cnf"), "-queryfile",
             str(self.folder / "query"), "-out", str(self.folder / "reply")],
            check=True, capture_output=True,
        )  # fmt: skip
        return (self.folder / "reply").read_bytes()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    if shutil.which("openssl") is None:
        missing("openssl")
    made = Authority(tmp_path / "authority")
    yield made
    made.close()


@pytest.fixture
def town(tmp_path: Path, authority: Authority) -> Town:
    table = f'[timestamp]\nurl = "{authority.url}"\ncertificate = "keys/root.pem"\n'
    town = make_town(tmp_path / "data", lambda text: f"{text}\n{table}")
    shutil.copy(authority.folder / "root.pem", town.data.keys / "root.pem")
    town.rides(3)
    publish(town.ledger)
    return town


@pytest.fixture
def ask() -> Iterator[Ask]:
    with httpx.Client(timeout=10) as client:
        yield ask_over_http(client)


def settings_of(town: Town) -> TimestampSettings:
    found = town.ledger.settings.timestamp
    assert found is not None
    return found


def take(town: Town, ask: Ask) -> Stamp:
    return stamp(town.ledger, settings_of(town), ask)


def kept_answer(town: Town) -> Path:
    (found,) = (town.data.path / "log" / "timestamps").glob("*.tsr")
    return found


def test_a_stamp_is_kept_and_good_and_covers_the_checkpoint(town: Town, ask: Ask) -> None:
    assert not stamped_today(town.ledger)
    made = take(town, ask)
    assert made.size == 3
    assert abs(made.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert stamped_today(town.ledger)
    assert check_stamps(town.ledger, settings_of(town)) == [made]


def test_openssl_alone_can_check_what_is_kept(town: Town, ask: Ask, authority: Authority) -> None:
    take(town, ask)
    answer = kept_answer(town)
    done = subprocess.run(
        ["openssl", "ts", "-verify", "-in", str(answer),
         "-data", str(answer.with_suffix(".checkpoint")),
         "-CAfile", str(authority.folder / "root.pem")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Verification: OK" in done.stdout + done.stderr


def test_the_log_may_grow_after_its_stamp(town: Town, ask: Ask) -> None:
    take(town, ask)
    town.rides(2)
    town.clock.forward(24 * 3600)
    publish(town.ledger)
    take(town, ask)
    assert [found.size for found in check_stamps(town.ledger, settings_of(town))] == [3, 5]


def test_another_authoritys_stamp_is_refused(town: Town, ask: Ask, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    try:
        settings = settings_of(town).model_copy(update={"url": stranger.url})
        with pytest.raises(TimestampTrouble, match="did not stamp"):
            stamp(town.ledger, settings, ask)
    finally:
        stranger.close()
    assert not stamped_today(town.ledger)


def test_an_answer_to_another_question_is_refused(
    town: Town, ask: Ask, authority: Authority
) -> None:
    old: list[bytes] = []

    def replay(url: str, query: bytes) -> bytes:
        old.append(ask(url, query))
        return old[0]

    take_with = settings_of(town)
    stamp(town.ledger, take_with, replay)
    kept_answer(town).unlink()
    with pytest.raises(TimestampTrouble, match="Nonce"):
        stamp(town.ledger, take_with, replay)

    def nonsense(url: str, query: bytes) -> bytes:
        return b"nonsense"

    with pytest.raises(TimestampTrouble):
        stamp(town.ledger, take_with, nonsense)
    assert authority.queries == 2


def test_an_authority_that_is_away_is_a_trouble_with_its_address(town: Town, ask: Ask) -> None:
    settings = settings_of(town).model_copy(update={"url": "http://127.0.0.1:1/tsr"})
    with pytest.raises(TimestampTrouble, match=r"127\.0\.0\.1:1/tsr cannot be reached"):
        stamp(town.ledger, settings, ask)


def test_a_missing_certificate_is_a_trouble_with_its_path(town: Town, ask: Ask) -> None:
    (town.data.keys / "root.pem").unlink()
    with pytest.raises(TimestampTrouble, match=r"root\.pem cannot be read"):
        take(town, ask)


def test_every_byte_of_a_kept_stamp_counts_where_it_is_signed(town: Town, ask: Ask) -> None:
    take(town, ask)
    file = kept_answer(town)
    honest = file.read_bytes()
    note = file.with_suffix(".checkpoint")
    text = note.read_text(encoding="utf-8")
    note.write_text(text.replace("\n3\n", "\n2\n"), encoding="utf-8")
    with pytest.raises(LogBroken, match="is not good"):
        check_stamps(town.ledger, settings_of(town))
    note.write_text(text, encoding="utf-8")
    for position in (len(honest) // 3, len(honest) - 20):
        changed = bytearray(honest)
        changed[position] ^= 1
        file.write_bytes(bytes(changed))
        with pytest.raises(LogBroken, match="is not good"):
            check_stamps(town.ledger, settings_of(town))
    file.write_bytes(honest)
    note.unlink()
    with pytest.raises(LogBroken, match="is not good"):
        check_stamps(town.ledger, settings_of(town))


def test_a_log_that_was_made_anew_contradicts_its_stamp(
    town: Town, ask: Ask, tmp_path: Path
) -> None:
    take(town, ask)
    other = make_town(tmp_path / "other")
    other.rides(4)
    publish(other.ledger)
    forged = replace(
        town.ledger, engine=other.ledger.engine, checkpoint_file=town.data.checkpoint_file
    )
    with pytest.raises(LogBroken, match="not those that were stamped"):
        check_stamps(forged, settings_of(town))


def test_the_command_shows_the_stamps(town: Town, ask: Ask) -> None:
    take(town, ask)
    kept = town.data.path / "kept"
    kept.write_text(CheckpointFile(town.data.checkpoint_file).read(), encoding="utf-8")
    arguments = ["verify", "--data", str(town.data.path), "--checkpoint", str(kept)]
    told = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).output)
    assert [found["size"] for found in told["timestamps"]] == [3]
    assert "the first 3 entries existed on" in CliRunner().invoke(command, arguments).output
    kept_answer(town).write_bytes(b"nonsense")
    assert isinstance(CliRunner().invoke(command, arguments).exception, LogBroken)
    verified = last_verified(town.ledger)
    assert verified is not None and "the time-stamp of" in verified.trouble


def test_stamps_without_an_authority_in_the_settings_are_said_not_to_be_checked(
    town: Town, ask: Ask
) -> None:
    take(town, ask)
    kept_answer(town).write_bytes(b"nonsense")
    settings = town.data.settings_file.read_text(encoding="utf-8")
    without = settings.partition("\n[timestamp]")[0]
    town.data.settings_file.write_text(without, encoding="utf-8")
    said = CliRunner().invoke(command, ["verify", "--data", str(town.data.path)]).output
    assert "not excluded: when entries existed: the time-stamps that are kept (1) were not" in said


def test_the_thread_stamps_each_day_once(town: Town, authority: Authority) -> None:
    stamper = Stamper(replace(town.ledger, clock=BrokenAtFirst(utc_now)), pause_s_first=0.1)
    stamper.start()
    until = time.monotonic() + 15
    while not list((town.data.path / "log").glob("timestamps/*.tsr")):
        assert time.monotonic() < until, "no stamp was taken"
        time.sleep(0.05)
    time.sleep(1.2)  # longer than its tick
    stamper.stop()
    assert authority.queries == 1
