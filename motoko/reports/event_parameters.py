"""The parameters of the runs that events are about."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from motoko.bus.messages import Transition
from motoko.config import WorkflowConfig
from motoko.control.study_access import open_base
from motoko.errors import MotokoError
from motoko.store.jobs_of_runs import parameters_of
from motoko.store.session import session

if TYPE_CHECKING:
    from motoko.store.base import StudyBase

KEPT = 10_000  # jobs

log = logging.getLogger(__name__)


class EventParameters:
    """Reads the parameters of runs from the studies' servers, which are asked once for each job.

    Args:
        config: the workflow.
    """

    def __init__(self, config: WorkflowConfig) -> None:
        self._config = config
        self._bases: dict[str, StudyBase] = {}
        self._known: dict[tuple[str, int], dict[str, Any]] = {}

    def of_all(self, events: Sequence[Transition]) -> list[Mapping[str, Any]]:
        """The parameters of the run of each event, by name; none if they cannot be read."""
        if len(self._known) >= KEPT:
            self._known.clear()
        for name in {event.study for event in events}:
            unknown: dict[int, str] = {}  # job ids, and the newest transaction that names them
            for event in events:
                if event.study == name and event.job_id and (name, event.job_id) not in self._known:
                    unknown[event.job_id] = event.tid
            try:
                self._read(name, unknown)
            except MotokoError as error:
                log.info("the parameters of runs of study %s: %s", name, error)
        return [self._known.get((event.study, event.job_id or 0), {}) for event in events]

    def _read(self, name: str, unknown: Mapping[int, str]) -> None:
        if not unknown:
            return
        study = self._config.studies[name]
        if name not in self._bases:
            self._bases[name] = open_base(self._config, study, read_only=True)
        base = self._bases[name]
        jobs = base.jobs.entries
        if any(number not in jobs for number in unknown):
            session().look(base, bytes.fromhex(max(unknown.values())))
        base.load([job for number in unknown if (job := jobs.get(number)) is not None])
        for number in unknown:
            if parameters := parameters_of(study, jobs, {"job_id": number}):  # else it is gone
                self._known[name, number] = parameters

    def close(self) -> None:
        """Disconnect from the servers."""
        while self._bases:
            self._bases.popitem()[1].close()
