"""Write an export: choose the writer, show how far it is, leave a whole file or none.

Everything is read from one snapshot of the database, so that lines and totals agree however
busy the gates are. Memory is bounded: some hundred entries are held at a time, the workbook's
rows go to the disk as they are made, and Parquet keeps 20,000 rows of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlmodel import Session

from ledger.exports.lines import ExportRefused, ShowProgress, Span, read_lines
from ledger.ledger import Ledger
from models.database import reading

FORMATS = ("csv", "xlsx", "parquet", "hledger", "beancount")
ENDINGS = {"hledger": "journal"}
"""How a file's name ends where it is not the format's own name."""


def export(
    ledger: Ledger,
    kind: str,
    path: Path,
    span: Span,
    progress: ShowProgress = lambda done, size: None,
) -> int:
    """Write the days of ``span`` as ``kind`` to ``path``; return how many lines it has.

    Raises ``ExportRefused`` where it cannot be written; a file that was there stays then.
    """
    write = _writer(kind)
    with whole_file(path) as part, reading(ledger.engine) as session:
        return write(part, session, span, progress)


_Write = Callable[[Path, Session, Span, ShowProgress], int]


def _writer(kind: str) -> _Write:
    """The writer for a format; its library is loaded only when it is needed."""
    if kind in ("hledger", "beancount"):
        from ledger.exports.journals import Beancount, Hledger, write_journal

        how = Hledger() if kind == "hledger" else Beancount()
        return lambda path, session, span, progress: write_journal(
            path, session, span, how, progress
        )
    if kind == "csv":
        from ledger.exports.csv_file import write_csv as write
    elif kind == "xlsx":
        from ledger.exports.xlsx_file import write_xlsx as write
    elif kind == "parquet":
        from ledger.exports.parquet_file import write_parquet as write
    else:
        raise ExportRefused(f"{kind!r} is none of {', '.join(FORMATS)}")
    return lambda path, session, span, progress: write(path, read_lines(session, span, progress))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside ``path``, for its owner only, that takes its name once it is complete."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.touch(mode=0o600)
        yield part
        part.replace(path)
    except OSError as error:
        raise ExportRefused(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
