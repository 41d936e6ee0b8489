"""What runs are handed to, checked before anything is started: is it there, does it reach us."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator

from motoko.batch_settings import SLURM, THERE
from motoko.config import GENERATORS, StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.hosts import addresses, is_loopback, is_this_host

ANSWER_S = 10.0
PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")


def check_generators(config: WorkflowConfig, generator: str | None = None) -> None:
    """Raise ``ConfigError`` if launchers cannot hand runs to what they are to hand them to.

    So for a generator that is not there, a cluster's commands that are not on PATH, and nodes that
    cannot reach a study's database. If the cluster gives no answer now, that is no error.

    Args:
        config: the workflow.
        generator: what is used in place of motoko.yaml's; ``Coat`` may stand behind it.
    """
    wanted: dict[str, list[StudyConfig]] = {}
    for study in config.studies.values():
        wanted.setdefault((generator or study.generator).removesuffix("Coat"), []).append(study)
    for name in wanted:
        if name not in GENERATORS:
            raise ConfigError(
                f"there is no generator {generator!r}", hint=f"use {' or '.join(THERE)}"
            )
        if name not in THERE:
            raise ConfigError(
                f"{config.path}: generator: {name} is not there yet: {', '.join(THERE)} are",
                hint=f"use `generator: {SLURM}` or `generator: bash`, or supervise with "
                "--no-launchers",
            )
    if studies := wanted.get(SLURM):
        _check_slurm(config, studies)


def _check_slurm(config: WorkflowConfig, studies: list[StudyConfig]) -> None:
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise ConfigError(
                f"{config.path}: generator: slurm needs {program}, which is not on PATH",
                hint="supervise on a login node of the cluster, or use `generator: bash`",
            )
    unreachable = [study for study in studies if study.is_local and not _is_reachable(study)]
    if not unreachable:
        return
    for node, address in _nodes():
        if addresses(address) and not is_this_host(address):
            study = unreachable[0]
            port = f"{socket.gethostname()}:8675"
            raise ConfigError(
                f"{config.path}: task_managers.{study.name}: node {node} ({address}) is another "
                "host, and the study's database is served on this host only",
                hint=f"let it listen for the nodes: `host: zeo://{port}` and `insecure_tcp: true` "
                f"below {study.name}: (any free port; docs/clusters.md tells the risk)",
            )


def _is_reachable(study: StudyConfig) -> bool:
    """Whether other hosts can connect to a study's server."""
    if study.tcp_address is None:
        return False
    found = addresses(study.tcp_address[0])
    return any(not is_loopback(each) for each in found)


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
