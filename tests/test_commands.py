"""Bad input at the command line: each gets a sentence, exit code 1, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from facefare.cli import facefare as root
from facefare.setup import make_data
from gate.identity import GateFile, make_keys, save_identity
from models.errors import FacefareError
from models.settings import DataDirectory, SettingsError
from models.wire.keys import base64url, raw_public
from tests.conftest import missing
from tests.station import facefare, free_port


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path / "data")
    make_data(made, "Test Transit", "fares.example/test")
    return made


@pytest.fixture
def gate_dir(tmp_path: Path) -> Path:
    """A provisioned gate whose server does not exist."""
    folder = tmp_path / "gate"
    signing_key, _ = make_keys(folder)
    save_identity(
        folder,
        GateFile(
            gate="south-1",
            station="south",
            direction="in",
            server=f"http://127.0.0.1:{free_port()}",
            enrollment_key=base64url(raw_public(signing_key.public_key())),
        ),
    )
    return folder


def refused(*arguments: str) -> str:
    """Run a command that must fail with a sentence, and return the sentence."""
    done = facefare(*arguments)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("facefare: ")
    return last


def test_init_makes_a_directory_that_only_its_owner_can_read(tmp_path: Path) -> None:
    assert facefare("init", "--data", str(tmp_path / "d")).returncode == 0
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    secrets = [*(tmp_path / "d" / "keys").iterdir(), tmp_path / "d" / "vault" / "master.key"]
    assert [oct(path.stat().st_mode & 0o777) for path in secrets] == ["0o600"] * len(secrets)


def test_init_takes_any_operators_name_and_closes_an_open_folder(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir(mode=0o755)
    name = 'The "Blue" Line \\ Süd'
    assert facefare("init", "--data", str(folder), "--operator", name).returncode == 0
    assert DataDirectory(folder).settings().operator == name
    assert folder.stat().st_mode & 0o777 == 0o700


def test_init_refuses_a_wrong_origin_before_it_writes_anything(tmp_path: Path) -> None:
    said = refused("init", "--data", str(tmp_path / "d"), "--origin", "My City")
    assert "origin" in said
    assert not (tmp_path / "d").exists()


def test_init_does_not_build_on_the_ruins_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    assert "is not empty" in refused("init", "--data", str(tmp_path))


def test_a_second_init_changes_nothing(data: DataDirectory) -> None:
    before = {path: path.read_bytes() for path in data.path.rglob("*") if path.is_file()}
    assert "holds a Facefare data directory already" in refused("init", "--data", str(data.path))
    assert {path: path.read_bytes() for path in before} == before


def test_a_read_only_data_directory_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    command = [sys.executable, "-m", "facefare", "init", "--data", str(folder)]
    if os.geteuid() == 0:  # root may write anywhere but to a read-only file system
        if shutil.which("unshare") is None:
            missing("unshare")
        mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
        command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]
    else:
        folder.chmod(0o500)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr and "--data" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []


def test_a_data_directory_below_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "cannot be written" in refused("init", "--data", str(tmp_path / "file" / "data"))


def test_serving_without_a_data_directory_says_what_to_do(tmp_path: Path) -> None:
    assert "run 'facefare init' first" in refused("serve", "--data", str(tmp_path / "none"))


def test_a_port_in_use_is_named(data: DataDirectory) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("serve", "--data", str(data.path), "--port", port)
    assert f"127.0.0.1:{port} cannot be used" in said and "--port" in said


def test_serving_other_machines_without_https_is_refused(data: DataDirectory) -> None:
    said = refused("serve", "--data", str(data.path), "--host", "0.0.0.0")
    assert "--https" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('currency = "CNY"', "currency"),
        ('flat_fare = "2.00"', "flat_fare"),
        ('operator = "Test Transit"', "operator"),
        ('origin = "fares.example/test"', "origin"),
    ],
)
def test_a_setting_that_is_missing_is_named(data: DataDirectory, wrong: str, said: str) -> None:
    text = data.settings_file.read_text("utf-8")
    assert wrong in text
    data.settings_file.write_text(text.replace(wrong, ""), "utf-8")
    with pytest.raises(SettingsError, match=said):
        data.settings()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('currency = "XXL"', "not an ISO 4217 currency"),
        ('flat_fare = "two"', "is not an amount"),
        ('flat_fare = "-1"', "cannot be negative"),
        ('flat_fare = "0.001"', "more decimals than CNY knows"),
    ],
)
def test_a_setting_that_is_wrong_says_why(data: DataDirectory, setting: str, said: str) -> None:
    name = setting.split(" ", 1)[0]
    lines = data.settings_file.read_text("utf-8").splitlines()
    changed = [setting if line.startswith(f"{name} ") else line for line in lines]
    data.settings_file.write_text("\n".join(changed), "utf-8")
    with pytest.raises(FacefareError, match=said):
        data.settings()


def test_a_directory_that_is_no_gate_is_refused(tmp_path: Path) -> None:
    said = refused("gate", "status", "--dir", str(tmp_path))
    assert "run 'facefare gate provision' first" in said


def test_a_gate_that_cannot_reach_its_server_and_has_no_gallery_does_not_start(
    gate_dir: Path, data: DataDirectory
) -> None:
    clip = str(data.settings_file)  # never looked at: the gate does not get that far
    said = refused("gate", "replay", clip, "--dir", str(gate_dir), "--liveness", "off")
    assert "has no gallery it can use" in said


def test_a_clip_that_does_not_exist_is_named(gate_dir: Path) -> None:
    said = refused("gate", "replay", "nowhere.mp4", "--dir", str(gate_dir), "--liveness", "off")
    assert "there is no clip or picture folder at nowhere.mp4" in said


def test_a_gate_without_liveness_weights_says_how_to_get_them_or_to_do_without(
    gate_dir: Path, tmp_path: Path
) -> None:
    said = refused("gate", "replay", "clip.mp4", "--dir", str(gate_dir), "--models", str(tmp_path))
    assert "facefare faces pull minifasnet" in said
    assert "--liveness still" in said and "--liveness off" in said


def test_the_status_shows_the_limits_and_the_state_of_liveness(
    gate_dir: Path, tmp_path: Path
) -> None:
    done = facefare("gate", "status", "--dir", str(gate_dir), "--models", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["liveness"].startswith("full: ")
    assert "are missing" in facts["liveness_state"]
    assert facts["thresholds"]["live_tracks"] == 0
    assert any("8 times a day" in line for line in facts["limits"])


@pytest.mark.parametrize("server", ["http://10.0.0.5:8420", "ftp://server", "server"])
def test_a_gate_talks_to_another_machine_over_https_only(tmp_path: Path, server: str) -> None:
    folder = tmp_path / "g"
    said = refused("gate", "provision", "--server", server, "--code", "x", "--dir", str(folder))
    assert "https://" in said
    assert not folder.exists()


def test_provisioning_at_an_address_where_nobody_answers_says_so(tmp_path: Path) -> None:
    server = f"http://127.0.0.1:{free_port()}"
    said = refused(
        "gate", "provision", "--server", server, "--code", "x", "--dir", str(tmp_path / "g")
    )
    assert server in said and "check the address" in said


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command there is."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


@pytest.mark.parametrize("path", list(commands(root)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(root, [*path, "--help"])
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()) > 3
