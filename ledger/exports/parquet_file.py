"""The lines as Parquet: typed columns for data tools.

``minor`` (64-bit) and ``currency`` say an amount exactly; ``amount`` is the same in major units
as a decimal with four places, more than any currency has. Days are dates, times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ledger.exports.lines import Line, decimals

ROWS_AT_ONCE = 20_000

_NAME = pa.dictionary(pa.int32(), pa.string())
_MOMENT = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        ("seq", pa.int64()), ("line", pa.int32()), ("entry_id", pa.string()), ("kind", _NAME),
        ("day", pa.date32()), ("recorded_at", _MOMENT), ("occurred_at", _MOMENT),
        ("account", _NAME), ("amount", pa.decimal128(22, 4)), ("minor", pa.int64()),
        ("currency", _NAME), ("gate", _NAME), ("station", _NAME), ("medium", _NAME),
        ("rule", _NAME), ("corrects", pa.string()),
    ]
)  # fmt: skip


def write_parquet(path: Path, lines: Iterable[Line]) -> int:
    """Write the lines to ``path``; return how many there were."""
    rest, count = iter(lines), 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while some := list(islice(rest, ROWS_AT_ONCE)):
            writer.write_batch(_batch(some))
            count += len(some)
    return count


def _batch(lines: list[Line]) -> pa.RecordBatch:
    columns = {name: [getattr(line, name) for line in lines] for name in Line._fields}
    for name in ("recorded_at", "occurred_at"):
        columns[name] = [datetime.fromisoformat(moment) for moment in columns[name]]
    columns["day"] = [date.fromisoformat(day) for day in columns["day"]]
    columns["amount"] = [
        Decimal(line.minor).scaleb(-decimals(line.currency)).quantize(Decimal("0.0001"))
        for line in lines
    ]
    for name in ("gate", "station", "medium", "rule", "corrects"):
        columns[name] = [value or None for value in columns[name]]
    arrays = [pa.array(columns[field.name], type=field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
