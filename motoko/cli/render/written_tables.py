"""Results as tables on the screen, and as CSV, JSON, JSON lines or Parquet."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from motoko.cli.render import parquet_files
from motoko.cli.render.tables import show_table
from motoko.errors import CannotWrite, ConfigError
from motoko.host.printable import printable
from motoko.reports.result_texts import as_text

F = TypeVar("F", bound=Callable[..., Any])
Rows = Iterable[Sequence[Any]]
# Parts of the rows, each with a sequence of values for each column.
Parts = Iterable[Sequence[Sequence[Any]]]
Write = Callable[[Sequence[str], Parts, TextIO], None]
PART = 10_000  # rows
_AS_THEY_ARE = frozenset({type(None), int, float, bool, str})  # types that CSV writes as they are
AT_ONCE = 1_000  # a table on the screen is aligned anew after this many rows


def format_option() -> Callable[[F], F]:
    """The option ``--format``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice([*FORMATS, PARQUET]),
        help="The format; by default a table, or the format that the file's name ends with.",
    )


def output_option() -> Callable[[F], F]:
    """The option ``-o``."""
    return click.option(
        *("output", "-o", "--output"),
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the result into this file.",
    )


def tell_of(study: str, without: str | None) -> None:
    """Say so if a study's mirror could not give everything."""
    if without is not None:
        click.echo(
            f"{study}: read from the database, which takes longer: its mirror cannot tell all of "
            f"this: {without}",
            err=True,
        )


def tell_when(study: str, tid: str) -> None:
    """Say as of which transaction the rows are."""
    click.echo(f"{study}: as of transaction {tid}", err=True)


def form_of(form: str | None, output: Path | None) -> str:
    """The format of the results: the one that is given, or that of the file's name."""
    if form is None and output is None:
        return "table"
    form = form or output.suffix.removeprefix(".").lower()  # type: ignore[union-attr]
    if form == PARQUET:
        parquet_files.check()
        if output is None:
            raise ConfigError("Parquet is written into a file", hint="add -o results.parquet")
    if form in (*FORMATS, PARQUET):
        return form
    raise ConfigError(
        f"{output}: its name does not say how it is to be written",
        hint=f"call it *.csv, or give --format: {', '.join((*FORMATS, PARQUET))}",
    )


def in_parts(rows: Rows) -> Parts:
    """Rows in the parts that :func:`write` takes."""
    remaining = iter(rows)
    while part := list(itertools.islice(remaining, PART)):
        yield list(zip(*part, strict=True))


def write(
    columns: Sequence[str],
    parts: Parts,
    form: str,
    output: Path | None,
    tids: Mapping[str, str],
    types: Sequence[type | None] = (),
) -> None:
    """Write rows to standard output, or into a file, which appears only when it is complete.

    Args:
        columns: the columns' names.
        parts: the rows in parts, each with a sequence of values for each column.
        form: the format, as :func:`form_of` gives it.
        output: the file.
        tids: by study, the transaction as of which the rows are; kept in Parquet's metadata.
        types: the expected type of each column's values.
    """
    if output is None:
        FORMATS[form](columns, parts, sys.stdout)
        return
    with replaced(output) as path:
        if form == PARQUET:
            metadata = {f"motoko.tid.{study}": tid for study, tid in tids.items()}
            parquet_files.write(columns, parts, path, metadata, types)
            return
        with open(path, "w", encoding="utf-8", newline="") as file:
            FORMATS[form](columns, parts, file)


def _rows(parts: Parts) -> Iterator[Sequence[Any]]:
    return (row for part in parts for row in zip(*part, strict=True))


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary file that replaces a file once the block has ended without an error.

    Raises ``CannotWrite`` if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # it could not be made
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise CannotWrite(f"{path} cannot be written: {error.strerror or error}") from error
        raise


def _write_table(columns: Sequence[str], parts: Parts, file: TextIO) -> None:
    remaining = _rows(parts)
    is_first = True
    while (part := list(itertools.islice(remaining, AT_ONCE))) or is_first:
        is_first = False
        right = [
            column
            for place, column in enumerate(columns)
            if all(isinstance(row[place], (int, float, type(None))) for row in part)
        ]
        cells = [
            ["-" if value is None else printable(str(as_text(value))) for value in row]
            for row in part
        ]
        with contextlib.redirect_stdout(file):
            show_table(columns, cells, right=right)


def _write_csv(columns: Sequence[str], parts: Parts, file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for part in parts:
        texts = [
            column if _AS_THEY_ARE.issuperset(map(type, column)) else [*map(as_text, column)]
            for column in part
        ]
        writer.writerows(zip(*texts, strict=True))


def _write_json(columns: Sequence[str], parts: Parts, file: TextIO) -> None:
    separator = "["
    for row in _rows(parts):
        file.write(f"{separator}\n{_json_row(columns, row)}")
        separator = ","
    file.write("[]\n" if separator == "[" else "\n]\n")


def _write_json_lines(columns: Sequence[str], parts: Parts, file: TextIO) -> None:
    for row in _rows(parts):
        file.write(_json_row(columns, row) + "\n")


def _json_row(columns: Sequence[str], row: Sequence[Any]) -> str:
    values = dict(zip(columns, row, strict=True))
    try:
        return json.dumps(values, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps({name: _plain(value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    """A value for JSON: numbers that are not finite become null, and unknown types texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value if value is None or isinstance(value, (bool, int, str)) else as_text(value)


PARQUET = "parquet"
FORMATS: dict[str, Write] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_json_lines,
}
