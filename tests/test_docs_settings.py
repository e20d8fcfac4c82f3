"""What the documents say of settings: every example loads, every key exists, none is left out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

from gate.identity import GateFile, load_identity, make_keys
from gate.settings import (
    CameraSettings,
    DoorSettings,
    KioskSettings,
    MetricsSettings,
    PolicySettings,
)
from gate.template import written
from ledger.fares.ownfiles import AMOUNTS, DURATIONS_S, FILES
from ledger.processors.cashier import StripeKeys
from ledger.reconcile.rules import FeeRule, Rules, read_rules
from ledger.witness import LogSettings, WitnessFile, create_witness, open_witness
from models.errors import FacefareError
from models.settings import TEMPLATE, Settings, TimestampSettings, WitnessSettings, parse_settings
from models.wire.keys import base64url, raw_public
from tests.test_docs import DOCS, ROOT

FENCE = re.compile(r"^```toml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TABLES: dict[str, dict[str, type[BaseModel]]] = {
    "facefare.toml": {
        "": Settings,
        "[[witnesses]]": WitnessSettings,
        "[timestamp]": TimestampSettings,
    },
    "gate.toml": {
        "": GateFile,
        "[door]": DoorSettings,
        "[camera]": CameraSettings,
        "[kiosk]": KioskSettings,
        "[metrics]": MetricsSettings,
        "[policy]": PolicySettings,
    },
    "reconcile.toml": {"": Rules, "[fee]": FeeRule},
    "stripe.toml": {"": StripeKeys},
    "witness.toml": {"": WitnessFile, "[[logs]]": LogSettings},
}
"""Every settings file with its sections: the headings of docs/settings.md."""

SECTIONS = {name for sections in TABLES.values() for name in sections} | {"[stations]"}


def _facefare(text: str, _folder: Path) -> None:
    """The block with what ``facefare init`` writes, less the keys that the block has itself."""
    base = TEMPLATE.format(operator="Example Transit", origin="fares.example/city")
    for key in tomllib.loads(text):
        base = re.sub(rf"^{key} = .*\n|^\[{key}\]\n([^#\[\n].*\n)*", "", base, flags=re.MULTILINE)
    head, _, rest = text.partition("\n[")
    parse_settings(f"{head}\n{base}" + (f"\n[{rest}" if rest else ""), Path("facefare.toml"))


def _gate(text: str, folder: Path) -> None:
    make_keys(folder)
    file = GateFile(
        gate="south-1",
        station="south",
        direction="in",
        server="https://fares.example",
        enrollment_key=base64url(raw_public(Ed25519PrivateKey.generate().public_key())),
    )
    given = tomllib.loads(text)
    top = written(file).partition("\n[")[0].splitlines()
    kept = [line for line in top if line.split(" = ")[0] not in given]
    (folder / "gate.toml").write_text("\n".join([*kept, text]), encoding="utf-8")
    load_identity(folder)


def _reconcile(text: str, folder: Path) -> None:
    (folder / "reconcile.toml").write_text(text, encoding="utf-8")
    read_rules(folder)


def _stripe(text: str, _folder: Path) -> None:
    StripeKeys.model_validate(tomllib.loads(text))


def _witness(text: str, folder: Path) -> None:
    create_witness(folder, "witness.example/w1")
    (folder / "witness.toml").write_text(text, encoding="utf-8")
    open_witness(folder, lambda: 0.0)


LOADERS: dict[str, Callable[[str, Path], None]] = {
    "facefare.toml": _facefare,
    "gate.toml": _gate,
    "reconcile.toml": _reconcile,
    "stripe.toml": _stripe,
    "witness.toml": _witness,
}


def check_example(text: str, folder: Path) -> None:
    """Load an example by the loader of the file that its first line names."""
    name = text.partition("\n")[0].removeprefix("# ")
    assert name in LOADERS, f"an example has to begin with its file's name, not {name!r}"
    LOADERS[name](text, folder)


def examples(page: Path) -> list[str]:
    return FENCE.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page", [page for page in DOCS if examples(page)], ids=lambda page: str(page.name)
)
def test_every_example_of_settings_loads(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(examples(page)):
        (tmp_path / str(number)).mkdir(mode=0o700)
        check_example(text, tmp_path / str(number))


def test_no_example_of_settings_hides_in_another_kind_of_block() -> None:
    for page in DOCS:
        outside = FENCE.sub("", page.read_text(encoding="utf-8"))
        assert re.findall(r"^ *\w+ = [\"\[\d].*$", outside, re.MULTILINE) == [], page.name


WOULD_NOT_LOAD = {
    '# facefare.toml\nfare_url = "postgresql://localhost/fares"\n': "fare_url: Extra inputs",
    '# facefare.toml\n[[witnesses]]\nurl = "https://w.example"\nkey = "BXX"\n': "witnesses.0.key",
    "# gate.toml\n[door]\nfail_opne = true\n": "door.fail_opne is not a key",
    "# gate.toml\nzone = [0.5, 0.0, 0.2, 1.0]\n": "zone cannot be",
    '# reconcile.toml\n[fee]\nshare = "1.4"\n': "fee.share: Extra inputs",
    '# stripe.toml\nsecret_key = "sk_live_example"\n': "webhook_secret",
    '# witness.toml\nname = "w.example"\n[[logs]]\nkey = "AXX"\n': "not a key of the form",
    "# fares.toml\n": "begin with its file's name",
}


@pytest.mark.parametrize(("text", "why"), WOULD_NOT_LOAD.items())
def test_an_example_that_would_not_load_is_found(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises((FacefareError, ValueError, AssertionError), match=why):
        check_example(text, tmp_path)


def documented() -> dict[tuple[str, str], dict[str, str]]:
    """The tables of docs/settings.md: file and section → key → default."""
    tables: dict[tuple[str, str], dict[str, str]] = {}
    file = section = ""
    for line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            file, section = line[3:], ""
        elif line.startswith("### "):
            section = line[4:]
        elif line.startswith("| `"):
            keys, default = (cell.strip() for cell in line.split("|")[1:3])
            found = tables.setdefault((file, section), {})
            found |= dict.fromkeys(re.findall(r"`(\w+)`", keys), default)
    return tables


def defaults(model: type[BaseModel]) -> dict[str, str]:
    """A model's keys and defaults as the page writes them; sections have tables of their own."""
    said = {}
    for key, field in model.model_fields.items():
        if f"[{key}]" in SECTIONS or f"[[{key}]]" in SECTIONS:
            continue
        value = list(field.default) if isinstance(field.default, tuple) else field.default
        bare = "needed" if field.is_required() else "–"
        said[key] = bare if field.is_required() or value is None else f"`{json.dumps(value)}`"
    return said


