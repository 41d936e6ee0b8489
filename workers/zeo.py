"""A study's ZEO server.

It writes ``.bd/zeo.conf``, through which every BlackDynamite client finds the server, and serves
the study's database from a socket in the runtime directory. Clients that find the server dead there
wait or fail, whereas at BlackDynamite's default place they would start a server of their own.

With a TCP ``host:`` it listens there as well, and zeo.conf says so, for the nodes of a cluster.
"""

from __future__ import annotations

import logging
from functools import partial

from motoko.config import StudyConfig, WorkflowConfig
from motoko.operations.stopping import end_foreign
from motoko.store.blackdynamite_daemons import SERVER, foreign_daemons
from motoko.store.zeo_server import serve
from motoko.workers.daemon import arguments, as_process, running
from motoko.workers.unserved import rival


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
            partial(rival, daemon.runtime, study),
            daemon.config.packing,
        )


def _evict(config: WorkflowConfig, study: StudyConfig) -> None:
    """End the servers of a study that BlackDynamite's commands have started."""
    servers = [d for d in foreign_daemons(config, [study]) if d.kind == SERVER]
    end_foreign(servers, logging.getLogger(__name__).warning)


if __name__ == "__main__":
    as_process(main)
