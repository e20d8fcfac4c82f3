"""The books as files: every writer says the same, and foreign programs check it to the cent."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import openpyxl
import pyarrow.parquet as pq
import pytest
from beancount import loader
from click.testing import CliRunner
from pypdf import PdfReader
from sqlalchemy import text

from bench.finance_day import balance_report, make_day, payouts_report
from bench.postgres import Postgres
from ledger.cli import ledger as ledger_command
from ledger.entries import Draft
from ledger.exports.csv_file import defused
from ledger.exports.day_pdf import report_pdf
from ledger.exports.export import FORMATS, export
from ledger.exports.journals import journal_account, names_of
from ledger.exports.lines import ExportRefused, Line, Span, plain_amount
from ledger.exports.xlsx_file import write_xlsx
from ledger.postings import RIDER, transfer
from ledger.reconcile.importing import import_statement
from ledger.reconcile.periods import PeriodRefused, close_period
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.sequencer import sequence
from ledger.store import LogWriter
from models.database import reading, writing
from models.money import Money
from tests.conftest import missing
from tests.postgres import a_server, make_postgres_town
from tests.town import Town, make_town

DAY = "2026-11-16"
RSS_MIB_MAX = 300
UUID_TEXT = re.compile("[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


def filled(town: Town) -> Town:
    """A day of rides and card payments, its settlement on two later days, and yen."""
    made = make_day(town.ledger, 300, 200, seed=5)
    town.clock.now = datetime(2026, 11, 26, 8, tzinfo=UTC)
    import_statement(town.ledger, balance_report(made), "balance.csv")
    import_statement(town.ledger, payouts_report(made), "payouts.csv")
    record(town, [draft(Money(1500, "JPY"), RIDER, "income:fares:night_bus-2")])
    sequence(town.ledger)
    return town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return filled(make_town(tmp_path_factory.mktemp("exports") / "data"))


def draft(amount: Money, debit: str, credit: str, **facts: Any) -> Draft:
    now = datetime(2026, 11, 26, 7, 59, 30, 250_000, tzinfo=UTC)
    postings = transfer(amount, debit=debit, credit=credit)
    return Draft("top_up", str(uuid4()), now, amount, postings, facts)


def record(town: Town, drafts: list[Draft]) -> None:
    with writing(town.ledger.engine) as session:
        writer = LogWriter(session, town.ledger.clock())
        for one in drafts:
            writer.append(one)
        writer.save()


def postings(town: Town) -> list[tuple[int, int, str, int, str]]:
    """The postings as the table has them, which the exports do not read."""
    query = "SELECT entry_seq, line, account, minor, currency FROM posting ORDER BY 1, 2"
    with reading(town.ledger.engine) as session:
        return [tuple(row) for row in session.connection().execute(text(query))]


def written(town: Town, kind: str, path: Path, span: Span | None = None) -> Path:
    export(town.ledger, kind, path, span or Span())
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_holds_every_posting_in_order(town: Town, tmp_path: Path) -> None:
    rows = rows_of(written(town, "csv", tmp_path / "a.csv"))
    assert [
        (int(r["seq"]), int(r["line"]), r["account"], int(r["minor"]), r["currency"]) for r in rows
    ] == postings(town)
    assert all(r["amount"] == plain_amount(int(r["minor"]), r["currency"]) for r in rows)
    settled = next(r for r in rows if r["kind"] == "settlement")
    assert (settled["day"], settled["recorded_at"][:10]) == (DAY, "2026-11-26")


def test_days_are_chosen_by_the_books_and_not_by_the_clock(town: Town, tmp_path: Path) -> None:
    everything = rows_of(written(town, "csv", tmp_path / "all.csv"))
    for span in (Span(DAY, DAY), Span("2026-11-17"), Span("", DAY), Span("2027-01-01")):
        rows = rows_of(written(town, "csv", tmp_path / "some.csv", span))
        assert rows == [r for r in everything if span.has(r["day"])]
    booked_later = rows_of(written(town, "csv", tmp_path / "day.csv", Span(DAY, DAY)))
    assert {r["recorded_at"][:10] for r in booked_later} == {DAY, "2026-11-26"}


def test_a_workbook_has_typed_cells_and_totals_as_formulas(town: Town, tmp_path: Path) -> None:
    path = written(town, "xlsx", tmp_path / "a.xlsx")
    book, shown = openpyxl.load_workbook(path), openpyxl.load_workbook(path, data_only=True)
    expected: dict[str, list[int]] = defaultdict(list)
    for _, _, _, minor, currency in postings(town):
        expected[currency].append(minor)
    assert book.sheetnames == ["Totals", *dict.fromkeys(r[4] for r in postings(town))]
    for row in range(2, len(expected) + 2):
        name = shown["Totals"].cell(row, 1).value
        minors = expected[name]
        unit = 1 if name == "JPY" else 100
        assert (
            book["Totals"].cell(row, 6).value == f"=SUM('{name}'!$J$2:$J${len(minors) + 1})/{unit}"
        )
        debit = sum(minor for minor in minors if minor > 0) / unit
        assert [shown["Totals"].cell(row, n).value for n in (3, 4, 5, 6)] == [
            len(minors), debit, debit, 0
        ]  # fmt: skip
        cells = list(book[name].iter_rows(min_row=2))
        assert [cell[9].value for cell in cells] == minors
        assert [round(cell[8].value * unit) for cell in cells] == minors
        assert cells[0][4].is_date and cells[0][5].is_date and cells[0][2].data_type == "s"
    assert shown["JPY"].cell(2, 9).number_format == "#,##0"
    assert shown["CNY"].cell(2, 9).number_format == "#,##0.00"


def a_line(seq: int, **changes: Any) -> Line:
    at = "2026-11-22T12:00:00.000Z"
    line = Line(seq, 0, "id", "ride", "2026-11-22", at, at, RIDER, 200, "CNY", "", "", "", "", "")
    return line._replace(**changes)


def test_a_full_sheet_goes_on_in_the_next_one(tmp_path: Path) -> None:
    lines = [a_line(n, currency="EUR" if n % 3 == 0 else "CNY") for n in range(12)]
    assert write_xlsx(tmp_path / "a.xlsx", lines, rows_max=5) == 12
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["Totals", "EUR", "CNY", "CNY 2"]
    assert [book[name].max_row for name in book.sheetnames[1:]] == [5, 5, 5]
    assert book["Totals"]["F4"].value == "=SUM('CNY 2'!$J$2:$J$5)/100"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_defused(start: str, tmp_path: Path) -> None:
    evil = f'{start}HYPERLINK("http://elsewhere.example")'
    assert defused(evil) == f"'{evil}"
    assert (defused("plain"), defused("")) == ("plain", "")
    write_xlsx(tmp_path / "a.xlsx", [a_line(0, gate=evil, minor=-725)])
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["CNY"]
    assert (sheet["L2"].data_type, sheet["L2"].quotePrefix) == ("s", True)
    assert (sheet["J2"].data_type, sheet["J2"].value) == ("n", -725)


def test_formulas_in_the_ledger_leave_it_as_text(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    record(town, [draft(Money(100, "CNY"), "assets:bank", RIDER, gate="=1+1", medium="@SUM(A1)")])
    (first, _) = rows_of(written(town, "csv", tmp_path / "a.csv"))
    assert (first["gate"], first["medium"], first["amount"]) == ("'=1+1", "'@SUM(A1)", "1.00")
    for kind in ("hledger", "beancount"):
        written(town, kind, tmp_path / kind)
        assert "=1+1" not in (tmp_path / kind).read_text()


def test_parquet_has_exact_columns(town: Town, tmp_path: Path) -> None:
    table = pq.read_table(written(town, "parquet", tmp_path / "a.parquet")).to_pylist()
    assert [
        (r["seq"], r["line"], r["account"], r["minor"], r["currency"]) for r in table
    ] == postings(town)
    assert {r["currency"]: r["amount"] for r in table if r["minor"] > 0}["JPY"] == Decimal(1500)
    last = table[-1]
    assert last["occurred_at"] == datetime(2026, 11, 26, 7, 59, 30, 250_000, tzinfo=UTC)
    assert (last["day"], last["gate"]) == (date(2026, 11, 26), None)


# ------------------------------------------------------------------ journals


def test_account_names_are_legal_in_both_journals_and_stay_apart() -> None:
    networks = ("night_bus-2", "2nd-line", "x2d", "-", "a_-b", "a-_b")
    names = ["assets:psp_clearing", *(f"income:fares:{network}" for network in networks)]
    made = names_of(names)
    assert made["assets:psp_clearing"] == "Assets:Psp-clearing"
    assert made["income:fares:night_bus-2"] == "Income:Fares:Night-busX002D2"
    for name in made.values():
        assert all(re.fullmatch(r"[A-Z0-9][A-Za-z0-9-]*", part) for part in name.split(":"))
    with pytest.raises(ExportRefused, match="one name"):
        names_of(["assets:Bank", "assets:x0042ank"])
    with pytest.raises(ExportRefused, match="empty part"):
        journal_account("assets::bank")


def hledger(path: Path) -> subprocess.CompletedProcess[str]:
    """hledger's strictest check of a journal."""
    program = shutil.which("hledger")
    if program is None:
        missing("hledger (Debian's package of that name)")
    return subprocess.run(
        [str(program), "-f", str(path), "check", "-s"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def bean_check(path: Path) -> list[str]:
    """What beancount complains of."""
    _, errors, _ = loader.load_file(str(path))
    return [error.message for error in errors]


def one_unit_more(path: Path) -> None:
    """Change one minor unit of one posting of one transaction."""
    lines = path.read_text().splitlines(keepends=True)
    place = next(
        n for n, line in enumerate(lines) if re.match(r" +Income:Fares:Metro  -2\.00", line)
    )
    lines[place] = lines[place].replace("-2.00", "-2.01")
    path.write_text("".join(lines))


def one_unit_moved(path: Path) -> None:
    """Change one minor unit in both postings of a transaction, so that it still balances."""
    changed = re.sub(
        r"(Liabilities:Rider  )2\.00( CNY\n +Income:Fares:Metro  -)2\.00",
        r"\g<1>2.01\g<2>2.01", path.read_text(), count=1,
    )  # fmt: skip
    assert changed != path.read_text()
    path.write_text(changed)


@pytest.mark.parametrize("span", [Span(), Span("2026-11-17"), Span("", "2026-11-17")])
def test_hledger_checks_the_journal_and_finds_one_minor_unit(
    town: Town, tmp_path: Path, span: Span
) -> None:
    path = written(town, "hledger", tmp_path / "a.journal", span)
    assert hledger(path).returncode == 0, hledger(path).stderr
    if not span.first:
        for change in (one_unit_more, one_unit_moved):
            written(town, "hledger", path, span)
            change(path)
            refused = hledger(path)
            assert refused.returncode != 0 and refused.stderr


def test_hledger_refuses_an_account_that_was_not_declared(town: Town, tmp_path: Path) -> None:
    path = written(town, "hledger", tmp_path / "a.journal")
    path.write_text(path.read_text().replace("account Income:Fares:Metro\n", ""))
    assert "Income:Fares:Metro" in hledger(path).stderr


@pytest.mark.parametrize("span", [Span(), Span("2026-11-17"), Span("", "2026-11-17")])
def test_beancount_checks_the_journal_and_finds_one_minor_unit(
    town: Town, tmp_path: Path, span: Span
) -> None:
    path = written(town, "beancount", tmp_path / "a.beancount", span)
    assert bean_check(path) == []
    if not span.first:
        one_unit_more(path)
        assert any("does not balance" in message for message in bean_check(path))
        written(town, "beancount", path, span)
        one_unit_moved(path)
        assert any(re.search(r"Balance failed.*0\.01", found) for found in bean_check(path))


def test_bean_check_itself_takes_the_journal(town: Town, tmp_path: Path) -> None:
    path = written(town, "beancount", tmp_path / "a.beancount")
    program = Path(sys.executable).with_name("bean-check")
    assert subprocess.run([program, path], capture_output=True).returncode == 0
    one_unit_moved(path)
    assert subprocess.run([program, path], capture_output=True).returncode == 1


def test_the_journals_say_what_the_csv_says(town: Town, tmp_path: Path) -> None:
    """A reader of our own, strict: every line is one of five forms, or the test fails."""
    text = written(town, "hledger", tmp_path / "a.journal").read_text()
    found: dict[str, int] = defaultdict(int)
    for line in filter(None, text.splitlines()):
        posting = re.fullmatch(r"    ([A-Z][\w:-]+)  (-?\d+(?:\.\d\d)?) ([A-Z]{3})", line)
        if posting:
            found[f"{posting[1]} {posting[3]}"] += int(posting[2].replace(".", ""))
            continue
        assert re.fullmatch(
            r"commodity 1000\.0* [A-Z]{3}|account [\w:-]+|\d{4}-\d\d-\d\d \* .+|    ; id: [\w-]+"
            r"|    [\w:-]+  0(\.00)? [A-Z]{3} = -?\d+(\.\d\d)? [A-Z]{3}",
            line,
        ), line
    expected: dict[str, int] = defaultdict(int)
    for _, _, account, minor, currency in postings(town):
        expected[f"{journal_account(account)} {currency}"] += minor
    assert found == expected


def test_a_journal_takes_no_words_of_others_for_its_own(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    rule = {"code": 'x"\n2026-01-01 * ; |\\', "words": ""}
    record(town, [draft(Money(100, "CNY"), "assets:bank", RIDER, rule=rule)])
    assert bean_check(written(town, "beancount", tmp_path / "a.beancount")) == []
    assert hledger(written(town, "hledger", tmp_path / "a.journal")).returncode == 0


# ------------------------------------------------------------------ the command


def run(town: Town, *arguments: str) -> str:
    result = CliRunner().invoke(
        ledger_command,
        ["export", "--data", str(town.data.path), *arguments],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", FORMATS)
def test_the_command_writes_every_format(town: Town, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    said = json.loads(run(town, "--format", kind, "--json", str(path)))
    assert said == {"file": str(path), "format": kind, "lines": len(postings(town))}
    assert path.stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_both_databases_make_the_same_files(server: Postgres, tmp_path: Path) -> None:
    made = []
    for town in (make_town(tmp_path / "lite"), make_postgres_town(tmp_path / "pg", server)):
        filled(town)
        files = [written(town, kind, tmp_path / kind) for kind in ("csv", "hledger", "beancount")]
        made.append([UUID_TEXT.sub("", file.read_text()) for file in files])
    assert made[0] == made[1]


def test_a_file_that_cannot_be_written_is_left_as_it_was(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("before")

    def stop(done: int, size: int) -> None:
        if done:
            raise OSError(28, "No space left on device")

    with pytest.raises(ExportRefused, match="No space left"):
        export(town.ledger, "csv", path, Span(), stop)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.csv"]
    with pytest.raises(ExportRefused, match="cannot be written"):
        export(town.ledger, "csv", tmp_path / "nowhere" / "a.csv", Span())


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [("22.11.2026", "", "write it like"), ("2026-02-30", "", "no day"),
     ("2026-11-23", "2026-11-22", "is after")],
)  # fmt: skip
def test_days_that_are_none_are_refused(first: str, last: str, words: str) -> None:
    with pytest.raises(ExportRefused, match=words):
        Span(first, last)


def test_an_empty_ledger_exports_to_empty_files(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    for kind in FORMATS:
        assert export(town.ledger, kind, tmp_path / kind, Span()) == 0
    assert hledger(tmp_path / "hledger").returncode == 0
    assert bean_check(tmp_path / "beancount") == []


# ------------------------------------------------------------------ paper


def words_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def test_the_report_of_a_day_says_whether_it_is_closed(tmp_path: Path) -> None:
    town = filled(make_town(tmp_path / "data"))
    run_day(town.ledger, "2026-11-25", Rules())
    open_report = report_pdf(town.ledger, DAY)
    assert open_report == report_pdf(town.ledger, DAY)
    said = words_of(open_report)
    assert "Not closed" in said and "income:fares:metro" in said and "station-3" in said
    closed = close_period(town.ledger, DAY, "lin")
    said = words_of(report_pdf(town.ledger, DAY))
    assert "Closed, revision 1" in said and closed.sha256 in re.sub(r"\s", "", said)
    with pytest.raises(PeriodRefused):
        report_pdf(town.ledger, "yesterday")
    run(town, "--format", "pdf", "--period", DAY, str(tmp_path / "command.pdf"))
    assert (tmp_path / "command.pdf").read_bytes().startswith(b"%PDF")


def test_an_operator_with_a_chinese_name_is_printed(tmp_path: Path) -> None:
    def rename(settings: str) -> str:
        return settings.replace("Test Town", "测试市公共交通")

    town = make_town(tmp_path / "data", rename)
    said = words_of(report_pdf(town.ledger, DAY))
    assert "测试市公共交通" in said


# ------------------------------------------------------------------ memory

_MEASURED = """
import sys
from pathlib import Path
from ledger.exports.export import export
from ledger.exports.lines import Span
from ledger.ledger import Ledger
from models.settings import DataDirectory
data, kind, out, last = sys.argv[1:]
print(export(Ledger.open(DataDirectory(Path(data))), kind, Path(out), Span("", last)))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A ledger of many lines over five days: 200,000, or a million for the long runs."""
    town = make_town(tmp_path_factory.mktemp("large") / "data")
    each = 2_000 if os.environ.get("FACEFARE_TEST_ALL") else 400
    one, now = Money(1, "CNY"), town.ledger.clock()
    lines = transfer(one, debit=RIDER, credit="income:fares:metro") * 50
    for number in range(5):
        facts = {"day": f"2026-11-{18 + number}"}
        record(town, [Draft("ride", str(uuid4()), now, one, lines, facts) for _ in range(each)])
    return town


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", FORMATS)
def test_memory_does_not_grow_with_the_ledger(large: Town, tmp_path: Path, kind: str) -> None:
    """A workbook takes longest; the normal suite writes the first day of it."""
    everything, out = bool(os.environ.get("FACEFARE_TEST_ALL")), tmp_path / "out"
    last = "2026-11-18" if kind == "xlsx" and not everything else "2026-11-22"
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(large.data.path), kind, str(out), last],
        capture_output=True, text=True, check=True, timeout=900,
    )  # fmt: skip
    count, peak_kib = map(int, done.stdout.split())
    wanted = 1_000_000 if everything else 200_000
    assert count == (wanted if last == "2026-11-22" else wanted // 5)
    assert peak_kib <= RSS_MIB_MAX * 1024, f"{kind}: {peak_kib // 1024} MiB"
