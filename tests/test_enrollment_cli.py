"""The commands that make staff and gates known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest
from click.testing import CliRunner, Result

from enrollment.cli import gates, staff
from models.access.gates import GateRegisterError, list_gates
from models.access.invitations import find_invitation
from models.access.sign_in import sign_in
from models.access.staff import StaffError
from models.errors import FacefareError
from models.settings import SettingsError
from tests.desk import PASSWORD, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def run(desk: Desk, *words: str, given: str = "") -> Result:
    group = {"staff": staff, "gates": gates}[words[0]]
    arguments = [*words[1:], "--data", str(desk.data.path)]
    return CliRunner().invoke(group, arguments, input=given)


def test_staff_add_gives_a_one_time_link_and_no_secret(desk: Desk) -> None:
    result = run(desk, "staff", "add", "mei", "--role", "enroller", "--role", "service")
    assert result.exit_code == 0
    link = result.output.split()[-1]
    assert link.startswith("http://127.0.0.1:8420/staff/join/")
    assert "secret" not in result.output
    invited = find_invitation(desk.enrollment.staff, link.rpartition("/")[2], datetime.now(UTC))
    assert (invited.name, invited.roles) == ("mei", ("enroller", "service"))
    assert run(desk, "staff", "list").output.startswith(
        "mei  enroller, service  waiting for the one-time link  invited by somebody at the machine"
    )


def test_staff_are_disabled_enabled_and_reset(desk: Desk) -> None:
    desk.add_staff("ann", "admin")
    desk.add_staff("mei", "enroller")

    def states() -> dict[str, str]:
        rows = json.loads(run(desk, "staff", "list", "--json").output)
        return {row["name"]: row["state"] for row in rows}

    assert states() == {"ann": "may sign in", "mei": "may sign in"}
    assert run(desk, "staff", "disable", "mei").exit_code == 0
    assert states()["mei"] == "disabled"
    assert isinstance(run(desk, "staff", "reset", "mei").exception, StaffError)
    assert run(desk, "staff", "enable", "mei").exit_code == 0
    link = json.loads(run(desk, "staff", "reset", "mei", "--json").output)["link"]
    assert "/staff/join/" in link
    assert states()["mei"] == "waiting for the one-time link"
    last = run(desk, "staff", "disable", "ann")
    assert isinstance(last.exception, StaffError)
    assert states()["ann"] == "may sign in"
    assert isinstance(run(desk, "staff", "disable", "nobody").exception, StaffError)


def test_staff_add_reads_the_password_from_standard_input(desk: Desk) -> None:
    result = run(
        desk, "staff", "add", "mei", "--role", "admin", "--password-stdin", "--json",
        given=f"{PASSWORD}\n",
    )  # fmt: skip
    added = json.loads(result.output)
    totp = pyotp.parse_uri(added["totp_uri"])
    assert isinstance(totp, pyotp.TOTP)
    now = datetime.now(UTC)
    assert sign_in(desk.enrollment.staff, "mei", PASSWORD, totp.at(now), None, now).name == "mei"


def test_staff_add_refuses_a_weak_password_and_an_unknown_role(desk: Desk) -> None:
    weak = run(desk, "staff", "add", "mei", "--role", "admin", "--password-stdin", given="a\n")
    assert isinstance(weak.exception, StaffError)
    assert run(desk, "staff", "add", "mei", "--role", "root").exit_code == 2
    assert run(desk, "staff", "add", "mei").exit_code == 2


def test_gates_are_added_listed_and_revoked(desk: Desk) -> None:
    added = run(desk, "gates", "add", "south-1", "--station", "south")
    assert "facefare gate provision --server https://SERVER --code " in added.output
    out = run(desk, "gates", "add", "south-2", "--station", "south", "--direction", "out", "--json")
    assert len(json.loads(out.output)["code"]) == 16
    desk.add_gate("south-3")
    assert run(desk, "gates", "revoke", "south-2").exit_code == 0
    listed = run(desk, "gates", "list").output.splitlines()
    assert listed == [
        "south-1  south  in  waiting for its code",
        "south-2  south  out  revoked",
        "south-3  south  in  provisioned",
    ]
    rows = json.loads(run(desk, "gates", "list", "--json").output)
    assert [row["state"] for row in rows] == ["waiting for its code", "revoked", "provisioned"]
    assert rows[0]["provisioned_at"] is None
    assert rows[2]["provisioned_at"].endswith("Z")


@pytest.mark.parametrize(
    ("name", "station", "sentence"),
    [
        ("north-1", "north", "there is no station 'north'; there are south, drum-tower"),
        ("South 1", "south", "'South 1' cannot be the name of a gate"),
    ],
)
def test_a_gate_that_could_not_work_is_not_registered(
    desk: Desk, name: str, station: str, sentence: str
) -> None:
    result = run(desk, "gates", "add", name, "--station", station)
    assert isinstance(result.exception, FacefareError)
    assert str(result.exception).startswith(sentence)
    assert list_gates(desk.enrollment.access) == []


def test_an_unknown_gate_cannot_be_revoked(desk: Desk) -> None:
    result = run(desk, "gates", "revoke", "north-1")
    assert isinstance(result.exception, GateRegisterError)


def test_the_data_directory_may_come_from_the_environment(desk: Desk, tmp_path: Path) -> None:
    desk.add_gate("south-1")
    runner = CliRunner(env={"FACEFARE_DATA": str(desk.data.path)})
    assert runner.invoke(gates, ["list"]).output.startswith("south-1")
    nothing = CliRunner(env={"FACEFARE_DATA": str(tmp_path)})
    result = nothing.invoke(gates, ["add", "south-1", "--station", "south"])
    assert isinstance(result.exception, SettingsError)
