"""Calling BlackDynamite's canYouDigIt in the studies of a supervised workflow."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.daemon_kinds import ZEO, daemon_of
from motoko.control import client
from motoko.control.daemon_records import refuse_guests
from motoko.errors import NoSupervisor
from motoko.host.programs import program


def dig(
    config: WorkflowConfig,
    studies: Collection[StudyConfig],
    arguments: Collection[str],
    announce: Callable[[str], None],
) -> int:
    """Call canYouDigIt in each study's directory; returns the first exit code that is not 0.

    Args:
        config: the workflow.
        studies: the studies, of this workflow.
        arguments: canYouDigIt's arguments.
        announce: gets each study's name before its call.

    Raises ``NoSupervisor``, and calls nothing, if one of the studies is not served.
    """
    for study in studies:
        _require_server(config, study)
    # BlackDynamite's variables would make canYouDigIt use another base than its directory's.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BLACKDYNAMITE_")}
    codes = []
    for study in studies:
        announce(f"{'*' * 30}\nTaskManager: {study.name}\n{'*' * 30}")
        done = subprocess.run(
            [program("canYouDigIt"), *arguments], cwd=study.directory, env=environment, check=False
        )
        codes.append(done.returncode)
    return next((code for code in codes if code), 0)


def _require_server(config: WorkflowConfig, study: StudyConfig) -> None:
    # canYouDigIt would start a server of its own if it found none.
    if not study.is_local:
        return
    refuse_guests(config)
    if daemon_of(ZEO, study.name) not in client.daemons_at_work(config):
        raise NoSupervisor(
            f"study {study.name} is not served, and canYouDigIt needs its server",
            hint=f"run `motoko supervise --detach`, or plain `motoko info` (in {config.directory})",
        )
