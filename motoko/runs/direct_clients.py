"""Runs on this host that talk to their study's server without a relay in between."""

from __future__ import annotations

from pathlib import Path

from motoko.host.living_processes import processes
from motoko.host.proc_files import variable


def talking(study: Path) -> bool:
    """Whether a process of a study's runs lives on this host that no relay connects.

    Args:
        study: the study's directory, as its runs know it.
    """
    return any(
        variable(pid, "BLACKDYNAMITE_HOST") == f"zeo://{study}"
        and variable(pid, "BLACKDYNAMITE_RUN_ID") is not None
        and variable(pid, "MOTOKO_RELAY") is None
        for pid in (process.identity.pid for process in processes())
    )
