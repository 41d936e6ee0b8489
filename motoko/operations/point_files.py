"""Points of a parameter space from a file: CSV, JSON, JSON lines or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from motoko.config import StudyConfig
from motoko.config.declared_types import Unfit, converted, fitted
from motoko.errors import ConfigError, ParameterError
from motoko.host.extras import extra

TOLD = 10  # at most this many errors of a file are shown
_NUMBERS = (int, float, complex)
_OF_JSON = (list, dict, tuple, set, frozenset)


@dataclass(frozen=True)
class PointsFile:
    """The points of a file.

    Attributes:
        path: the file.
        points: the points, each with its values by name.
        places: the place of each point in the file: ``"line 3"``.
    """

    path: Path
    points: list[dict[str, Any]]
    places: Sequence[str]

    def place(self, number: int) -> str:
        """A point's name in messages."""
        return f"{self.path}: {self.places[number]}"


def read_points(path: Path, study: StudyConfig) -> PointsFile:
    """Read a file of points; the format is that of the file's name.

    Raises ``ConfigError`` for a file that cannot be read, and ``ParameterError`` (or a group of
    them), with file, line, column and value, if it has something that is no point of the study.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in _READERS:
        raise ConfigError(
            f"{path}: its name does not say what it is",
            hint=f"call it *.csv; there are: {', '.join(_READERS)}",
        )
    problems = _Problems(path)
    points, places = [], []
    try:
        for where, point in _READERS[form](path, study, problems):
            points.append(point)
            places.append(where)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not in UTF-8: {error}") from error
    problems.tell()
    return PointsFile(path, points, places)


def from_text(text: str, kind: type) -> Any:
    """The value of a declared type that a text stands for; ``Unfit`` if there is none.

    Lists, dicts and the like are JSON.
    """
    if kind is str:
        return text
    if kind is bytes or (kind in _NUMBERS and "_" in text):
        raise Unfit(text)
    try:
        if kind is object:
            return _json_or_text(text)
        if kind in _OF_JSON:
            return fitted(json.loads(text), kind)
        if kind is int and not text.strip().lstrip("+-").isdecimal():
            return fitted(float(text), int)  # other programs write 3.0 if a column has gaps
        if kind is bool and text.strip() in ("0", "1"):
            return text.strip() == "1"
    except ValueError:
        raise Unfit(text) from None
    return converted(text.strip(), kind)


def assigned(text: str, types: Mapping[str, type], *, undeclared: bool = False) -> tuple[str, Any]:
    """The name and value of ``NAME=VALUE``; ``ParameterError`` if the name or value is wrong.

    With ``undeclared``, undeclared names are allowed; their values are JSON, or else texts.
    """
    name, equals, value = text.partition("=")
    name = name.strip().lower()
    if not equals or not name:
        raise ParameterError(f"{text!r} is not NAME=VALUE")
    if name not in types and not undeclared:
        raise ParameterError(
            f"{text!r}: there is no parameter {name!r}", hint=f"declared: {', '.join(types)}"
        )
    kind = types.get(name, object)
    try:
        return name, from_text(value, kind)
    except Unfit:
        raise ParameterError(f"{text!r}: {value!r} is no {kind.__name__}") from None


class _Problems:
    """The errors in a file, which are raised together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: list[str] = []
        self._count = 0

    def add(self, where: str, what: str) -> None:
        self._count += 1
        if self._count <= TOLD:
            self._first.append(f"{self._path}: {where}: {what}")

    def tell(self) -> None:
        if not self._count:
            return
        more = self._count - len(self._first)
        rest = f"{more} more are wrong; " if more else ""
        *others, last = self._first
        errors = [ParameterError(text) for text in others]
        errors.append(ParameterError(last, hint=f"{rest}nothing was created"))
        raise errors[0] if len(errors) == 1 else ExceptionGroup("points", errors)


