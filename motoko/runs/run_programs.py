"""The programs that a run finds on its PATH, whatever that holds."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path


def programs() -> list[str]:
    """Where a run finds programs: what it must not start, then this Python's, canYouDigIt.

    BlackDynamite's client that misses its server for a moment, since it is being restarted, would
    start one of its own, beside ours and on the same database.
    """
    return [str(Path(__file__).parent / "in_runs"), python_directory()]


def missing_programs(path: str) -> list[str]:
    """Those of :func:`programs` that a value of PATH lacks."""
    present = path.split(os.pathsep)
    return [directory for directory in programs() if directory not in present]


def search_path() -> str:
    """PATH of a run on this host, as far as this process's own tells."""
    path = os.environ.get("PATH", os.defpath)
    return os.pathsep.join([*missing_programs(path), path])


def python_directory() -> str:
    """Where this Python is, and what is installed with it."""
    return str(Path(sys.executable).parent)


def first_on_path() -> str:
    """Shell lines that put :func:`programs` on PATH: in front, or where they are already."""
    lines = [
        f'case ":$PATH:" in *:{quoted}:*) ;; *) PATH={quoted}"${{PATH:+:$PATH}}" ;; esac'
        for quoted in map(shlex.quote, reversed(programs()))
    ]
    return "\n".join([*lines, "export PATH"])
