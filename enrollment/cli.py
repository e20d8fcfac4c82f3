"""The commands ``facefare staff`` and ``facefare gates``.

Errors are raised as ``FacefareError``; the command's main function prints the sentence.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Engine as Database

from models.access.gates import add_gate, list_gates, revoke_gate
from models.access.introductions import newest_introductions
from models.access.invitations import invite_staff, join_path, reset_staff
from models.access.staff import (
    ROLES,
    StaffRegister,
    add_staff,
    disable_staff,
    enable_staff,
    list_staff,
)
from models.database import open_sqlite
from models.errors import FacefareError
from models.options import data_option
from models.settings import DataDirectory
from models.tables.access import AccessTable, Gate, Introduction, Staff
from models.wire.times import format_utc


class GateRefused(FacefareError):
    """A gate whose name or station cannot be used."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
server_option = click.option(
    "--server",
    default="http://127.0.0.1:8420",
    show_default=True,
    help="The address under which browsers reach the server, for the link.",
)


@click.group()
def staff() -> None:
    """The people who work here."""


@staff.command("add")
@click.argument("name")
@click.option(
    "--role", "roles", type=click.Choice(ROLES), multiple=True, required=True, help="May repeat."
)
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Make the account ready at once, with the password on standard input.",
)
@server_option
@json_option
@data_option
def add_member(
    name: str,
    roles: tuple[str, ...],
    password_stdin: bool,
    server: str,
    as_json: bool,
    data: Path,
) -> None:
    """Give NAME an account; prints the one-time link where they set their password."""
    register = StaffRegister.open(DataDirectory(data))
    if not password_stdin:
        _print_link(name, invite_staff(register, name, roles, _now()), server, as_json)
        return
    password = sys.stdin.readline().rstrip("\r\n")
    added = add_staff(register, name, password, roles, _now())
    if as_json:
        _print_json({"name": added.name, "totp_uri": added.provisioning_uri})
        return
    click.echo(f"{added.name} may sign in as {', '.join(roles)}.")
    click.echo("Add this to an authenticator app now; it is not shown again:")
    click.echo(added.provisioning_uri)


@staff.command("list")
@json_option
@data_option
def list_members(as_json: bool, data: Path) -> None:
    """List the members of staff, their roles and state."""
    register = StaffRegister.open(DataDirectory(data))
    members, let_in = list_staff(register), newest_introductions(register.database)
    if as_json:
        _print_json(
            [
                {
                    "name": m.name,
                    "roles": m.roles.split(),
                    "state": _member_state(m),
                    "let_in": _let_in(let_in.get(m.name)),
                }
                for m in members
            ]
        )
        return
    for member in members:
        roles, state = ", ".join(member.roles.split()), _member_state(member)
        click.echo(f"{member.name}  {roles}  {state}  {_let_in(let_in.get(member.name))}".rstrip())


def _let_in(found: Introduction | None) -> str:
    """Who held the account's newest one-time link, and since when."""
    if found is None:
        return ""
    return f"{found.what} by {found.by or 'somebody at the machine'} {found.at:%Y-%m-%d}"


@staff.command("reset")
@click.argument("name")
@server_option
@json_option
@data_option
def reset_member(name: str, server: str, as_json: bool, data: Path) -> None:
    """Void the password and authenticator of NAME; prints a new one-time link."""
    token = reset_staff(StaffRegister.open(DataDirectory(data)), name, _now())
    _print_link(name, token, server, as_json)


@staff.command("disable")
@click.argument("name")
@data_option
def disable_member(name: str, data: Path) -> None:
    """Let NAME sign in no more, and end their sessions now."""
    disable_staff(StaffRegister.open(DataDirectory(data)), name, _now())
    click.echo(f"{name} is disabled and signed out everywhere.")


@staff.command("enable")
@click.argument("name")
@data_option
def enable_member(name: str, data: Path) -> None:
    """Let the disabled NAME sign in again."""
    enable_staff(StaffRegister.open(DataDirectory(data)), name)
    click.echo(f"{name} may sign in again.")


def one_time_link(server: str, token: str) -> str:
    """The link as it is given to its owner."""
    return server.rstrip("/") + join_path(token)


def _print_link(name: str, token: str, server: str, as_json: bool) -> None:
    link = one_time_link(server, token)
    if as_json:
        _print_json({"name": name, "link": link})
        return
    click.echo(f"Give this link to {name} only; it is good once, for 24 hours:")
    click.echo(f"  {link}")


def _member_state(member: Staff) -> str:
    if member.disabled_at is not None:
        return "disabled"
    return "may sign in" if member.password_hash else "waiting for the one-time link"


@click.group()
def gates() -> None:
    """The gates that may send taps."""


@gates.command("add")
@click.argument("name")
@click.option("--station", required=True, help="The station, as facefare.toml names it.")
@click.option(
    "--direction", type=click.Choice(["in", "out"]), default="in", show_default=True, help="Way."
)
@json_option
@data_option
def add_one(name: str, station: str, direction: str, as_json: bool, data: Path) -> None:
    """Register a gate called NAME; prints its one-time provisioning code."""
    _check_station(station, DataDirectory(data))
    code = add_gate(_access(DataDirectory(data)), name, station, direction, _now())
    if as_json:
        _print_json({"gate": name, "station": station, "direction": direction, "code": code})
        return
    click.echo(f"Provision {name} within 24 hours, on the gate itself:")
    click.echo(f"  facefare gate provision --server https://SERVER --code {code}")


@gates.command("list")
@json_option
@data_option
def list_all(as_json: bool, data: Path) -> None:
    """List the gates and their state."""
    rows = list_gates(_access(DataDirectory(data)))
    if as_json:
        _print_json([_as_json(gate) for gate in rows])
        return
    for gate in rows:
        click.echo(f"{gate.name}  {gate.station}  {gate.direction}  {_state(gate)}")


@gates.command("revoke")
@click.argument("name")
@data_option
def revoke(name: str, data: Path) -> None:
    """Stop trusting the gate called NAME, now and for good."""
    revoke_gate(_access(DataDirectory(data)), name, _now())
    click.echo(f"{name} is revoked: its requests are refused from now on.")


def _check_station(station: str, data: DataDirectory) -> None:
    stations = data.settings().stations
    if station not in stations:
        raise GateRefused(f"there is no station {station!r}; there are {', '.join(stations)}")


def _state(gate: Gate) -> str:
    if gate.revoked_at is not None:
        return "revoked"
    if gate.provisioned_at is not None:
        return "provisioned"
    expired = gate.code_expires_at is not None and _now() > gate.code_expires_at
    return "code expired" if expired else "waiting for its code"


def _as_json(gate: Gate) -> dict[str, str | None]:
    provisioned = gate.provisioned_at
    return {
        "gate": gate.name,
        "station": gate.station,
        "direction": gate.direction,
        "state": _state(gate),
        "provisioned_at": None if provisioned is None else format_utc(provisioned),
    }


def _access(data: DataDirectory) -> Database:
    return open_sqlite(data.access_db, AccessTable.metadata)


def _now() -> datetime:
    return datetime.now(UTC)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value))
