"""Many rows in one statement, as plain values: where the ORM would cost more than the database.

Times are text here, as they are stored. On SQLite a statement is run for each row inside the
driver; on PostgreSQL all rows travel as one JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Result,
    Select,
    Table,
    any_,
    bindparam,
    func,
    literal,
    select,
)
from sqlmodel import Session

from models.database import is_postgres

OneOf = Callable[[Any, str], ColumnElement[bool]]


def insert_rows(
    session: Session, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert ``rows`` in this order, as plain values: times are text here.

    One statement and no work per value in Python, where the ORM spends more time on a row
    than the database.
    """
    if not rows:
        return
    connection = session.connection()
    names = ", ".join(columns)
    if not is_postgres(connection):
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({names}) VALUES ({marks})",  # noqa: S608 - our names
            [tuple(row) for row in rows],
        )
        return
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({names}) SELECT {names} "  # noqa: S608 - our names
        f"FROM {_sent([(name, _type(table.c[name].type)) for name in columns])} "
        "ORDER BY row_place",
        (_json(columns, rows),),
    )


def change_rows(
    session: Session, table: str, changes: str, key: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Set ``changes``, with ``{}`` for each value, where ``key`` is the last value of a row.

    Values are whole numbers or text, each column of ``rows`` of one kind.
    """
    if not rows:
        return
    connection = session.connection()
    places = len(rows[0])
    if not is_postgres(connection):
        changed = changes.format(*["?"] * (places - 1))
        connection.exec_driver_sql(
            f"UPDATE {table} SET {changed} WHERE {key} = ?",  # noqa: S608 - our names
            [tuple(row) for row in rows],
        )
        return
    names = [f"value_{place}" for place in range(places)]
    changed = changes.format(*[f"new.{name}" for name in names[:-1]])
    kinds = ["bigint" if isinstance(value, int) else "text" for value in rows[0]]
    connection.exec_driver_sql(
        f"UPDATE {table} SET {changed} "  # noqa: S608 - our names
        f"FROM {_sent(list(zip(names, kinds, strict=True)))} "
        f"WHERE {table}.{key} = new.{names[-1]}",
        (_json(names, rows),),
    )


def _sent(columns: Sequence[tuple[str, str]]) -> str:
    """The one parameter of a statement as rows ``new`` on PostgreSQL, with their place."""
    typed = ", ".join(f"{name} {kind}" for name, kind in columns)
    names = ", ".join(name for name, _ in columns)
    return (
        f"ROWS FROM (json_to_recordset(%s::text::json) AS ({typed})) WITH ORDINALITY "
        f"AS new ({names}, row_place)"
    )


def _json(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """``rows`` as JSON. The driver would write arrays itself, and looks at every quote in them."""
    values = [dict(zip(names, row, strict=True)) for row in rows]
    return orjson.dumps(values, default=_hex, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _hex(value: object) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(f"a row cannot hold {type(value).__name__}")


def _type(kind: Any) -> str:
    if isinstance(kind, BigInteger | Integer):
        return "bigint"
    return "bytea" if isinstance(kind, LargeBinary) else "text"


def among(session: Session, column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition that ``column`` is one of ``values``, sent as one parameter.

    ``column.in_(values)`` would write and parse a statement with a mark for each of them.
    """
    if is_postgres(session.connection()):
        return _among(column, True, literal(values, ARRAY(column.type)))
    return _among(column, False, json.dumps(values))


class Prepared:
    """A statement made once for both databases, for what every request of a gate runs.

    Making such a statement anew costs more than running it. ``build(one_of)`` makes it;
    ``one_of(column, name)`` is the condition that ``column`` is one of the values that are
    handed over under ``name`` when it is run.
    """

    def __init__(self, build: Callable[[OneOf], Select[Any]]) -> None:
        self._postgres = build(lambda column, name: _among(
            column, True, bindparam(name, type_=ARRAY(column.type))
        ))  # fmt: skip
        self._sqlite = build(lambda column, name: _among(column, False, bindparam(name)))

    def run(self, session: Session, **values: Any) -> Result[Any]:
        """Run it; lists are what the conditions ``one_of`` are about."""
        connection = session.connection()
        if is_postgres(connection):
            return connection.execute(self._postgres, values)
        sent = {
            name: json.dumps(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return connection.execute(self._sqlite, sent)


def _among(column: Any, postgres: bool, values: Any) -> ColumnElement[bool]:
    if postgres:
        return cast("ColumnElement[bool]", column == any_(values))
    listed = func.json_each(values).table_valued("value")
    return cast("ColumnElement[bool]", column.in_(select(listed.c.value)))
