"""Adding launchers to a workflow's supervisor: those of all studies, or one study's."""

from __future__ import annotations

import time

from motoko import control
from motoko.batch_check import check_generators
from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError


def add_launchers(
    config: WorkflowConfig,
    study: StudyConfig | None = None,
    *,
    generator: str | None = None,
    announce: control.Announce = lambda line: None,
) -> None:
    """Have the launchers of all studies, or only one study's, and return when they are ready.

    They are added to the workflow's supervisor; if there is none, one is started, detached.

    Args:
        config: the workflow.
        study: the one study whose launcher is wanted; ``None`` for all of them.
        generator: what the runs are handed to, instead of motoko.yaml's.
        announce: gets a line for each thing that is started.

    Raises:
        ConfigError: the generator is not there.
        NoSupervisor: called from inside a run, which never starts anything.
        MotokoError: a launcher does not start; with the end of its log.
    """
    check_generators(config, generator)
    if study is None:
        control.start_detached(config.path, launchers=True, generator=generator, announce=announce)
    else:
        _add_one(config, study, generator, announce)


def _add_one(
    config: WorkflowConfig,
    study: StudyConfig,
    generator: str | None,
    announce: control.Announce,
) -> None:
    deadline = time.monotonic() + config.supervision.started_s
    if not control.is_running(config):
        control.start_detached(config.path, launchers=False, announce=announce)
    control.wait_for_answer(config, deadline)
    runtime = control.records(config)
    answer = control.ask(runtime, "add_launchers", studies=[study.name], generator=generator) or {}
    if "error" in answer:
        raise MotokoError(f"the supervisor starts no launcher: {answer['error']}")
    for name in answer.get("added", []):
        announce(f"starting {name}")
    # The other studies' daemons may have been stopped, and are no concern of ours.
    control.wait_for_daemons(config, deadline, {f"launcher:{study.name}": None})
