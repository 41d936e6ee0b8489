"""Having launchers use a changed motoko.yaml before they start runs."""

from __future__ import annotations

import os
from collections.abc import Iterable

from motoko.config import WorkflowConfig, daemon_kinds
from motoko.control import client
from motoko.operations import daemon_switches, reconfiguring, starting


def renew_launchers(
    config: WorkflowConfig, studies: Iterable[str], announce: starting.Announce
) -> None:
    """Have the launchers of some studies use the files as they are now; returns when they do.

    Launchers that use them already, or are not running, are left alone. No run is disturbed.
    Announces the changes that take effect, or why they cannot. Raises ``MotokoError`` if a launcher
    does not start again.
    """
    if not client.is_supervised(config):
        return
    taken = reconfiguring.take_over(config)
    if taken.refusal:
        announce(taken.refusal)
        return
    kind = daemon_kinds.named(daemon_kinds.LAUNCHER)
    launchers = {kind.daemon(study) for study in studies}
    changes = [change for change in taken.pending if launchers & {*change.daemons}]
    if not changes:
        return
    names = sorted({name for change in changes for name in change.daemons} & launchers)
    keys = ", ".join(change.key for change in changes)
    if "BLACKDYNAMITE_RUN_ID" in os.environ:  # a run restarts no daemons
        announce(f"changed: {keys}: counts after `motoko restart {' '.join(names)}`")
        return
    announce(f"changed: {keys}: counts from now on")
    daemon_switches.restart(config, names, announce)
