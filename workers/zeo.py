"""A study's ZEO server.

Writes ``.bd/zeo.conf``, through which every BlackDynamite client finds the server, and serves the
study's database from a socket in the runtime directory: clients that find it dead wait or fail
there, whereas at BlackDynamite's default place they would start a server of their own.

With a TCP ``host:`` it listens there as well, and zeo.conf says so: for the nodes of a cluster.
"""

from __future__ import annotations

import logging
from functools import partial

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.control.daemon_records import living_daemons
from motoko.host.identity import Identity
from motoko.host.living_processes import command_line
from motoko.layout import Runtime
from motoko.operations.stopping import end_foreign
from motoko.store.blackdynamite_daemons import SERVER, foreign_daemons, is_launcher
from motoko.store.zeo_server import serve
from motoko.workers.daemon import arguments, running


def main() -> None:
    """Entry point of ``python -m motoko.workers.zeo``."""
    options = arguments("The ZEO server of a study.", study=True)
    with running(f"zeo:{options.study}", options.workflow) as daemon:
        study = daemon.config.studies[options.study]
        serve(
            study,
            daemon.runtime,
            daemon.log,
            partial(_evict, daemon.config, study),
            partial(_refusal, daemon.runtime, study),
        )


def _evict(config: WorkflowConfig, study: StudyConfig) -> None:
    """End the servers of a study that BlackDynamite's commands have started."""
    servers = [d for d in foreign_daemons(config, [study]) if d.kind == SERVER]
    end_foreign(servers, logging.getLogger(__name__).warning)


def _refusal(runtime: Runtime, study: StudyConfig, pid: int) -> str:
    """Why a process is not served: BlackDynamite's launchers, beside one of Motoko."""
    identity = Identity.of(pid)
    if identity is None or not is_launcher(command_line(identity)):
        return ""
    launcher = daemon_of(LAUNCHER, study.name)
    if not any(daemon.name == launcher for daemon in living_daemons(runtime)):
        return ""
    return (
        "Motoko starts the runs of this study, and two launchers would each start the same ones:"
        f" `motoko stop {launcher}` first"
    )


if __name__ == "__main__":
    main()
