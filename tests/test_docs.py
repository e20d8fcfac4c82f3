"""What the documents say must be true: commands exist, links lead somewhere, nothing leaks."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from facefare.cli import facefare
from models.settings import TEMPLATE

ROOT = Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"^\s*(?:\$ )?(facefare [^#\n`]+|scripts/[^#\n`]+)", re.MULTILINE)
INLINE = re.compile(r"`(facefare [a-z][^`\n]*|scripts/[a-z][^`\n]*)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9_]+")
FOREIGN = {"payment_failed", "proxy_pass"}
"""Names in the documents that are another program's: an event of Stripe, a word of nginx."""


def commands_in(text: str) -> list[str]:
    """Commands in shell blocks, fenced or indented, and in code within a sentence."""
    lines, fence = [], None
    for line in text.splitlines():
        if line.startswith("```"):
            fence = line.strip("`").strip() if fence is None else None
        elif fence in ("", "sh", "shell", "console") or (fence is None and line[:4] == "    "):
            lines.append(line)
    found = COMMAND.findall("\n".join(lines)) + INLINE.findall(text)
    return [command.strip() for command in found]


def check_command(line: str) -> None:
    """Raise AssertionError where a written command has a part that does not exist."""
    words = [word for word in shlex.split(line) if word not in ("&&", ".")]
    if words[0].startswith("scripts/"):
        assert (ROOT / words[0]).is_file(), f"{words[0]} does not exist"
        return
    command: click.Command = facefare
    context = click.Context(command)
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, f"{line!r}: there is no command {rest[0]!r}"
        command, rest = found, rest[1:]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    if command is facefare:
        options |= {"--version"}
    unknown = [word for word in rest if word.startswith("--") and word not in options]
    assert not unknown, f"{line!r}: {unknown} do not exist"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_the_documents_exists(path: Path) -> None:
    for line in commands_in(path.read_text(encoding="utf-8")):
        check_command(line)


def test_the_readme_names_commands_at_all() -> None:
    assert len(commands_in((ROOT / "README.md").read_text(encoding="utf-8"))) >= 8


def anchors(path: Path) -> set[str]:
    """What a link into this page may name after the #: GitHub's names of its headings."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose))
    return {heading.replace(" ", "-") for heading in headings}


def check_link(page: Path, link: str) -> None:
    """Raise AssertionError where a link inside the repository leads nowhere."""
    if "://" in link:
        return
    target, _, anchor = link.partition("#")
    there = page.parent / target if target else page
    assert there.exists(), f"{page.name} links to {target}"
    if anchor:
        assert anchor in anchors(there), f"{page.name} links to {link}, which is no heading"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        check_link(path, link)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One: two, `three_4` & five-six\n\n```\n# no heading\n```\n")
    check_link(page, "#one-two-three_4--five-six")
    for link in ("other.md", "#no-heading", "page.md#one"):
        with pytest.raises(AssertionError, match="links to"):
            check_link(page, link)


@functools.cache
def names_in_use() -> set[str]:
    """Every word of the code, its pages and its tests."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    kinds = (".py", ".html", ".js", ".toml", ".txt", ".service", ".timer", ".css")
    found: set[str] = set()
    for path in map(ROOT.joinpath, listed):
        if path == Path(__file__):
            found.add(path.stem)  # and not the names that are made up in here
        elif path.name.endswith(kinds) and path.is_file():
            found |= {path.stem, *NAME.findall(path.read_text(encoding="utf-8"))}
    return found


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_in_code_letters_exists(path: Path) -> None:
    """Keys, columns, files, events: a name with a low line that nothing has was renamed."""
    written = re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8"))
    names = {name for code in written for name in NAME.findall(code) if "_" in name.strip("_")}
    assert sorted(names - names_in_use() - FOREIGN) == []


def units() -> list[Path]:
    return sorted((ROOT / "docs" / "deploy").iterdir())


@pytest.mark.parametrize("path", units(), ids=lambda path: path.name)
def test_every_command_in_a_systemd_unit_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"(?:#  +|bin/|\$)facefare ([a-z][^|&;>\n…]*)", text)
    assert found or path.suffix == ".timer" or "kiosk" in path.name
    for command in found:
        check_command(f"facefare {command}")


def test_commands_are_found_in_every_kind_of_block() -> None:
    text = "```python\nx = 1\n```\n```sh\nfacefare one\n```\n\n    facefare two\n\n`facefare three`"
    assert commands_in(text) == ["facefare one", "facefare two", "facefare three"]


def test_every_command_in_the_settings_template_exists() -> None:
    for line in re.findall(r"(?:\"|: )(facefare [a-z ]+)", TEMPLATE):
        check_command(line)


def test_a_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError, match="no command 'fly'"):
        check_command("facefare gate fly")
    with pytest.raises(AssertionError, match="--quietly"):
        check_command("facefare serve --quietly")


def test_every_dependency_has_a_line_in_the_decisions() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    assert listed is not None
    names = re.findall(r'^\s*"([A-Za-z0-9_-]+)', listed.group(1), re.MULTILINE)
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    assert len(names) > 10
    table = [line.split("|")[1] for line in decisions.splitlines() if line.startswith("| ")]
    explained = set(re.findall(r"[a-z_0-9-]+", " ".join(table).lower()))
    assert [name for name in names if name.lower() not in explained] == []


def test_the_lock_files_name_no_registry_and_hash_every_package() -> None:
    for name in ("build.txt", "lock.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        assert "://" not in text and "index-url" not in text
        blocks = re.split(r"\n(?=[a-z])", text.strip())
        assert all("--hash=sha256:" in block for block in blocks), name


def test_no_picture_of_a_person_and_no_weights_are_tracked() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    allowed = ("docs/screenshots/", "docs/calibration/")
    pictures = [
        name
        for name in tracked
        if name.lower().endswith((".jpg", ".jpeg", ".png", ".mp4", ".gif", ".dat", ".onnx"))
        and not name.startswith(allowed)
    ]
    assert pictures == []


def test_every_page_is_in_the_reading_order() -> None:
    order = ROOT / "docs" / "README.md"
    linked = {link.split("#")[0] for link in LINK.findall(order.read_text(encoding="utf-8"))}
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    written_by_a_command = {"benchmarks.md"}  # scripts/bench all
    assert sorted(pages - linked - written_by_a_command - {"README.md"}) == []
