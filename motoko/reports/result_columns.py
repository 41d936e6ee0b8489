"""The columns of a study's results: their names and their order."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from motoko.config import StudyConfig
from motoko.config.reserved_names import OF_BLACKDYNAMITE
from motoko.errors import ConfigError
from motoko.mirror.mirror_tables import JOBS, RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import names
from motoko.runs.entry_table import OWN, PREFIX, places_of

FIRST = ("id", "state", "run_name")
_TABLES = {"runs": RUNS, "jobs": JOBS}


@dataclass(frozen=True)
class ResultColumn:
    """One column: a value of a run, or of its job.

    Attributes:
        label: the column's name; ``jobs.x`` and ``runs.x`` if both have an ``x``.
        table: ``RUNS`` or ``JOBS``.
        names: the names under which the value may be stored; the first that exists counts.
    """

    label: str
    table: int
    names: tuple[Name, ...]


class ResultColumns:
    """The columns of one study.

    Args:
        study: the study, which declares parameters.
        tables: the tables with the results.
    """

    def __init__(self, study: StudyConfig, tables: MirrorTables) -> None:
        self._study = study
        self._declared: Mapping[int, Mapping[str, type]] = {JOBS: study.jobs, RUNS: study.runs}
        self._stored = {table: names(tables, table) for table in (JOBS, RUNS)}

    def shown(self) -> list[ResultColumn]:
        """Id, state and run_name, the parameters in the order of bd.yaml, then the results by name.

        The mirror's own order depends on what was committed while somebody watched.
        """
        keys = [(RUNS, name) for name in FIRST]
        keys += [(JOBS, name) for name in self._study.jobs]
        keys += [(RUNS, name) for name in self._study.runs if name not in FIRST]
        hidden = OF_BLACKDYNAMITE | {"attempt"}
        results = sorted(
            {name.name for name in self._stored[RUNS]} - self._study.runs.keys() - hidden
        )
        results = [name for name in results if not name.startswith(PREFIX)]
        keys += [(RUNS, name) for name in results]
        in_both = {name for table, name in keys if (1 - table, name) in keys}
        return [
            self._column(f"{_prefix(table)}.{name}" if name in in_both else name, table, name)
            for table, name in dict.fromkeys(keys)
        ]

    def all(self) -> list[ResultColumn]:
        """The shown columns, then all others: what BlackDynamite and Motoko write on runs."""
        shown = self.shown()
        known = {(column.table, column.names[-1].name) for column in shown}
        others = dict.fromkeys(
            (RUNS, name.name.removeprefix(PREFIX)) for name in self._stored[RUNS]
        )
        return shown + [
            self._column(name, table, name) for table, name in others if (table, name) not in known
        ]

    def named(self, text: str) -> ResultColumn:
        """The column with a name, which may begin with ``runs.`` or ``jobs.``.

        Raises ``ConfigError`` for a name that neither a run nor a parameter has.
        """
        prefix, dot, name = text.partition(".")
        if dot and prefix in _TABLES:
            table = _TABLES[prefix]
            if (key := self._known(table, name)) is not None:
                return self._column(text, table, key)
        else:
            in_run, in_job = self._known(RUNS, text), self._known(JOBS, text)
            if text.lower() in self._study.jobs and text.lower() in self._study.runs:
                raise ConfigError(
                    f"study {self._study.name}: {text!r} is a parameter of jobs and of runs",
                    hint=f"write jobs.{text} or runs.{text}",
                )
            is_the_jobs = text.lower() in self._study.jobs or in_run is None
            if is_the_jobs and in_job is not None:
                return self._column(text, JOBS, in_job)
            if in_run is not None:
                return self._column(text, RUNS, in_run)
        known = [column.label for column in self.shown()]
        near = difflib.get_close_matches(text, known, 1)
        raise ConfigError(
            f"study {self._study.name}: no run has a {text!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}",
        )

    def field(self, where: str, name: str) -> ResultColumn:
        """The column that a constraint reads; it may have no values."""
        return self._column(f"{where}.{name}", _TABLES[where], name)

    def _known(self, table: int, text: str) -> str | None:
        """The name as it is stored: entries have lower-case names, attributes any."""
        stored = {name.name for name in self._stored[table]}
        for name in (text, text.lower()):
            if name in stored or name in self._declared[table]:
                return name
            if table == RUNS and (name in OWN or name in FIRST):
                return name
        return None

    def _column(self, label: str, table: int, name: str) -> ResultColumn:
        entries = places_of(name) if table == RUNS else (name,)
        names = (*(Name(False, key) for key in entries), Name(True, name))
        return ResultColumn(label, table, names)


def _prefix(table: int) -> str:
    return "jobs" if table == JOBS else "runs"
