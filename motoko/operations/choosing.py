"""Which runs a command is about."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError
from motoko.runs.processes import running as running_of
from motoko.runs.states import state_of
from motoko.store.base import StudyBase
from motoko.store.transactions import renew

# A run that has just called finish() or fail() ends a moment later.
END_S = 5.0


@dataclass(frozen=True)
class Choice:
    """Runs of a workflow that somebody has chosen.

    Attributes:
        named: the ids of single runs, by study.
        studies: in which further runs are chosen: all that obey the constraints.
        constraints: as in ``select``.
    """

    named: Mapping[str, Sequence[int]] = field(default_factory=dict)
    studies: Sequence[StudyConfig] = ()
    constraints: Sequence[str] = ()

    @contextlib.contextmanager
    def opened(self, config: WorkflowConfig) -> Iterator[list[StudyChoice]]:
        """The choice study by study, with open bases that are of the present place.

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
        named: the ids of those that were named.
        constraints: what the others obey; ``None`` if there are no others.
    """

    base: StudyBase
    named: tuple[int, ...]
    constraints: tuple[str, ...] | None

    def selected(self) -> dict[int, str]:
        """The states of the runs that obey the constraints, by id."""
        return {} if self.constraints is None else selected(self.base, self.constraints)


def selected(base: StudyBase, constraints: Sequence[str]) -> dict[int, str]:
    """The states of the runs that obey all constraints, by id."""
    renew(base)
    pairs = base.select_pairs(base.predicate(list(constraints)))
    return {run.entries["id"]: state_of(run.entries) for run, _ in pairs}


def no_such_run(base: StudyBase, number: int) -> MotokoError:
    """The error for a run that was named, and does not exist."""
    return MotokoError(
        f"study {base.study.name} has no run {number}",
        hint=f"it has {len(base.runs.entries)} runs: see `motoko info`",
    )


def running(base: StudyBase, numbers: Collection[int]) -> list[int]:
    """Those of the runs that are being executed.

    Waits a moment for those that have said they have ended, and whose processes have not yet.
    """
    deadline = time.monotonic() + END_S
    known = base.loaded((number, base.runs.entries.get(number)) for number in numbers)
    entries = {number: run.entries for number, run in known if run is not None}
    executed = running_of(base.study, entries, deadline)
    return [number for number in entries if number in executed]
