"""Reading the results of a run whose program does not use BlackDynamite, from its output files.

A table (``csv``) has the names of its columns in its first line, perhaps after a ``#``. Columns are
separated by commas, semicolons, tabs or blanks: by the first of these that is in that line.
"""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from motoko.config.declared_types import TYPES, Unfit, converted
from motoko.config.decoding import described
from motoko.config.result_rules import ResultRule, steps
from motoko.errors import MotokoError
from motoko.host.sizes import megabytes
from motoko.runs.outputs import output_stem, stdout_name
from motoko.runs.paths import claim_path
from motoko.runs.regex_search import NotSearched, Search, searched

# The largest file that is read, in bytes, and the longest text that is a result, in characters.
# PyYAML takes about a second for a megabyte.
FILE_MAX, YAML_MAX, TEXT_MAX = 16 * 10**6, 10**6, 1_000

Value = float | int | str | bool


class NoResult(MotokoError):
    """Results that a run should have are missing."""


class _Missing(Exception):
    """A result was not found, which is no error if it is optional."""


def read_results(
    rules: Mapping[str, ResultRule],
    directory: Path | None,
    run: Mapping[str, Any],
    attempt: int,
    search: Search = searched,
) -> dict[str, Value | None]:
    """A run's results by name; ``None`` for optional results that are missing.

    Args:
        rules: how each result is read.
        directory: the run's directory, if it has one.
        run: the run's entries.
        attempt: the attempt that has ended: files of earlier attempts do not count.
        search: finds regular expressions.

    Raises ``NoResult``, which says for each result what is wrong with it.
    """
    if directory is None:
        raise NoResult("no results: the run has no directory")
    stdout = stdout_name(output_stem(str(run.get("run_name"))), run["id"])
    outputs = _Outputs(directory, stdout, search)
    if attempt > 1:
        outputs.began = _written_at(claim_path, directory, attempt)
    values: dict[str, Value | None] = {}
    problems = []
    for name, rule in rules.items():
        try:
            values[name] = _typed(_WAYS[_way(rule)](rule, outputs), rule)
        except _Missing as missing:
            if not rule.optional:
                problems.append(f"no result {name}: {missing}")
            values[name] = None
        except NoResult as error:
            problems.append(f"result {name}: {error}")
    if problems:
        raise NoResult("; ".join(problems))
    return values


def _way(rule: ResultRule) -> str:
    return next(way for way in _WAYS if getattr(rule, way) is not None)


class _Outputs:
    """The files that a run has written; each is read once."""

    def __init__(self, directory: Path, stdout: str, search: Search) -> None:
        self.search = search
        self.is_slow = False  # a search took too long
        self._directory, self._stdout = directory, stdout
        self._texts: dict[str, str] = {}
        self._parsed: dict[tuple[str, str], Any] = {}
        self.began: float | None = None  # files that were written earlier are of another attempt

    def name(self, rule: ResultRule) -> str:
        """The name of the file that a rule reads."""
        return self._stdout if rule.file is None else rule.file

    def text(self, rule: ResultRule, limit: int = FILE_MAX) -> str:
        """The text of the file that a rule reads."""
        name = self.name(rule)
        if name not in self._texts:
            self._texts[name] = self._read(name, limit)
        return self._texts[name]

    def parsed(self, rule: ResultRule, way: str, parse: Callable[[str], Any], limit: int) -> Any:
        """The content of the file that a rule reads, parsed in one of the ways."""
        name = self.name(rule)
        if (name, way) not in self._parsed:
            text = self.text(rule, limit)
            if len(text) > limit:
                raise _too_large(name, len(text), limit)
            try:
                self._parsed[name, way] = parse(text)
            except (ValueError, RecursionError) as error:
                problem = " ".join(str(error).split())
                raise NoResult(f"{name} is no {way.upper()}: {problem}") from None
        return self._parsed[name, way]

    def _read(self, name: str, limit: int) -> str:
        try:
            # Opening a named pipe that has no writer would block the launcher for ever.
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise _Missing(f"there is no file {name}") from None
        except OSError as error:
            raise NoResult(f"{name} cannot be read: {error.strerror}") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise NoResult(f"{name} is not a file")
        with open(descriptor, "rb") as file:
            if self.began is not None and status.st_mtime < self.began:
                raise _Missing(f"{name} was left by an earlier attempt")
            data = file.read(limit + 1)
        if len(data) > limit:
            raise _too_large(name, status.st_size, limit)
        return data.decode("utf-8-sig", errors="replace")


