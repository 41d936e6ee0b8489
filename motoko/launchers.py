"""Adding launchers to a workflow's supervisor: those of all studies, or one study's."""

from __future__ import annotations

import time

from motoko import control
from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError, MotokoError


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
    check_generator(generator)
    if study is None:
        control.start_detached(config.path, launchers=True, announce=announce)
    else:
        _add_one(config, study, announce)


def check_generator(generator: str | None) -> None:
    """Raise ``ConfigError`` for a generator that is not there."""
    if generator not in (None, "bash", "bashCoat"):
        raise ConfigError(f"generator {generator} is not there yet", hint="use bash")


def _add_one(config: WorkflowConfig, study: StudyConfig, announce: control.Announce) -> None:
    deadline = time.monotonic() + config.supervision.started_s
    if not control.is_running(config):
        control.start_detached(config.path, launchers=False, announce=announce)
    control.wait_for_answer(config, deadline)
    answer = control.ask(control.records(config), "add_launchers", studies=[study.name]) or {}
    if "error" in answer:
        raise MotokoError(f"the supervisor starts no launcher: {answer['error']}")
    for name in answer.get("added", []):
        announce(f"starting {name}")
    # The other studies' daemons may have been stopped, and are no concern of ours.
    control.wait_for_daemons(config, deadline, {f"launcher:{study.name}": None})
