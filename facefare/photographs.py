"""The test photographs inside face_recognition's source distribution, fetched when needed.

The package on the index carries them under ``tests/test_images``: one person three times,
another once. pip fetches the archive from whatever index it is set up with and checks its
sha256; the archive is cached, and nothing of it is ever committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from models.errors import FacefareError

ARCHIVE = "face_recognition-1.3.0.tar.gz"
ARCHIVE_SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
FOLDER = "face_recognition-1.3.0/tests/test_images"
RIDER_ENROLLED = ("obama.jpg", "obama2.jpg")
RIDER_AT_THE_GATE = "obama3.jpg"
STRANGER = "biden.jpg"


class PhotographsMissing(FacefareError):
    """The photographs could not be fetched."""


def cache_folder() -> Path:
    """Where fetched files are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "facefare"


def fetch_photographs() -> Path:
    """Return the folder with the photographs, fetching them the first time.

    Raises ``PhotographsMissing`` where the index cannot be reached or the file is another.
    """
    folder = cache_folder() / "photographs"
    wanted = {*RIDER_ENROLLED, RIDER_AT_THE_GATE, STRANGER}
    if all((folder / name).is_file() for name in wanted):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        archive = _download(Path(scratch))
        with tarfile.open(archive) as tar:
            for name in wanted:
                member = tar.extractfile(f"{FOLDER}/{name}")
                if member is None:
                    raise PhotographsMissing(f"{ARCHIVE} holds no {name}")
                fresh = folder / f"{name}.new"
                fresh.write_bytes(member.read())
                fresh.replace(folder / name)
    return folder


def _download(folder: Path) -> Path:
    requirement = folder / "photographs.txt"
    requirement.write_text(
        f"face_recognition==1.3.0 --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8"
    )
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet",
        "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes",
        "--requirement", str(requirement), "--dest", str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise PhotographsMissing(
            "the demo's photographs could not be fetched; connect to the package index, or give "
            f"your own with --photos DIR --clip FILE. pip says: {done.stderr.strip()[-300:]}"
        )
    return folder / ARCHIVE