def _csv(
    path: Path, study: StudyConfig, problems: _Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = _csv_lines(path, file)
        line, header = next(lines, (1, []))
        names = [name.strip().lower() for name in header]
        _check_names(path, line, names, study)
        for line, cells in lines:
            if len(cells) != len(names):
                problems.add(f"line {line}", f"{len(cells)} values, of {len(names)} columns")
                continue
            point = {}
            for name, text in zip(names, cells, strict=True):
                kind = study.jobs[name]
                try:
                    if not text.strip() and kind is not str:
                        problems.add(f"line {line}, column {name!r}", "there is no value")
                    else:
                        point[name] = from_text(text, kind)
                except Unfit:
                    what = "no JSON of a " if kind in _OF_JSON else "no "
                    problems.add(
                        f"line {line}, column {name!r}", f"{text!r} is {what}{kind.__name__}"
                    )
            yield f"line {line}", point


def _csv_lines(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of the line where it begins."""
    reader = csv.reader(file, skipinitialspace=True, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ParameterError(f"{path}: line {line}: {error}", hint="is it CSV?") from error


def _check_names(path: Path, line: int, names: Sequence[str], study: StudyConfig) -> None:
    declared = f"job parameters of {study.name}/bd.yaml: {', '.join(study.jobs) or 'none'}"
    where = f"{path}: line {line}"
    if not names:
        raise ParameterError(f"{path} is empty", hint=f"its first line names {declared}")
    for name in names:
        if name in study.jobs:
            if names.count(name) > 1:
                raise ParameterError(f"{where}: column {name!r} is there twice")
            continue
        others = len(names) == 1 and (";" in name or "\t" in name)
        raise ParameterError(
            f"{where}: column {name!r} is no job parameter of study {study.name}",
            hint="columns are separated by commas"
            if others
            else "parameters of runs are given for all: --run_params NAME=VALUE"
            if name in study.runs
            else declared,
        )


def _json(
    path: Path, study: StudyConfig, problems: _Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ParameterError(f"{path}: line {error.lineno}: {error.msg}") from error
    if not isinstance(content, list):
        raise ParameterError(f"{path} holds no array", hint='write [{"x": 1.0}, {"x": 2.5}]')
    yield from _objects(((f"element {n}", o) for n, o in enumerate(content, 1)), study, problems)


def _json_lines(
    path: Path, study: StudyConfig, problems: _Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    def lines() -> Iterator[tuple[str, Any]]:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield f"line {number}", json.loads(line)
                except json.JSONDecodeError as error:
                    problems.add(f"line {number}", error.msg)

    yield from _objects(lines(), study, problems)


def _parquet(
    path: Path, study: StudyConfig, problems: _Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    arrow = extra("pyarrow", "table", "Parquet")
    try:
        rows = extra("pyarrow.parquet", "table", "Parquet").read_table(path).to_pylist()
    except arrow.ArrowInvalid as error:
        raise ParameterError(f"{path}: {error}", hint="is it Parquet?") from error
    yield from _objects(((f"row {n}", row) for n, row in enumerate(rows, 1)), study, problems)


def _objects(
    objects: Iterable[tuple[str, Any]], study: StudyConfig, problems: _Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, values in objects:
        if not isinstance(values, dict):
            problems.add(where, f"{values!r} is no object with a value for each parameter")
            continue
        point: dict[str, Any] = {}
        for name, value in values.items():
            kind = study.jobs.get(name.lower())
            at = f"{where}, column {name!r}"
            if kind is None:
                problems.add(at, f"study {study.name} has no such job parameter")
            elif value is None:
                problems.add(at, "there is no value")
            elif name.lower() in point:
                problems.add(at, "it is there twice")
            else:
                try:
                    point[name.lower()] = value if kind is object else fitted(value, kind)
                except Unfit:
                    problems.add(at, f"{value!r} is no {kind.__name__}")
        yield where, point


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


_READERS = {"csv": _csv, "json": _json, "jsonl": _json_lines, "parquet": _parquet}
