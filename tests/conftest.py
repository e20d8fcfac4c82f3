"""What the tests share: the engine, the real photographs, and the rule that CI skips nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, sync_playwright

from facefare import photographs
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FACEFARE_TEST_DATA", ROOT.parent / "shared" / "data"))

LONGEST = (
    "test_journey.py",
    "test_charge_fares.py",
    "test_demo.py",
    "test_simulate.py",
    "test_fares_agree.py",
    "test_calibration.py",
    "test_station_journey.py",
    "test_live_gate.py",
    "test_attacks.py",
    "test_desk_camera.py",
    "test_reconcile_run.py",
    "test_gate_liveness.py",
    "test_ledger_kill.py",
    "test_kiosk.py",
)
"""The files that take longest go first: whichever comes last, all but one worker wait for it."""

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A test browser that asks nothing of the network."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the long files to the front, in the order of the list."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


def missing(what: str) -> None:
    """Skip a test for want of ``what``; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"{what} is not here")


def read_rgb(path: Path) -> Frame:
    """A picture as the engine takes it."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, f"{path} cannot be read"
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


_AS_SHIPPED = PasswordHasher.__init__


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hundreds of members of staff sign in: a tenth of a second for each is the machine's minute.

    Only what the product hashes with argon2's defaults becomes cheap, and only here.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(PasswordHasher, "__init__", _hasher)
    yield
    patch.undo()


def _hasher(self: PasswordHasher, *arguments: Any, **settings: Any) -> None:
    if arguments or settings:
        _AS_SHIPPED(self, *arguments, **settings)
    else:
        _AS_SHIPPED(self, time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def passwords_as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of how long a password takes."""
    monkeypatch.setattr(PasswordHasher, "__init__", _AS_SHIPPED)


@pytest.fixture(scope="session")
def engine() -> DlibEngine:
    """The default engine, loaded once."""
    return DlibEngine.load()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with clips, faces and attacks."""
    if not (DATA / "clips").is_dir():
        missing(f"the test data at {DATA} (set FACEFARE_TEST_DATA)")
    return DATA


@pytest.fixture(scope="session")
def stills() -> Path:
    """A folder with biden.jpg, obama.jpg and obama2.jpg: the test data's or the fetched ones."""
    local = DATA / "clips" / "stage"
    return local if local.is_dir() else photographs.fetch_photographs()


def chromium() -> str:
    """Chromium as it is installed on the machine, or a skip."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing("Chromium")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium as it is installed on the machine."""
    found = chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
        yield launched
        launched.close()
