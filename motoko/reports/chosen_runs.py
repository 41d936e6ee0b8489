"""The runs whose results are wanted, at one moment, with the values of some columns."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError, ConstraintError
from motoko.mirror.constraint_sql import where
from motoko.mirror.current_mirror import Moment, current
from motoko.mirror.earlier_state import earlier
from motoko.mirror.mirror_tables import JOBS, RUNS
from motoko.mirror.mirrored_rows import parts
from motoko.mirror.scalars import LeftOut
from motoko.reports.result_columns import ResultColumn, ResultColumns
from motoko.store.constraints import compile_constraints
from motoko.store.predicates import Predicate


@dataclass(frozen=True)
class Wanted:
    """Which results are wanted.

    Attributes:
        constraints: the constraints that the runs have to meet.
        run_name: only runs of this run_name.
        columns: the names of the columns, in order; if empty, all parameters and all results.
        sort: the column by which the runs are sorted; ``None``: they are sorted by id.
        is_reverse: whether they are sorted from the largest value to the smallest.
        limit: the largest number of rows.
        at: the transaction (hexadecimal) whose state is shown; ``None``: the present state.
        states: the states that the runs may be in; if empty, any.
    """

    constraints: Sequence[str] = ()
    run_name: str | None = None
    columns: Sequence[str] = ()
    sort: str | None = None
    is_reverse: bool = False
    limit: int | None = None
    at: str | None = None
    states: Collection[str] = ()


class ChosenRuns:
    """The wanted runs of a study, at one moment.

    Attributes:
        moment: the moment.
        columns: all columns of the study.
    """

    def __init__(
        self, study: StudyConfig, moment: Moment, wanted: Wanted, predicate: Predicate
    ) -> None:
        self.moment = moment
        self.columns = ResultColumns(study, moment.tables)
        self._study, self._wanted, self._predicate = study, wanted, predicate
        self._check_names()
        self._read = [self.columns.field(*name.split(".")) for name in sorted(predicate.reads)]
        key = self.columns.named(wanted.sort) if wanted.sort is not None else None
        self._order = (key.table, key.names, wanted.is_reverse) if key is not None else None

    def _check_names(self) -> None:
        """Raise ``ConstraintError`` if nothing is selected, since no run has an entry of a name."""
        predicate, has_runs = self._predicate, self.moment.tables.count()
        for test in predicate.tests:
            _, name = test.where
            if has_runs and name in predicate.undeclared and not test({}, {}):
                try:
                    self.columns.named(name)
                except ConfigError as error:
                    text = f"{error}, in {predicate.text!r}"
                    raise ConstraintError(text, hint=error.hint) from None

    def named(self) -> list[ResultColumn]:
        """The columns that are wanted by name; ``ConfigError`` for a column that does not exist."""
        return [self.columns.named(name) for name in self._wanted.columns]

    def parts(
        self, shown: Sequence[ResultColumn], window: tuple[int, int] | None = None
    ) -> Iterator[list[Sequence[Any]]]:
        """The ids and values of the runs: a sequence for each column, some thousand runs at a time.

        With ``window`` that many runs are skipped first, and that many are read then. Raises
        ``ConstraintError``.
        """
        needed = [(column.table, column.names) for column in (*shown, *self._read)]
        condition, values, is_told = self._condition()
        skipped, room = window or (0, None)
        in_sql = {"skipped": skipped, "most": room} if is_told and room is not None else {}
        read = parts(self.moment.tables, needed, condition, values, self._order, **in_sql)
        for part in read:
            wanted = part[: 1 + len(shown)]
            if not is_told:
                meet = list(self._meeting(part[0], part[1 + len(shown) :]))
                wanted = [list(itertools.compress(column, meet)) for column in wanted]
                met = len(wanted[0])
                wanted = [column[skipped:][:room] for column in wanted]
                skipped = max(0, skipped - met)
                room = None if room is None else room - len(wanted[0])
            yield wanted
            if room == 0:
                return

    def count(self) -> int:
        """How many runs there are; raises ``ConstraintError``."""
        condition, values, is_told = self._condition()
        if not is_told:
            return sum(len(part[0]) for part in self.parts([]))
        query = "SELECT count(*) FROM runs LEFT JOIN jobs ON jobs.id = runs.job_id WHERE "
        (number,) = self.moment.tables.connection.execute(query + condition, values).fetchone()
        return int(number)

    def _condition(self) -> tuple[str, dict[str, Any], bool]:
        """The runs in SQL, with its values, and whether it says all: else others meet it, too."""
        may = where(self.moment.tables, self._predicate)
        condition, values = f"({may.sql})", dict(may.parameters)
        if (name := self._wanted.run_name) is not None:
            condition += " AND runs.run_name = :run_name"
            values["run_name"] = name
        if self._wanted.states:
            condition += (
                " AND coalesce(runs.state, 'None') IN (SELECT value FROM json_each(:states))"
            )
            values["states"] = json.dumps([*self._wanted.states])
        return condition, values, may.is_exact and all(read.table == RUNS for read in self._read)

    def _meeting(self, numbers: Sequence[int], read: Sequence[Sequence[Any]]) -> Iterator[bool]:
        """Whether each run meets the predicate, by the values that the predicate reads."""
        fields = [(column.table, column.names[-1].name) for column in self._read]
        for row, number in enumerate(numbers):
            entries = {table: _Read(f"{self._study.name}.{number}") for table in (RUNS, JOBS)}
            entries[RUNS]["id"] = number
            for (table, name), column in zip(fields, read, strict=True):
                entries[table][name] = column[row]
            yield self._predicate(entries[RUNS], entries[JOBS])


@contextlib.contextmanager
def chosen_runs(config: WorkflowConfig, study: StudyConfig, wanted: Wanted) -> Iterator[ChosenRuns]:
    """The wanted runs, which can be read while the block runs.

    Raises ``ConfigError`` for a column that does not exist, ``ConstraintError``, and what
    :func:`motoko.mirror.current_mirror.current` and :func:`motoko.mirror.earlier_state.earlier`
    raise. Reading the values may raise these errors, too.
    """
    predicate = compile_constraints(
        wanted.constraints, job_types=study.jobs, run_types=study.runs, study=study.name
    )
    at = wanted.at
    with current(config, study) if at is None else earlier(config, study, at) as moment:
        yield ChosenRuns(study, moment, wanted, predicate)


class _Read(dict[str, Any]):
    """Entries of a run or its job, by name. ``ConstraintError`` for an entry that was left out."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def get(self, name: str, default: Any = None) -> Any:
        value = super().get(name, default)
        if isinstance(value, LeftOut):
            raise ConstraintError(
                f"run {self._run}: {name} ({value.what}) is too large to be compared",
                hint="select by another entry, or in Python: `workflow.study.select(...)`",
            )
        return value
