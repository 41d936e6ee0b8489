"""Results as a Parquet file, by pyarrow, which is an extra: ``motoko[table]``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from motoko.errors import ConfigError

AT_ONCE = 10_000  # rows
_AS_THEY_ARE = {int, float, bool, str, datetime, date, type(None)}


def check() -> Any:
    """pyarrow; ``ConfigError`` where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401 (is found in it)
    except ImportError as error:
        raise ConfigError(
            f"Parquet needs pyarrow, which is not here: {error}",
            hint="pip install 'motoko[table]', or write CSV",
        ) from error
    return pyarrow


def write(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    path: Path,
    text_of: Callable[[Any], Any],
    metadata: dict[str, str],
) -> None:
    """Write rows into a file.

    Args:
        columns: what they are called.
        rows: numbers, texts, bools and dates; what else there is becomes a text.
        path: the file.
        text_of: makes a text of a value.
        metadata: is kept in the file.
    """
    arrow = check()
    remaining = iter(rows)
    chunks: list[list[Any]] = []
    while part := list(itertools.islice(remaining, AT_ONCE)):
        values = zip(*part, strict=True)
        chunks.append([_array(arrow, list(column), text_of) for column in values])
    types = [_type_of_all(arrow, [chunk[place].type for chunk in chunks]) for place in _of(columns)]
    schema = arrow.schema(zip(columns, types, strict=True), metadata=metadata)
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        for chunk in chunks:
            arrays = [_cast(arrow, array, kind) for array, kind in zip(chunk, types, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _of(columns: Sequence[str]) -> range:
    return range(len(columns))


def _array(arrow: Any, values: list[Any], text_of: Callable[[Any], Any]) -> Any:
    kinds = set(map(type, values))
    if not kinds <= _AS_THEY_ARE:
        values = [value if type(value) in _AS_THEY_ARE else text_of(value) for value in values]
        kinds = set(map(type, values))
    kinds.discard(type(None))
    if kinds == {int, float}:
        return arrow.array(values, arrow.float64())
    if len(kinds) < 2:
        try:
            return arrow.array(values)
        except (arrow.ArrowInvalid, OverflowError):  # a number that has no place in 64 bits
            pass
    return arrow.array([None if value is None else str(text_of(value)) for value in values])


def _type_of_all(arrow: Any, types: Sequence[Any]) -> Any:
    """A type that has a place for the values of all."""
    some = {kind for kind in types if not arrow.types.is_null(kind)}
    if len(some) < 2:
        return some.pop() if some else arrow.null()
    if some <= {arrow.int64(), arrow.float64()}:
        return arrow.float64()
    return arrow.string()


def _cast(arrow: Any, array: Any, kind: Any) -> Any:
    if array.type == kind:
        return array
    return array.cast(kind, safe=False)
