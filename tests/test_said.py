"""What a difference says is kept as a code, and read in the reader's language."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from flask import Flask
from flask_babel import force_locale
from sqlalchemy import Engine, MetaData, text

from bench.postgres import Postgres
from facefare import languages
from ledger.reconcile import differences, gate_taps
from ledger.reconcile.said import AS_WRITTEN, SENTENCES, said, sentence
from ledger.schema import _SCRIPTS, upgrade
from models.database import open_postgres, open_sqlite, writing
from models.money import Money
from tests.postgres import a_server

TWENTY, NINETEEN = Money(2000, "CNY"), Money(1900, "CNY")
OLD = 'the ledger says CN¥20.00, the processor CN¥19.00 "or so"'


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = open_sqlite(tmp_path / "fares.sqlite", MetaData(), create=True)
    else:
        made = open_postgres(request.getfixturevalue("server").create("said"))
    yield made
    made.dispose()


def test_the_same_difference_is_read_in_english_and_in_chinese() -> None:
    kept = said("amount_at_processor", ours=TWENTY, theirs=NINETEEN)
    app = Flask(__name__)
    languages.speak(app)
    with app.test_request_context():
        with force_locale("en"):
            assert sentence(kept) == "the ledger says CN¥20.00, the processor CN¥19.00"
        with force_locale("zh"):
            assert sentence(kept) == "账本为 ¥20.00，支付机构为 ¥19.00"
    assert sentence(kept) == "the ledger says CN¥20.00, the processor CN¥19.00"


def test_what_somebody_else_wrote_is_not_taken_for_a_pattern() -> None:
    assert sentence(said("text_unknown", text="100 %(ours)s %d")) == (
        "nothing is known of: 100 %(ours)s %d"
    )


def test_every_code_that_is_found_has_a_sentence() -> None:
    files = differences.__file__, gate_taps.__file__
    code = "".join(Path(file).read_text("utf-8") for file in files)
    codes = set(re.findall(r'said\("([a-z_]+)"', code)) | set(
        re.findall(r'"(cash_at_bank|amount_at_bank)"', code)
    )
    codes |= {"charge_unknown", "refund_unknown", "tap_arrived"}
    assert codes <= SENTENCES.keys()
    assert SENTENCES.keys() - codes == {AS_WRITTEN, "counterpart_found", "found_anew"}


def test_an_upgrade_keeps_the_words_of_old_differences(engine: Engine) -> None:
    with writing(engine) as session:
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "fourth")
        session.execute(
            text("INSERT INTO difference (difference_id, kind, subject, account, minor, "
                 "at_stake_minor, currency, day, severity, owner, words, state, version) VALUES "
                 "('d', 'amount', 's', 'a', 1, 1, 'CNY', '2026-11-22', 'high', 'x', :words, "
                 "'open', 1)"),
            {"words": OLD},
        )  # fmt: skip
    upgrade(engine)
    with engine.connect() as connection:
        (kept,) = connection.execute(text("SELECT said FROM difference")).scalars()
    assert sentence(kept) == OLD
    assert json.loads(kept) == {"code": AS_WRITTEN, "text": OLD}
