"""A real PostgreSQL of one's own: made in a folder, started on a free port, thrown away.

The server refuses to run as root, so whoever runs as root starts it as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from models.errors import FacefareError

_USERS = ("postgres", "nobody")


class PostgresMissing(FacefareError):
    """There is no PostgreSQL server on this machine, or no user to run it as."""


class Postgres:
    """One server with its own files; ``url`` names a database in it."""

    def __init__(self) -> None:
        self.binaries = find_binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="facefare-pg-"))
        self.port = _free_port()
        self._as: list[str] = []
        if os.getuid() == 0:
            user = _unprivileged()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                        "--clear-groups"]  # fmt: skip
        self.run("initdb", "-D", self.data, "-U", "facefare", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://facefare@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-o", options,
                  "-l", str(self.folder / "log"), "start")  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; ``immediate`` is what a power cut does to its processes."""
        self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def create(self, database: str) -> str:
        """Make an empty database and return its URL."""
        self.sql(f"CREATE DATABASE {database}")
        return self.url(database)

    def sql(self, statement: str, database: str = "postgres") -> str:
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                         "-c", statement, self.url(database))  # fmt: skip

    def throw_away(self) -> None:
        """Stop the server and delete all it held."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs and return what it printed."""
        done = subprocess.run(
            [*self._as, str(self.binaries / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            timeout=120,
            check=False,  # what it printed is worth more than its number
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        )
        if done.returncode != 0:
            raise PostgresMissing(f"{program} failed: {done.stdout}")
        return done.stdout


def find_binaries() -> Path:
    """The folder with PostgreSQL's server programs; Debian keeps them out of the PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise PostgresMissing("there is no PostgreSQL server here; install postgresql")
    return Path(found).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged() -> pwd.struct_passwd:
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresMissing(f"PostgreSQL does not run as root, and none of {_USERS} is a user here")