def _too_large(name: str, size: int, limit: int) -> NoResult:
    return NoResult(
        f"{name} has {megabytes(size)}: at most {megabytes(limit)} are read; have the program "
        "write its results into a file of their own"
    )


def _by_regex(rule: ResultRule, outputs: _Outputs) -> Any:
    text, name = outputs.text(rule), outputs.name(rule)
    if outputs.is_slow:
        raise NoResult(f"'{rule.regex}' was not looked for, since another search did not end")
    try:
        group = outputs.search(str(rule.regex), text, last=rule.which == "last")
    except NotSearched as error:
        outputs.is_slow = True
        raise NoResult(f"looking for '{rule.regex}' in {name} {error}") from None
    if group is None:
        raise _Missing(f"'{rule.regex}' matches nothing in {name}")
    return group


def _by_json(rule: ResultRule, outputs: _Outputs) -> Any:
    return _at(str(rule.json), outputs.parsed(rule, "json", json.loads, FILE_MAX), rule, outputs)


def _by_yaml(rule: ResultRule, outputs: _Outputs) -> Any:
    return _at(str(rule.yaml), outputs.parsed(rule, "yaml", _parse_yaml, YAML_MAX), rule, outputs)


def _parse_yaml(text: str) -> Any:
    import yaml  # here, since few studies need it

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _at(path: str, value: Any, rule: ResultRule, outputs: _Outputs) -> Any:
    step: Any
    for step in steps(path) or ():
        kind = list if isinstance(step, int) else dict
        try:
            value = value[step] if isinstance(value, kind) else None
        except (LookupError, TypeError):
            value = None
        if value is None:
            raise _Missing(f"there is no {path} in {outputs.name(rule)}")
    return value


def _by_csv(rule: ResultRule, outputs: _Outputs) -> Any:
    name = outputs.name(rule)
    columns, rows = outputs.parsed(rule, "csv", _parse_table, FILE_MAX)
    column = str(rule.csv).strip()
    if column not in columns:
        raise _Missing(f"{name} has no column {column!r}, but {', '.join(columns) or 'none'}")
    if not rows:
        raise _Missing(f"{name} has no rows")
    row, index = rows[0 if rule.which == "first" else -1], columns.index(column)
    if index >= len(row) or not row[index].strip():
        raise _Missing(f"{name} has nothing in column {column!r} of its {rule.which} row")
    return row[index]


def _parse_table(text: str) -> tuple[list[str], list[list[str]]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return [], []
    lines[0] = lines[0].lstrip("# \t")
    delimiter = next((sign for sign in ",;\t" if sign in lines[0]), None)
    kept = [lines[0], *(line for line in lines[1:] if not line.lstrip().startswith("#"))]
    if delimiter is None:
        rows = [line.split() for line in kept]
    else:
        try:
            rows = [*csv.reader(kept, delimiter=delimiter, skipinitialspace=True)]
        except csv.Error as error:
            raise ValueError(str(error)) from None
    return [name.strip() for name in rows[0]], rows[1:]


_WAYS: Mapping[str, Callable[[ResultRule, _Outputs], Any]] = {
    "regex": _by_regex,
    "json": _by_json,
    "yaml": _by_yaml,
    "csv": _by_csv,
}


def _typed(value: Any, rule: ResultRule) -> Value:
    if isinstance(value, str):
        value = value.strip()
        if len(value) > TEXT_MAX:
            problem = f"it is a text of {len(value)} characters: at most {TEXT_MAX} are kept"
            raise NoResult(problem)
        if rule.type == "float":
            value = _fortran(value)
    try:
        typed: Value = converted(value, TYPES[rule.type])
    except (Unfit, ValueError, OverflowError):
        article = "an" if rule.type == "int" else "a"
        raise NoResult(f"{described(value)} is not {article} {rule.type}") from None
    return float(typed) if rule.type == "float" else typed


def _fortran(text: str) -> str:
    """A number as Python reads it: Fortran writes 1.5D+03."""
    return text.replace("D", "E").replace("d", "e") if text[:1] in "+-.0123456789" else text


def _written_at(of: Callable[[Path, int], Path], directory: Path, attempt: int) -> float | None:
    try:
        return of(directory, attempt).stat().st_mtime
    except OSError:
        return None
