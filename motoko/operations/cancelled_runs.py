"""Cancelling runs of several studies, and the outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from motoko.config import StudyConfig, WorkflowConfig
from motoko.host.accounts import name_of
from motoko.operations.cancelling import (
    Cancellation,
    CancelledRun,
    Stage,
    check_cancel,
    stages,
    until_ended,
)
from motoko.operations.choosing import Choice, StudyChoice
from motoko.runs.job_facts import is_followed

PATIENCE_S = 15.0


@dataclass(frozen=True)
class Cancelled:
    """The outcomes of cancelling runs.

    Attributes:
        runs: the runs, study by study, sorted by id.
        patience: how long their ends were waited for at most, in seconds.
        over: by study, how many of the runs that obey the constraints had ended before.
    """

    runs: tuple[CancelledRun, ...]
    patience: float
    over: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_ended(self) -> bool:
        """Whether all runs have ended."""
        return all(run.outcome is not None for run in self.runs)


def cancel_runs(config: WorkflowConfig, choice: Choice) -> Cancelled:
    """Cancel runs, and wait until they have ended, at most ``PATIENCE_S``.

    Runs that were chosen by constraints and have ended are left alone. Raises ``NotCancellable``
    if a run that is named does not exist or has ended; then nothing is changed.
    """
    over: dict[str, int] = {}
    with choice.opened(config) as studies:
        # Everything is checked before anything is changed.
        work = [Cancellation(s.base, _unended(s, over), name_of(os.getuid())) for s in studies]
        return Cancelled(_end(config, work), PATIENCE_S, over)


def cancel_jobs(config: WorkflowConfig, studies: Sequence[StudyConfig]) -> Cancelled:
    """Cancel all runs of some studies that are batch jobs, and wait at most ``PATIENCE_S``."""
    from motoko.control.study_access import opened

    with contextlib.ExitStack() as stack:
        work: list[Cancellation] = []
        for study in studies:
            if not study.is_local or not study.created:
                continue
            base = stack.enter_context(opened(config, study))
            numbers = [run.entries["id"] for run in base.all_runs() if is_followed(run.entries)]
            work.append(Cancellation(base, numbers, name_of(os.getuid())))
        return Cancelled(_end(config, work), PATIENCE_S)


def _unended(chosen: StudyChoice, over: dict[str, int]) -> set[int]:
    """The runs of a study to cancel; records in ``over`` how many selected runs have ended."""
    check_cancel(chosen.base, sorted(chosen.named))
    if chosen.constraints is None:
        return set(chosen.named)
    by_run = stages(chosen.base, chosen.selected())
    unended = {number for number, stage in by_run.items() if stage is not Stage.ENDED}
    if len(unended) < len(by_run):
        over[chosen.base.study.name] = len(by_run) - len(unended)
    return unended | set(chosen.named)


def _end(config: WorkflowConfig, work: Sequence[Cancellation]) -> tuple[CancelledRun, ...]:
    for cancellation in work:
        cancellation.look()
    if any(cancellation.left for cancellation in work):
        asyncio.run(until_ended(config, work, PATIENCE_S))
    return tuple(run for cancellation in work for run in cancellation.results())
