"""What `motoko info` shows: the studies, the overview of their runs, and their daemons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control import client, daemon_records
from motoko.control.protocol import DaemonInfo
from motoko.errors import MotokoError
from motoko.layout import other_account
from motoko.reports.batch_jobs import last_answers
from motoko.reports.overview import Overview
from motoko.reports.status import OF_OTHERS

ANSWER_S = 2.0
NOT_SUPERVISED = "not supervised"


class UnsupervisedDaemon(msgspec.Struct, frozen=True):
    """A living daemon of a workflow whose supervisor does not answer."""

    name: str
    state: str
    pid: int
    detail: str = ""


@dataclass(frozen=True)
class WorkflowOverview:
    """The studies, and what can be read of their runs.

    Attributes:
        workflow: the path of motoko.yaml.
        chosen: the studies that were asked for.
        studies: the overviews of the studies that could be read.
        not_created: the names of the studies that have no database yet.
        errors: why the other studies could not be read.
        batch_states: the schedulers' last answers: a job's state with the reason, by job id.
        batch_silence: why the last query had no answer; empty if it had one.
        daemons: the daemons by name; empty if they were not asked for.
        owner: the account whose workflow this one may only look at; ``None`` if it may change it.
    """

    workflow: str
    chosen: Sequence[StudyConfig]
    studies: Sequence[Overview]
    not_created: Sequence[str]
    errors: Sequence[MotokoError]
    batch_states: Mapping[str, str] = field(default_factory=dict)
    batch_silence: str = ""
    daemons: Mapping[str, DaemonInfo | UnsupervisedDaemon] = field(default_factory=dict)
    owner: str | None = None


def collect(
    config: WorkflowConfig,
    chosen: Sequence[StudyConfig],
    run_name: str | None,
    *,
    keep: bool,
    failures_max: int,
) -> WorkflowOverview:
    """The overview of some studies' runs (of a run_name, or all). Changes nothing.

    With ``keep`` every run is kept, and not only those that have failed, and the daemons are
    included. Of a study's failures only the first ``failures_max`` are kept. A study that cannot be
    read becomes one of the ``errors``.
    """
    from motoko.reports.run_counts import overview_of

    studies, not_created, errors = [], [], []
    for study in chosen:
        try:
            if study.is_local and not study.created:
                not_created.append(study.name)
                continue
            studies.append(
                overview_of(config, study, run_name, keep=keep, failures_max=failures_max)
            )
        except MotokoError as error:
            errors.append(error)
    answers, silence = last_answers(config)
    return WorkflowOverview(
        workflow=str(config.path),
        chosen=chosen,
        studies=studies,
        not_created=not_created,
        errors=errors,
        batch_states={job: state for job, (state, _) in answers.items()},
        batch_silence=silence,
        daemons=_daemons(config) if keep else {},
        owner=daemon_records.other_owner(config),
    )


def _daemons(config: WorkflowConfig) -> dict[str, DaemonInfo | UnsupervisedDaemon]:
    """The daemons by name; if no supervisor answers, the living ones."""
    status = client.supervisor_status(config, ANSWER_S)
    if status is not None:
        return {daemon.name: daemon for daemon in status.daemons}
    living = daemon_records.living_daemons(daemon_records.records(config))
    state = OF_OTHERS if other_account(config.directory) else NOT_SUPERVISED
    return {d.name: UnsupervisedDaemon(d.name, state, d.identity.pid) for d in living}
