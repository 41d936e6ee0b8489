"""Whether runs can be handed to Slurm, and whether its nodes are other hosts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from motoko.batch.slurm import parsing
from motoko.errors import ConfigError
from motoko.host.addresses import addresses, is_this_host

ANSWER_S = 10.0
PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")


def check(file: Path) -> None:
    """See :class:`motoko.batch.batch_system.BatchSystem`."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise ConfigError(
                f"{file}: generator: slurm needs {program}, which is not on PATH",
                hint="supervise on a login node of the cluster, or use `generator: bash`",
            )


def other_host() -> str | None:
    """See :class:`motoko.batch.batch_system.BatchSystem`."""
    nodes = _nodes()
    if nodes is None:
        return None
    return next((a for a in nodes if addresses(a) and not is_this_host(a)), "")


def refusal(arguments: Sequence[str]) -> str | None:
    """See :class:`motoko.batch.batch_system.BatchSystem`."""
    if _nodes() is None:
        return None
    command = ["sbatch", "--test-only", *arguments, "--wrap=true"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0 or not parsing.is_refusal(done.stderr):
        return None
    return parsing.words(done.stderr)


def _nodes() -> list[str] | None:
    """The addresses of the cluster's nodes; ``None`` if Slurm gives no answer."""
    command = ["sinfo", "--noheader", "--Node", "--all", "--format=%N %o"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    pairs = [line.split() for line in dict.fromkeys(done.stdout.splitlines()) if line.strip()]
    return [pair[-1] for pair in pairs]
