"""Adding launchers to a workflow's supervisor: those of all studies, or one study's."""

from __future__ import annotations

import time

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.control import client, daemon_records
from motoko.control.protocol import AddLaunchersRequest, RequestRefused
from motoko.operations import reconfiguring, starting
from motoko.operations.generator_check import check_generators
from motoko.operations.remote_access import is_on


def add_launchers(
    config: WorkflowConfig,
    study: StudyConfig | None = None,
    *,
    generator: str | None = None,
    announce: starting.Announce = lambda line: None,
) -> None:
    """Start the launchers of all studies, or of one study, and return when they are ready.

    The launchers are added to the workflow's supervisor; if there is none, one is started,
    detached.

    Args:
        config: the workflow.
        study: the one study whose launcher is wanted; ``None`` for all of them.
        generator: the generator that gets the runs, instead of motoko.yaml's.
        announce: gets a line for each daemon that is started.

    Raises:
        ConfigError: there is no such generator.
        NoSupervisor: the caller is inside a run, which never starts a supervisor.
        MotokoError: a launcher does not start; the message has the end of its log.
    """
    check_generators(config, generator)
    if study is None:
        starting.start_detached(config.path, launchers=True, generator=generator, announce=announce)
    else:
        _add_one(config, study, generator, announce)


def _add_one(
    config: WorkflowConfig,
    study: StudyConfig,
    generator: str | None,
    announce: starting.Announce,
) -> None:
    deadline = time.monotonic() + config.supervision.started_s
    if not client.is_supervised(config):
        starting.start_detached(config.path, launchers=False, announce=announce)
    starting.wait_for_answer(config, deadline)
    reconfiguring.take_over(config)
    runtime = daemon_records.records(config)
    request = AddLaunchersRequest(
        studies=[study.name], generator=generator, remote=is_on(config, generator=generator)
    )
    try:
        answer = client.ask(runtime, request)
    except RequestRefused as refused:
        raise RequestRefused(f"the supervisor starts no launcher: {refused}") from refused
    for name in answer.added if answer else ():
        announce(f"starting {name}")
    # The other studies' daemons are not waited for: they may have been stopped on purpose.
    starting.wait_for_daemons(config, deadline, {daemon_of(LAUNCHER, study.name): None})
