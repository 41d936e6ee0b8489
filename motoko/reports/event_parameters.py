"""The parameters of the runs that events are about."""

from __future__ import annotations

import logging
from collections.abc import Mapping
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

    def of(self, event: Transition) -> Mapping[str, Any]:
        """The parameters of an event's run, by name; none if they cannot be read."""
        if event.job_id is None:
            return {}
        key = event.study, event.job_id
        if key not in self._known:
            try:
                parameters = self._read(event)
            except MotokoError as error:
                log.info("the parameters of %s.%s: %s", event.study, event.run_id, error)
                return {}
            if not parameters:
                return {}  # the job is gone
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = parameters
        return self._known[key]

    def _read(self, event: Transition) -> dict[str, Any]:
        study = self._config.studies[event.study]
        if event.study not in self._bases:
            self._bases[event.study] = open_base(self._config, study, read_only=True)
        base = self._bases[event.study]
        jobs = base.jobs.entries
        if event.job_id not in jobs:
            session().look(base, bytes.fromhex(event.tid))
        return parameters_of(study, jobs, {"job_id": event.job_id})

    def close(self) -> None:
        """Disconnect from the servers."""
        while self._bases:
            self._bases.popitem()[1].close()
