"""The import table of the project, held with ``ast``: who may know whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "gate", "enrollment", "ledger", "facefare")

MAY_IMPORT = {
    "models": {"models"},
    "gate": {"models", "gate"},
    "enrollment": {"models", "enrollment"},
    "ledger": {"models", "ledger"},
    "facefare": set(PACKAGES),
}
"""models <- gate | enrollment | ledger <- facefare; never sideways."""

MONEY_NEVER_SEES_A_FACE = ("models.faces", "models.tables.riders", "numpy", "cv2", "dlib")
PURE = (
    "models/money.py",
    "models/log",
    "models/wire",
    "gate/decision.py",
    "gate/passage.py",
    "ledger/fares",
    "ledger/postings.py",
)
"""Files that must not know a database, a web framework, a clock or the network."""
IMPURE_MODULES = ("sqlalchemy", "sqlmodel", "flask", "httpx", "sqlite3", "time", "threading")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in a file, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, node.module or ""


def sources(place: str) -> list[Path]:
    """The Python files at or below ``place``."""
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def is_below(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    forbidden = set(PACKAGES) - MAY_IMPORT[package]
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(package)
        for line, module in imports(path)
        if module.split(".")[0] in forbidden
    ]
    assert bad == []


def test_the_ledger_never_sees_a_face() -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("ledger")
        for line, module in imports(path)
        if any(is_below(module, name) for name in MONEY_NEVER_SEES_A_FACE)
    ]
    assert bad == []


@pytest.mark.parametrize("place", PURE)
def test_pure_modules_know_no_storage_web_or_clock(place: str) -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(place)
        for line, module in imports(path)
        if any(is_below(module, name) for name in IMPURE_MODULES)
    ]
    assert bad == []


def test_the_gate_speaks_to_the_server_over_http_only() -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("gate")
        for line, module in imports(path)
        if is_below(module, "sqlmodel") or is_below(module, "models.tables")
    ]
    assert bad == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sources(package)
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
