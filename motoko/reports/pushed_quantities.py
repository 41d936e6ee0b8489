"""A quantity that runs have pushed: a row for each step, and for each component of a vector.

BlackDynamite keeps its values in a file in the directory of each run. The database says which runs
have it, and in which file.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError, StudyUnavailable
from motoko.layout import locate
from motoko.mirror.mirror_tables import RUNS, Owner
from motoko.reports.chosen_runs import ChosenRuns, Wanted, chosen_runs
from motoko.reports.result_columns import ResultColumn
from motoko.reports.results import Part, first_rows
from motoko.runs.paths import present_directory, recorded_directory
from motoko.store.records import Ref, decode, node
from motoko.store.study_records import StudyRecords, study_records

ROWS = 20_000  # how many rows a part has
RUNS_AT_ONCE = 500  # the records of this many runs are read together
COLUMNS = ("run", "step", "component", "value")


@dataclass(frozen=True)
class PushedQuantity:
    """The values of a quantity.

    Attributes:
        columns: the names of the columns: run, step, component and value, then the wanted ones.
        parts: the values, as in :class:`motoko.reports.results.Results`.
        types: the types, as in :class:`motoko.reports.results.Results`.
        tid: the transaction whose state the runs show.
        without: as in :class:`motoko.reports.results.Results`.
        gone: the runs whose file is missing, among those whose values were read.
    """

    columns: list[str]
    parts: Iterator[Part]
    types: Sequence[type | None]
    tid: str
    without: str | None
    gone: list[int] = field(default_factory=list)


@contextlib.contextmanager
def pushed_quantity(
    config: WorkflowConfig, study: StudyConfig, name: str, wanted: Wanted
) -> Iterator[PushedQuantity]:
    """The values of a quantity of the wanted runs, which can be read while the block runs.

    Raises ``ConfigError`` if these runs have quantities, but none of that name, and what
    :func:`motoko.reports.chosen_runs.chosen_runs` raises. Reading the values may raise the same.
    """
    with (
        chosen_runs(config, study, wanted) as runs,
        study_records(study, locate(config)) as records,
    ):
        extra = runs.named()
        read = _Reading(study, name, runs, records, extra)
        parts = read.parts()
        first = next(parts, None)
        if first is None:
            read.check_name()
        labels = [column.label for column in extra]
        yield PushedQuantity(
            [*COLUMNS, *(f"of_{label}" if label in COLUMNS else label for label in labels)],
            first_rows(itertools.chain([first] if first else [], parts), wanted.limit),
            (int, int, int, float, *(None for _ in extra)),
            runs.moment.tid,
            runs.moment.without,
            read.gone,
        )


def pushed_files(config: WorkflowConfig, study: StudyConfig) -> Iterator[Path]:
    """The present paths of the files of all quantities that a study's runs have pushed.

    Raises what :func:`motoko.reports.chosen_runs.chosen_runs` raises.
    """
    with (
        chosen_runs(config, study, Wanted()) as runs,
        study_records(study, locate(config)) as records,
    ):
        yield from _Reading(study, None, runs, records, ()).files()


class _Reading:
    """Reads a quantity, run by run."""

    def __init__(
        self,
        study: StudyConfig,
        name: str | None,
        runs: ChosenRuns,
        records: StudyRecords,
        extra: Sequence[ResultColumn],
    ) -> None:
        self._study, self._name, self._runs, self._records = study, name, runs, records
        self._extra = extra
        self._tid = bytes.fromhex(runs.moment.tid)
        self._others: set[str] = set()  # names of quantities
        self.gone: list[int] = []

    def check_name(self) -> None:
        """Raise ``ConfigError`` if the runs have quantities, but none of this name."""
        if self._others and self._name not in self._others:
            known = sorted(self._others)
            near = difflib.get_close_matches(str(self._name), known, 1)
            raise ConfigError(
                f"study {self._study.name}: no run has pushed a quantity {self._name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}",
            )

    def parts(self) -> Iterator[Part]:
        """Rows, column by column."""
        rows = self._rows()
        while some := list(itertools.islice(rows, ROWS)):
            yield list(zip(*some, strict=True))

    def files(self) -> Iterator[Path]:
        """The files of all quantities."""
        for (number, run_path, *_), quantities in self._pushed():
            for file in quantities.values():
                yield self._present(number, run_path, file)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for (number, run_path, _, *extra), quantities in self._pushed():
            self._others.update(quantities)
            if (file := quantities.get(str(self._name))) is not None:
                for values in self._values(number, self._present(number, run_path, file)):
                    yield (number, *values, *extra)

    def _pushed(self) -> Iterator[tuple[Sequence[Any], dict[str, str]]]:
        """Number, run_path, last_step and extra columns of runs with quantities, and these."""
        columns = self._runs.columns
        noted = [columns.field("runs", name) for name in ("run_path", "last_step")]
        for part in self._runs.parts([*noted, *self._extra]):
            # A run that has pushed a value has noted a step.
            pushed = (row for row in zip(*part, strict=True) if row[2] is not None)
            while some := list(itertools.islice(pushed, RUNS_AT_ONCE)):
                files = self._files([row[0] for row in some])
                yield from ((row, files[row[0]]) for row in some if row[0] in files)

    def _files(self, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
        """The files of all quantities by name, for those of the given runs that have any."""
        tables = self._runs.moment.tables
        oids = [(tables.record(Owner(RUNS, number)) or 0).to_bytes(8, "big") for number in numbers]
        trees: dict[int, bytes] = {}
        for number, data in zip(numbers, self._at(oids), strict=True):
            state = decode(data)[1]
            tree = state.get("quantities") if isinstance(state, dict) else None
            if isinstance(tree, Ref):
                trees[number] = tree.oid
        return {
            number: {
                name: file
                for name, file in self._items(data)
                if isinstance(name, str) and isinstance(file, str)
            }
            for number, data in zip(trees, self._at([*trees.values()]), strict=True)
        }

    def _items(self, data: bytes) -> Iterator[tuple[Any, Any]]:
        record = node(data)
        yield from record.items
        for below in self._at([*record.children]):
            yield from self._items(below)

    def _at(self, oids: list[bytes]) -> list[bytes]:
        records = self._records.at(oids, self._tid)
        if any(record is None for record in records):
            raise StudyUnavailable(
                f"study {self._study.name} is being packed, or replaced", hint="try again"
            )
        return [record for record in records if record is not None]

    def _present(self, number: int, run_path: Any, file: str) -> Path:
        """The present path of a file: its study may have been moved since."""
        entries = {"id": number, "run_path": run_path}
        before, now = recorded_directory(entries), present_directory(self._study, entries)
        path = Path(file)
        if before is None or now is None or not path.is_relative_to(before):
            return path
        return now / path.relative_to(before)

    def _values(self, number: int, path: Path) -> Iterator[tuple[int, int | None, Any]]:
        """Step, component and value of each line of a file; an unfinished last line is left out."""
        try:
            file = path.open(encoding="utf-8", errors="replace")
        except OSError:
            self.gone.append(number)
            return
        with file:
            kinds = [_kind(title) for title in file.readline().rstrip("\n").split(",")[1:]]
            for line in file:
                if not line.endswith("\n"):
                    return
                step, _, rest = line[:-1].partition(",")
                values = rest.split(",") if len(kinds) > 1 else [rest]
                for place, text in enumerate(values):
                    kind = kinds[place] if place < len(kinds) else ""
                    component = place if len(kinds) > 1 else None
                    yield _number(step, "int"), component, _number(text, kind)


def _kind(title: str) -> str:
    """The type in a column's title: ``name[float64]``."""
    return title.rpartition("[")[2].removesuffix("]")


def _number(text: str, kind: str) -> Any:
    """A value of the type that was pushed: BlackDynamite writes all numbers as floats."""
    try:
        value = float(text)
    except ValueError:
        return text or None
    is_whole = kind.startswith(("int", "uint")) and value.is_integer()
    return int(value) if is_whole else value
