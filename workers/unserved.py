"""Which processes of this host a study's server refuses to serve."""

from __future__ import annotations

from motoko.config import StudyConfig
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.control.daemon_records import living_daemons
from motoko.host.living_processes import command_of
from motoko.layout import Runtime
from motoko.store.blackdynamite_daemons import is_launcher


def rival(runtime: Runtime, study: StudyConfig, pid: int) -> str:
    """Why a process is refused: a launcher of BlackDynamite next to Motoko's; empty if served."""
    if not is_launcher(command_of(pid)):
        return ""
    launcher = daemon_of(LAUNCHER, study.name)
    if not any(daemon.name == launcher for daemon in living_daemons(runtime)):
        return ""
    return (
        "Motoko starts the runs of this study, and two launchers would each start the same ones:"
        f" `motoko stop {launcher}` first"
    )
