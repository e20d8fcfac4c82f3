"""Many rows in one statement, as plain values: where the ORM would cost more than the database.

Times are text here, as they are stored. On SQLite a statement is run for each row inside the
driver; on PostgreSQL the columns travel as arrays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Table,
    any_,
    func,
    literal,
    select,
)
from sqlmodel import Session

from models.database import is_postgres


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
        f"FROM unnest({_arrays(table, columns)}) WITH ORDINALITY AS new ({names}, row_place) "
        "ORDER BY row_place",
        tuple(list(values) for values in zip(*rows, strict=True)),
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
    arrays = ", ".join("%s::bigint[]" if isinstance(v, int) else "%s::text[]" for v in rows[0])
    connection.exec_driver_sql(
        f"UPDATE {table} SET {changed} "  # noqa: S608 - our names
        f"FROM unnest({arrays}) AS new ({', '.join(names)}) WHERE {table}.{key} = new.{names[-1]}",
        tuple(list(values) for values in zip(*rows, strict=True)),
    )


def among(session: Session, column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition that ``column`` is one of ``values``, sent as one parameter.

    ``column.in_(values)`` would write and parse a statement with a mark for each of them.
    """
    if is_postgres(session.connection()):
        return cast("ColumnElement[bool]", column == any_(literal(values, ARRAY(column.type))))
    listed = func.json_each(json.dumps(values)).table_valued("value")
    return cast("ColumnElement[bool]", column.in_(select(listed.c.value)))


def _arrays(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"%s::{_array_type(table.c[name].type)}" for name in columns)


def _array_type(kind: Any) -> str:
    if isinstance(kind, BigInteger | Integer):
        return "bigint[]"
    return "bytea[]" if isinstance(kind, LargeBinary) else "text[]"
