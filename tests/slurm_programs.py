"""The programs of Slurm and munge: where they are looked for, and how they are installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")


PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "munged")


# What a cluster's start may need that an ordinary user's PATH lacks.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Unavailable(Exception):
    """The programs cannot be had here; says why."""


def install(programs: Sequence[str], packages: Sequence[str]) -> None:
    """See that programs are installed; where that needs to be done, and may be, do it.

    Raises ``Unavailable``.
    """
    here = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # tests may be run by several processes
        _install(programs, packages)
    finally:
        os.close(here)


def _install(programs: Sequence[str], packages: Sequence[str]) -> None:
    missing = [name for name in programs if shutil.which(name, path=SYSTEM_PATH) is None]
    if not missing:
        return
    what = f"not all is installed ({', '.join(missing)} missing)"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"{what}, and only root can install it, on Debian")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    get = ["apt-get", "-qq", "--yes", "--no-install-recommends"]
    for step in (["apt-get", "-qq", "update"], [*get, "install", *packages]):
        done = subprocess.run(
            step, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise Unavailable(f"{what}, and `{' '.join(step)}` fails: {done.stderr.strip()[-300:]}")
