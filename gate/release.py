"""``facefare gate release``: staff open the door by hand, through the gate's running program.

Whoever can read the gate's directory may do it. Nobody is charged; the gate's log and its
figures tell that it happened, and the log by whom.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import httpx

from gate.errors import DoorError, GateConfigError
from gate.identity import GateIdentity, load_identity


def release(identity: GateIdentity, by: str) -> None:
    """Open once; raise ``DoorError`` or ``GateConfigError`` with what is wrong."""
    port = identity.file.kiosk.port
    if not port:
        raise GateConfigError(
            "the gate's program takes releases at its kiosk's port; set kiosk.port in gate.toml"
        )
    try:
        token = identity.release_token_path.read_text(encoding="ascii").strip()
        answer = httpx.post(
            f"http://127.0.0.1:{port}/release",
            json={"by": by},
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )
    except (OSError, httpx.HTTPError) as error:
        raise DoorError(
            f"the gate's program does not answer ({error}); start it, or open by hand"
        ) from error
    if answer.status_code == 503:
        raise DoorError(str(answer.json()["problem"]))
    if answer.status_code == 400:
        raise GateConfigError(f"{by!r} cannot be a name in the log; use up to 60 plain characters")
    if not answer.is_success:
        raise DoorError("the gate's program did not accept the release; was it started anew?")


@click.command("release")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("gate-data"),
    envvar="FACEFARE_GATE",
    show_default=True,
    help="The gate's own directory.",
)
@click.option("--by", required=True, help="Who opens; it is logged.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON line.")
def release_command(directory: Path, by: str, as_json: bool) -> None:
    """Open the door once by hand, without a ride."""
    release(load_identity(directory), by)
    click.echo(json.dumps({"released": True, "by": by}) if as_json else "The door opens.")
