"""docs/advisories.md against the lock: every pin past the known fixes, no package left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from packaging.version import Version

from tests.test_docs import ROOT

OPTIONAL = ("gpiozero", "paho-mqtt")
"""Of the extras gpio and mqtt, which a gate may install; their pins are in dev.txt."""

ID = r"CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}"


@dataclass(frozen=True)
class Row:
    """One package of the page: where its advisories were fixed, the last one, our pin."""

    fixed: Version
    pins: list[str]
    earlier: list[Version]
    ids: list[str]


def pinned() -> dict[str, list[str]]:
    """Every package that runs, with its pins (one for each version of Python where they differ)."""
    pins: dict[str, list[str]] = {}
    for name, chosen in (("lock.txt", None), ("dev.txt", OPTIONAL)):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        for package, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE):
            if chosen is None or package in chosen:
                pins.setdefault(package, []).append(version)
    return pins


def section(heading: str) -> str:
    page = (ROOT / "docs" / "advisories.md").read_text(encoding="utf-8")
    return page.split(heading, 1)[1].split("\n## ")[0]


def rows(text: str) -> dict[str, Row]:
    found = {}
    for line in re.findall(r"^\| [a-z0-9-]+ \| \d.*$", text, re.MULTILINE):
        name, fixed, pin, said = (cell.strip() for cell in line.split("|")[1:5])
        earlier = [Version(version) for version in re.findall(r"\(([\d.]+)\)", said)]
        found[name] = Row(Version(fixed), pin.split(" / "), earlier, re.findall(ID, said))
    return found


FIXED, OPEN = rows(section("# Known advisories")), rows(section("## Known and not fixed here"))


def behind(row: Row, pins: list[str]) -> bool:
    """Whether a pin is older than the fix of an advisory in the row."""
    return any(Version(pin) < max([row.fixed, *row.earlier]) for pin in pins)


@pytest.mark.parametrize("name", FIXED)
def test_every_pin_is_past_the_known_fixes(name: str) -> None:
    row = FIXED[name]
    assert row.ids and row.pins == pinned()[name]
    assert not behind(row, pinned()[name])
    assert all(version < row.fixed for version in row.earlier)


def test_what_is_told_as_not_fixed_is_not() -> None:
    """Else it belongs into the table above: the reason for the old pin is gone."""
    for name, row in OPEN.items():
        assert row.ids and row.pins == pinned()[name] and behind(row, pinned()[name])


def test_every_package_that_runs_is_in_one_place_of_the_page() -> None:
    none_known = re.findall(r"[a-z0-9][a-z0-9-]*", section("## No advisory known to us"))
    assert sorted([*FIXED, *OPEN, *none_known]) == sorted(pinned())


def test_a_pin_below_a_fix_is_found() -> None:
    row = rows("| pillow | 12.3.0 | 12.2.0 | CVE-2026-25990 (12.1.1), CVE-2026-59199 | pictures |")
    assert behind(row["pillow"], ["12.2.0"])
    assert behind(row["pillow"], ["12.3.0", "9.5.0"])
    assert not behind(row["pillow"], ["12.10.0"])
