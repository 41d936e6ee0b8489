"""The relay keeps the runs of this host alive while their study's ZEO server is away.

If a study has ``patience:``, zeo.conf names the relay's socket. Motoko's own processes connect to
the server directly, and reconnect by themselves.
"""

from __future__ import annotations

import logging

from motoko.channel.relay.local_relay import LocalRelay
from motoko.config.daemon_kinds import RELAY, daemon_of
from motoko.store.misled_clients import forget_copied_conf
from motoko.workers.daemon import arguments, running
from motoko.workers.unserved import rival


def main() -> None:
    """Entry point of ``python -m motoko.workers.relay``."""
    options = arguments("What keeps a study's runs without a ZEO server.", study=True)
    with running(daemon_of(RELAY, options.study), options.workflow) as daemon:
        study = daemon.config.studies[options.study]
        patience = study.policy.patience_here
        runtime, log = daemon.runtime, logging.getLogger(__name__)

        def refusal(pid: int) -> str:
            return forget_copied_conf(pid, study.database) or rival(runtime, study, pid)

        path, server = runtime.kept(options.study), runtime.zeo(options.study)
        LocalRelay(path, server, patience, refusal, log.warning).serve()


if __name__ == "__main__":
    main()
