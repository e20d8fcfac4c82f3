"""The pages in English and Chinese: which language is chosen, and that nothing is left out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask
from flask.testing import FlaskClient

from enrollment.consent_texts import current_consent, languages
from enrollment.words import photo_advice
from facefare.languages import CATALOGUES, LANGUAGES
from facefare.server import create_app
from facefare.setup import make_data
from ledger.adjustments import GOODWILL_REASONS, WRITE_OFF_REASONS
from ledger.console.words import reason
from ledger.fares.standing import BLOCK_REASONS
from ledger.holds import HOLD_REASONS, RESOLUTIONS
from ledger.refunds import REASONS
from models.access.staff import StaffRegister, add_staff
from models.faces.quality import ADVICE
from models.settings import DataDirectory
from tests.conftest import ROOT
from tests.desk import PASSWORD, post, sign_in

ROOMS = ("models", "enrollment", "ledger", "facefare")
CHINESE = CATALOGUES / "zh" / "LC_MESSAGES"
HAN = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"%\(\w+\)[srd]")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    data = DataDirectory(tmp_path_factory.mktemp("languages") / "data")
    make_data(data, "Test Transit", "fares.example/test")
    yield create_app(data)


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    return app.test_client()


def catalogue() -> Catalog:
    with (CHINESE / "messages.po").open("rb") as file:
        return read_po(file, locale="zh")


def words_in_use() -> set[str]:
    methods = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
    keywords = {"_": None, "_l": None, "gettext": None, "ngettext": (1, 2)}
    found: set[str] = set()
    for room in ROOMS:
        for _, _, message, _, _ in extract_from_dir(ROOT / room, methods, keywords=keywords):
            found.add(message if isinstance(message, str) else message[0])
    return found


def translations() -> dict[str, str]:
    found: dict[str, str] = {}
    for message in catalogue():
        if message.id:
            key = message.id if isinstance(message.id, str) else message.id[0]
            said = message.string
            found[key] = said if isinstance(said, str) else said[0]
    return found


def test_every_word_in_use_is_in_the_catalogue_and_no_other() -> None:
    assert words_in_use() == set(translations()), "run scripts/translate"


def test_nothing_is_untranslated_or_fuzzy() -> None:
    assert [message.id for message in catalogue() if message.fuzzy] == []
    assert [key for key, said in translations().items() if not said] == []


def test_chinese_is_chinese() -> None:
    plain = {key for key, said in translations().items() if not HAN.search(said) and key == said}
    assert plain <= {"20 or 2.50", "SHA-256"}


def test_a_translation_fills_in_the_same_places() -> None:
    for key, said in translations().items():
        assert sorted(PLACEHOLDER.findall(key)) == sorted(PLACEHOLDER.findall(said)), key


def test_the_compiled_catalogue_is_the_written_one() -> None:
    compiled = BytesIO()
    write_mo(compiled, catalogue())
    assert compiled.getvalue() == (CHINESE / "messages.mo").read_bytes(), "run scripts/translate"


def test_the_compiled_catalogue_is_not_ignored_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", str(CHINESE / "messages.mo")], cwd=ROOT, check=False
    )
    assert ignored.returncode == 1


def test_no_template_holds_words_of_its_own() -> None:
    """What stands between tags goes through the catalogue."""
    api = "ledger/templates/ledger/api.html"  # the interface's own page, in English
    loose: list[str] = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("templates/**/*.html"):
            if path.relative_to(ROOT).as_posix() == api:
                continue
            text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.S)
            for words in re.findall(r">([^<]+)<", text):
                if re.search(r"[A-Za-z]{2}", words) and words.strip() not in ("UTC",):
                    loose.append(f"{path.name}: {words.strip()}")
    assert loose == []


def test_the_browsers_language_is_asked_first(visitor: FlaskClient) -> None:
    assert "Staff sign in" in visitor.get("/").text
    page = visitor.get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}).text
    assert "员工登录" in page
    assert '<html lang="zh-Hans">' in page
    assert "Staff sign in" in visitor.get("/", headers={"Accept-Language": "fr"}).text


def choose(client: FlaskClient, language: str, page: str = "/staff/sign-in") -> str:
    given = {"language": language, "next": page}
    answer = post(client, "/language", given, page="/")
    assert answer.status_code == 303
    return answer.location


def test_the_switch_leads_back_and_is_remembered(visitor: FlaskClient) -> None:
    assert choose(visitor, "zh") == "/staff/sign-in"
    page = visitor.get("/staff/sign-in", headers={"Accept-Language": "en"}).text
    assert "一次性验证码" in page
    choose(visitor, "en")
    assert "One-time code" in visitor.get("/staff/sign-in").text


def test_the_switch_leads_to_no_other_server_and_knows_no_other_language(
    visitor: FlaskClient,
) -> None:
    assert choose(visitor, "zh", page="//elsewhere.example/") == "/"
    choose(visitor, "xx")
    assert "一次性验证码" in visitor.get("/staff/sign-in").text


def test_a_switch_without_a_csrf_token_is_refused(visitor: FlaskClient) -> None:
    assert visitor.post("/language", data={"language": "zh"}).status_code == 400


def test_the_choice_of_a_member_of_staff_follows_them_to_another_browser(app: Flask) -> None:
    enrollment = app.extensions["enrollment"]
    register: StaffRegister = enrollment.staff
    now = enrollment.clock()
    member = add_staff(register, "mei", PASSWORD, ["finance"], now)
    first = app.test_client()
    assert sign_in(first, member, now).status_code == 303
    choose(first, "zh")
    later = now + timedelta(seconds=30)
    second = app.test_client()
    assert sign_in(second, member, later).status_code == 303
    assert "<h1>财务</h1>" in second.get("/finance/").text


def test_problems_are_told_in_the_language_of_the_page(visitor: FlaskClient) -> None:
    answer = visitor.get("/nowhere", headers={"Accept-Language": "zh"})
    assert (answer.status_code, "此地址没有内容。" in answer.text) == (404, True)


def test_every_language_has_a_consent_text_with_the_same_sections() -> None:
    assert languages() == sorted(LANGUAGES)
    sections = {code: current_consent(code).sections() for code in LANGUAGES}
    assert len({len(found) for found in sections.values()}) == 1
    assert all(heading and body for found in sections.values() for heading, body in found)


def test_the_reasons_of_credits_and_blocks_are_the_ledgers_own() -> None:
    for reasons in (REASONS, GOODWILL_REASONS, WRITE_OFF_REASONS, HOLD_REASONS, RESOLUTIONS):
        assert {code: reason(code, "") for code in reasons} == reasons
    assert all(reason(code, "") == block.words for code, block in BLOCK_REASONS.items())


def test_the_advice_on_photos_is_the_gates_own() -> None:
    assert {reason: photo_advice(reason) for reason in ADVICE} == dict(ADVICE)