@pytest.mark.parametrize("file", TABLES)
def test_the_page_of_settings_has_every_key_and_no_other(file: str) -> None:
    pages = documented()
    for section, model in TABLES[file].items():
        assert pages[file, section] == defaults(model), f"{file} {section}"


def test_sections_in_the_documents_exist() -> None:
    for page in DOCS:
        found = re.findall(r"`(\[\[?\w+\]\]?)", page.read_text(encoding="utf-8"))
        assert set(found) <= SECTIONS, page.name


def test_keys_with_a_value_or_a_section_in_the_documents_exist() -> None:
    """As in ``rotation = 90`` and ``camera.source``."""
    models = [model for sections in TABLES.values() for model in sections.values()]
    keys = {key for model in models for key in model.model_fields}
    sections = {name.strip("[]"): model for name, model in TABLES["gate.toml"].items() if name}
    files = {"door.secret"}
    for page in DOCS:
        text = page.read_text(encoding="utf-8")
        found = set(re.findall(r"`(?:\w+\.)?(\w+) = [^`]*`", text))
        assert found <= keys, page.name
        for section, key in re.findall(rf"`({'|'.join(sections)})\.(\w+)`", text):
            known = f"{section}.{key}" in files or key in sections[section].model_fields
            assert known, f"{page.name}: {section}.{key}"


def test_every_variable_of_the_environment_is_documented_and_used() -> None:
    said = set(documented()["Environment", ""])
    folders = ("models", "gate", "enrollment", "ledger", "facefare")
    code = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    code += [ROOT / "tests" / "conftest.py"]
    used = {
        name
        for path in code
        for name in re.findall(r"\bFACEFARE_[A-Z_]+", path.read_text(encoding="utf-8"))
    }
    assert said == used | {"FACEFARE_TEST_ALL"}


def test_the_fields_of_our_own_fare_files_are_those_that_are_read() -> None:
    page = (ROOT / "docs" / "fares.md").read_text(encoding="utf-8")
    written: set[str] = set()
    for file in FILES:
        section = page.split(f"## `{file}`\n", 1)[1].split("\n## ")[0]
        written |= {name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
                    for name in re.findall(r"`(\w+)`", cell)}  # fmt: skip
        for listed in re.findall(r"^Rows `([\w, ]+)`", section, re.MULTILINE):
            written |= set(listed.split(", "))
    source = (ROOT / "ledger" / "fares" / "ownfiles.py").read_text(encoding="utf-8")
    read = {*DURATIONS_S, *AMOUNTS, *re.findall(r"row\.\w+\(\s*\"(\w+)\"", source)}
    assert written == read
