"""What a workflow runs on: versions, the host, and the state of its own files."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from motoko.health.installation import machine, versions

GIT_S = 10.0


def surroundings(directory: Path) -> Mapping[str, str]:
    """What a workflow in a directory runs on, by name, in the order in which it is told."""
    facts = {"host": f"{socket.getfqdn()} ({platform.machine()})"}
    facts |= {name: text for name, text in machine().items() if text}
    facts |= {name: text or "not installed" for name, text in versions().items()}
    if (commit := git_commit(directory)) is not None:
        facts["git commit"] = commit
    return facts


def git_commit(directory: Path) -> str | None:
    """The git commit of a directory, and whether files in it differ; ``None`` without git."""
    commit = _git(directory, "rev-parse", "HEAD")
    if not commit:
        return None
    # Untracked files are left out: databases and runs are among them.
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no", "--", ".")
    if changed is None:
        return f"{commit} (whether files differ from it is not known)"
    return f"{commit} and changes" if changed else commit


def _git(directory: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    # A report changes nothing: not even git's index.
    command = [git, "--no-optional-locks", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
