"""The whole journey on this machine: enroll, walk through a gate, find the ride in the ledger.

Everything runs as it would in a station. The server and the gate are processes of their
own that talk HTTP, the rider is enrolled through the staff form, and the ledger is
verified by the same command an auditor uses.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import pyotp
from rich.console import Console

from facefare.cast import Cast, DemoFailed, default_cast, own_cast, webcam_cast
from facefare.desk import Credentials, Desk, new_password
from facefare.setup import make_data
from models.access.gates import add_gate
from models.access.staff import StaffRegister, add_staff
from models.errors import FacefareError
from models.settings import DataDirectory

STATION = "south"
GATE = "south-1"
STAFF = "demo"
START_TIMEOUT_S = 60.0


class Story:
    """The demo's steps; each says on the console what it did."""

    def __init__(self, data: Path, work: Path, console: Console) -> None:
        self.data = DataDirectory(data)
        self.work = work
        self.console = console
        self.server = f"http://127.0.0.1:{_free_port()}"
        self.credentials = Credentials(STAFF, new_password(), "")

    def found(self) -> str:
        """Make the operator: data directory, one member of staff, one gate. Returns its code."""
        now = datetime.now(UTC)
        if not self.data.settings_file.exists():
            make_data(self.data, "Demo Transit", "fares.example/demo")
        staff = StaffRegister.open(self.data)
        name = f"{STAFF}-{now:%H%M%S}"
        added = add_staff(
            staff, name, self.credentials.password, ["enroller", "service", "finance"], now
        )
        self.credentials = Credentials(name, self.credentials.password, added.totp_secret)
        gate = f"{GATE}-{now:%Y%m%d%H%M%S}"
        return add_gate(staff.database, gate, STATION, "in", now)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The one-machine server as its own process."""
        port = self.server.rpartition(":")[2]
        log = (self.work / "server.log").open("w", encoding="utf-8")
        process = subprocess.Popen(  # noqa: S603
            [*_FACEFARE, "serve", "--pretend-cards", "--data", str(self.data.path), "--port", port],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_for_server(process)
            yield
        finally:
            process.terminate()
            process.wait(20)
            log.close()

    def _wait_for_server(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until and process.poll() is None:
            try:
                httpx.get(f"{self.server}/", timeout=2.0)
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
        said = (self.work / "server.log").read_text(encoding="utf-8")
        raise DemoFailed(f"the server did not start: {said[-500:]}")

    def enroll(self, photos: list[Path]) -> str:
        """Enroll the rider through the staff form, with 20.00 on the account."""
        with Desk(self.server, self.credentials) as desk:
            account = desk.enroll("Demo Rider", STATION, photos)
            desk.top_up(account, "20.00")
        return account

    def gate(self, code: str) -> Path:
        """Provision the gate and return its directory."""
        directory = self.work / f"gate-{code}"
        _run("gate", "provision", "--server", self.server, "--code", code, "--dir", str(directory))
        return directory

    def walk_up(self, directory: Path, clip: Path) -> dict[str, Any]:
        """Run the gate program on the clip and return its summary."""
        answer = _run(
            "gate", "replay", str(clip), "--dir", str(directory), "--liveness", "off",
            "--drain-s", "30", "--json", show=True,
        )  # fmt: skip
        summary: dict[str, Any] = json.loads(answer)
        return summary

    def verify(self) -> dict[str, Any]:
        """Verify the ledger against the published checkpoint, as an auditor would."""
        until = time.monotonic() + 20.0
        while True:
            checkpoint = self.work / "checkpoint"
            checkpoint.write_text(httpx.get(f"{self.server}/log/checkpoint").text, encoding="utf-8")
            answer: dict[str, Any] = json.loads(
                _run(
                    "ledger",
                    "verify",
                    "--data",
                    str(self.data.path),
                    "--checkpoint",
                    str(checkpoint),
                    "--json",
                )
            )
            if answer["entries"] == answer["checkpoint_size"] or time.monotonic() > until:
                return {**answer, "note": checkpoint.read_text(encoding="utf-8")}
            time.sleep(0.5)  # the newest entries are covered by a checkpoint within 5 s


_FACEFARE = [sys.executable, "-m", "facefare"]


def _run(*arguments: str, show: bool = False) -> str:
    """Run a facefare command and return what it prints; its errors become ``DemoFailed``."""
    done = subprocess.run(  # noqa: S603
        [*_FACEFARE, *arguments],
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoFailed(f"facefare {arguments[0]} {arguments[1]} failed. {done.stderr or ''}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@click.command()
@click.option("--exit", "exit_after", is_flag=True, help="End after the summary.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON line.")
@click.option("--data", type=click.Path(path_type=Path), help="Keep everything in this folder.")
@click.option("--camera", help="Your own webcam (0), or an rtsp:// or http:// address.")
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of photos of one person; needs --clip.",
)
@click.option("--clip", type=click.Path(path_type=Path), help="The clip of that person's walk-up.")
def demo(
    exit_after: bool,
    as_json: bool,
    data: Path | None,
    camera: str | None,
    photos: Path | None,
    clip: Path | None,
) -> None:
    """A rider walks through a gate, and the ride is in the ledger."""
    if (photos is None) != (clip is None):
        raise click.UsageError("--photos and --clip go together")
    console = Console(stderr=True, highlight=False)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facefare-demo-")))
        if photos is not None and clip is not None:
            cast = own_cast(photos, clip)
        elif camera is not None:
            cast = webcam_cast(work, camera, console)
        else:
            cast = default_cast(work, console)
        _tell(Story(data or work / "data", work, console), cast, exit_after, as_json, stack)


def _tell(story: Story, cast: Cast, exit_after: bool, as_json: bool, stack: ExitStack) -> None:
    console = story.console
    console.rule("Facefare demo")
    code = story.found()
    stack.enter_context(story.serving())
    account = story.enroll(cast.photos)
    console.print(
        f"[green]✓[/] enrolled a rider from {len(cast.photos)} photos through the staff form: "
        f"account {account[:8]}…, 20.00 on it; the photos were not kept"
    )
    directory = story.gate(code)
    console.print(f"[green]✓[/] provisioned a gate at {STATION}; its key was made on the gate")
    if cast.clip is None:
        _live(story, directory, str(cast.camera))
        return
    console.print(
        "[yellow]![/] the clip is made from still photographs, so the gate runs with "
        "--liveness off; a real gate must not"
    )
    seen = story.walk_up(directory, cast.clip)
    proof = story.verify()
    summary = {
        "sightings": seen["sightings"],
        "taps": seen["opened"],
        "entries": proof["entries"],
        "refused": seen["refused"],
        "verify": "ok",
        "checkpoint": " ".join(proof["note"].splitlines()[:3]),
    }
    console.print(
        f"[green]✓[/] the gate saw {seen['sightings']} faces, opened {seen['opened']} time(s) and "
        f"refused {seen['refused']} stranger(s)"
    )
    console.print(
        f"[green]✓[/] the ledger holds {proof['entries']} entries (a top-up, then the ride) and "
        "verifies against its published checkpoint"
    )
    if as_json:
        click.echo(json.dumps(summary))
    if not exit_after:
        _stay(story)


def _live(story: Story, directory: Path, camera: str) -> None:
    """Run the gate on the webcam until Ctrl-C."""
    _addresses(story)
    console = story.console
    console.print("Step before the camera. Stop with Ctrl-C.")
    command = [*_FACEFARE, "gate", "run", "--camera", camera, "--dir", str(directory)]
    # The check that needs no weights: a photograph held to the webcam is asked for a pass.
    subprocess.run([*command, "--liveness", "still"], check=False)  # noqa: S603


def _stay(story: Story) -> None:
    _addresses(story)
    story.console.print("The server stays up until Ctrl-C.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        story.console.print("Stopping.")


def _addresses(story: Story) -> None:
    credentials = story.credentials
    story.console.print(f"\nPages       {story.server}/")
    story.console.print(f"Finance     {story.server}/finance/")
    story.console.print(
        f"Sign in     name {credentials.name}, password {credentials.password}, "
        f"code {pyotp.TOTP(credentials.totp_secret).now()} (new every 30 s: add the secret "
        f"{credentials.totp_secret} to an authenticator)"
    )


def main() -> None:
    """Run the demo; an error that has a sentence prints the sentence and exits with 1."""
    try:
        demo(prog_name="scripts/demo")
    except FacefareError as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
