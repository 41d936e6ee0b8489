"""Whether Slurm can be handed runs, and its nodes reach the studies' databases."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from motoko.errors import ConfigError
from motoko.host.addresses import addresses, is_this_host

ANSWER_S = 10.0
PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")


def check(file: Path, served_here_only: Collection[str]) -> None:
    """See :class:`motoko.batch.batch_system.BatchSystem`."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise ConfigError(
                f"{file}: generator: slurm needs {program}, which is not on PATH",
                hint="supervise on a login node of the cluster, or use `generator: bash`",
            )
    if not served_here_only:
        return
    for node, address in _nodes():
        if addresses(address) and not is_this_host(address):
            study = next(iter(served_here_only))
            port = f"{socket.gethostname()}:8675"
            raise ConfigError(
                f"{file}: task_managers.{study}: node {node} ({address}) is another "
                "host, and the study's database is served on this host only",
                hint=f"let it listen for the nodes: `host: zeo://{port}` and `insecure_tcp: true` "
                f"below {study}: (any free port; docs/clusters.md tells the risk)",
            )


def _nodes() -> Iterator[tuple[str, str]]:
    """The cluster's nodes and their addresses; none if it gives no answer."""
    command = ["sinfo", "--noheader", "--Node", "--all", "--format=%N %o"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in dict.fromkeys(done.stdout.splitlines()) if done.returncode == 0 else ():
        node, _, address = line.strip().partition(" ")
        if node:
            yield node, address or node
