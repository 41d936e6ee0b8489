"""Having BlackDynamite's own daemons make way, before the workflow's are started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError
from motoko.operations.stopping import end_foreign
from motoko.store.blackdynamite_daemons import SERVER, ForeignDaemon, foreign_daemons
from motoko.store.zeo_conf import read_address
from motoko.supervisor.probes import NoAnswer, figures, ping_zeo

ANSWER_S = 5.0


class NotOurs(MotokoError):
    """BlackDynamite's own daemons are at work in the workflow's studies."""


def make_way(config: WorkflowConfig, takeover: bool, say: Callable[[str], None]) -> None:
    """End the servers that BlackDynamite's commands have left; ``say`` gets a line for each.

    With ``takeover`` also end launch daemons, orchestrators of motoko 0.1.4, and servers that have
    clients. Without it, raise ``NotOurs`` if there are such, and end nothing: two launchers would
    each start the same runs.
    """
    daemons = foreign_daemons(config)
    if daemons and not takeover and (busy := _busy(config, daemons)):
        raise NotOurs(
            f"{config.directory}: others work in it: {'; '.join(busy)}",
            hint=f"`motoko kill {config.directory}` stops them, or `motoko supervise --takeover`; "
            "runs that they are executing lose the database",
        )
    end_foreign(daemons, say)


def _busy(config: WorkflowConfig, daemons: Sequence[ForeignDaemon]) -> list[str]:
    """The daemons that are not idle: all but servers without clients, one text each."""
    busy = [str(daemon) for daemon in daemons if daemon.kind != SERVER]
    if busy:
        return busy
    for name in dict.fromkeys(daemon.study for daemon in daemons):
        study = config.studies[name or ""]
        clients = asyncio.run(_clients(study))
        if clients is None or clients:
            count = "" if clients is None else f", which has {clients} clients"
            busy.append(f"BlackDynamite's ZEO server of study {name}{count}")
    return busy


async def _clients(study: StudyConfig) -> int | None:
    """How many clients the server named in zeo.conf has; ``None`` if that is not known."""
    address = read_address(study.database.server_config)
    if address is None or not address.startswith("/"):
        return None
    try:
        _, counts = figures(await ping_zeo(Path(address), ANSWER_S))
    except NoAnswer:
        return None
    return counts["connections"]
