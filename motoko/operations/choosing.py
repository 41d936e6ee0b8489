"""The runs that a command is about."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError, NoSuchRun
from motoko.mirror.constraint_sql import candidates
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_tables import RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import has_value
from motoko.runs.entry_table import places_of
from motoko.runs.processes import running as running_of
from motoko.runs.states import state_of
from motoko.store.base import AT_ONCE, StudyBase
from motoko.store.transactions import renew

# A run that has just called finish() or fail() ends a moment later.
END_S = 5.0


@dataclass(frozen=True)
class Choice:
    """Runs of a workflow that a user has chosen.

    Attributes:
        named: the ids of single runs, by study.
        studies: the studies in which all runs that obey the constraints are chosen, too.
        constraints: the constraints, as in ``select``.
    """

    named: Mapping[str, Sequence[int]] = field(default_factory=dict)
    studies: Sequence[StudyConfig] = ()
    constraints: Sequence[str] = ()

    @contextlib.contextmanager
    def opened(self, config: WorkflowConfig) -> Iterator[list[StudyChoice]]:
        """The choice study by study, with open bases whose paths are right for this directory.

        Raises ``StudyUnavailable``.
        """
        from motoko.control.study_access import opened
        from motoko.operations.relocating import relocate

        def open_here(study: StudyConfig) -> StudyBase:
            base = stack.enter_context(opened(config, study))
            if study.is_local:
                relocate(base)
            return base

        others = {study.name: study for study in self.studies if study.name not in self.named}
        studies = [config.studies[name] for name in self.named] + list(others.values())
        with contextlib.ExitStack() as stack:
            yield [
                StudyChoice(
                    config=config,
                    base=open_here(study),
                    named=tuple(self.named.get(study.name, ())),
                    constraints=tuple(self.constraints) if study in self.studies else None,
                )
                for study in studies
            ]


@dataclass(frozen=True)
class StudyChoice:
    """The runs of one study that were chosen.

    Attributes:
        named: the ids of the runs that were named.
        constraints: the constraints that choose further runs; ``None`` if there are none to choose.
    """

    config: WorkflowConfig
    base: StudyBase
    named: tuple[int, ...]
    constraints: tuple[str, ...] | None

    def selected(self, states: Collection[str] | None = None) -> dict[int, str]:
        """The states of the runs that obey the constraints, by id; with ``states``, only those."""
        if self.constraints is None:
            return {}
        return selected(self.config, self.base, self.constraints, states)


def selected(
    config: WorkflowConfig,
    base: StudyBase,
    constraints: Sequence[str],
    states: Collection[str] | None = None,
) -> dict[int, str]:
    """The states of the runs that obey all constraints, by id; with ``states``, only those.

    All changes that were committed before are seen. The mirror gives candidates; the base decides
    whether they obey. Raises ``ConstraintError``, also for a name that no run has.
    """
    predicate = base.predicate(list(constraints))
    with current(config, base.study) as moment:
        numbers: Iterable[int] = candidates(moment.tables, predicate)
        if states is not None:
            query = moment.tables.connection.execute("SELECT id, state FROM runs")
            of_them = {number for number, state in query if str(state) in states}
            numbers = (number for number in numbers if number in of_them)
        chosen = list(numbers)
        if not chosen and all(_is_carried(moment.tables, name) for name in predicate.undeclared):
            return {}
    renew(base)
    for start in range(0, len(chosen), AT_ONCE):
        base.load_with_jobs(chosen[start : start + AT_ONCE])
    pairs = base.select_pairs(replace(predicate, run_ids=frozenset(chosen)))
    states_of = {run.entries["id"]: state_of(run.entries) for run, _ in pairs}
    return {n: state for n, state in states_of.items() if states is None or state in states}


def _is_carried(tables: MirrorTables, name: str) -> bool:
    """Whether any run has a value under a name, as far as the mirror knows."""
    entries = [Name(False, key) for key in places_of(name)]
    return has_value(tables, RUNS, [*entries, Name(True, name)])


def no_such_run(base: StudyBase, number: int) -> MotokoError:
    """The error for a named run that does not exist."""
    return NoSuchRun(
        f"study {base.study.name} has no run {number}",
        hint=f"{base.known_runs}: see `motoko info`",
    )


def running(base: StudyBase, numbers: Collection[int]) -> list[int]:
    """The runs that are being executed.

    Waits a moment for runs that have reported their end while their processes have not ended yet.
    """
    deadline = time.monotonic() + END_S
    known = base.loaded((number, base.runs.entries.get(number)) for number in numbers)
    entries = {number: run.entries for number, run in known if run is not None}
    executed = running_of(base.study, entries, deadline)
    return [number for number in entries if number in executed]
