"""Results as a Parquet file, with pyarrow, which is an extra: ``motoko[table]``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from motoko.host.extras import extra
from motoko.reports.arrow_columns import arrow_column, pyarrow
from motoko.reports.result_texts import as_text

AT_ONCE = 50_000  # rows at most
# A sample of each type that is kept as it is; not of times, which may have a time zone or none.
_SAMPLES: dict[type | None, Any] = {int: 0, float: 0.0, bool: False, str: "", date: date.min}


def check() -> Any:
    """The module pyarrow; ``ConfigError`` if it is missing."""
    extra("pyarrow.parquet", "table", "Parquet")
    return pyarrow("Parquet")


def write(
    columns: Sequence[str],
    parts: Iterable[Sequence[Sequence[Any]]],
    path: Path,
    metadata: dict[str, str],
    types: Sequence[type | None] = (),
) -> None:
    """Write rows into a file.

    Args:
        columns: the columns' names.
        parts: the rows in parts, each with a sequence of values for each column: numbers, texts,
            bools and dates; other values become texts.
        path: the file.
        metadata: the metadata to keep in the file.
        types: the expected type of each column's values; ``None`` if it is not known.
    """
    arrow = check()
    known = [arrow_column(arrow, [_SAMPLES.get(kind)]).type for kind in types]
    file = _File(arrow, path, columns, known or [arrow.null()] * len(columns), metadata)
    with contextlib.closing(file):
        for part in parts:
            file.add(part)


class _File:
    """A file that is rewritten with other column types when a value does not fit a column."""

    def __init__(
        self,
        arrow: Any,
        path: Path,
        columns: Sequence[str],
        types: Sequence[Any],
        metadata: dict[str, str],
    ) -> None:
        self._arrow = arrow
        self._path = path
        self._columns = columns
        self._types = list(types)
        self._metadata = metadata
        self._writer = self._opened()

    def _opened(self) -> Any:
        fields = zip(self._columns, self._types, strict=True)
        self._schema = self._arrow.schema(fields, metadata=self._metadata)
        return self._arrow.parquet.ParquetWriter(self._path, self._schema)

    def close(self) -> None:
        self._writer.close()

    def add(self, part: Sequence[Sequence[Any]]) -> None:
        """Write some rows."""
        for start in range(0, len(part[0]), AT_ONCE):
            some = [column[start : start + AT_ONCE] for column in part]
            arrays = [arrow_column(self._arrow, list(column)) for column in some]
            types = [
                _type_of_both(self._arrow, *both)
                for both in zip(self._types, (array.type for array in arrays), strict=True)
            ]
            if types != self._types:
                self._write_anew(types)
            self._write([self._cast(*column) for column in zip(arrays, some, types, strict=True)])

    def _write(self, arrays: Sequence[Any]) -> None:
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def _write_anew(self, types: list[Any]) -> None:
        """Rewrite the rows so far with other types."""
        self._writer.close()
        before = self._path.with_name(f"{self._path.name}.before")
        self._path.rename(before)
        try:
            self._types = types
            self._writer = self._opened()
            for batch in self._arrow.parquet.ParquetFile(before).iter_batches(AT_ONCE):
                self._write(
                    [
                        self._cast(array, None, kind)
                        for array, kind in zip(batch.columns, types, strict=True)
                    ]
                )
        finally:
            before.unlink()

    def _cast(self, array: Any, values: Sequence[Any] | None, kind: Any) -> Any:
        """The values converted to a column of a type."""
        arrow = self._arrow
        if array.type == kind:
            return array
        if kind != arrow.string() or arrow.types.is_null(array.type):
            return array.cast(kind, safe=False)
        values = array.to_pylist() if values is None else values
        return arrow.array(
            [None if value is None else str(as_text(value)) for value in values], kind
        )


def _type_of_both(arrow: Any, one: Any, other: Any) -> Any:
    """A type that can hold the values of both types."""
    if one == other or arrow.types.is_null(other):
        return one
    if arrow.types.is_null(one):
        return other
    if {one, other} <= {arrow.int64(), arrow.float64()}:
        return arrow.float64()
    if all(arrow.types.is_timestamp(kind) and kind.tz for kind in (one, other)):
        return arrow.timestamp("us", "UTC")
    return arrow.string()
