"""The programs that every run finds on its PATH."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


@functools.cache
def programs() -> Sequence[str]:
    """Directories for a run's PATH: stand-ins for what it must not start, then this Python's.

    The latter also has ``canYouDigIt``. A stand-in is needed for ``zdaemon``: while the ZEO server
    is being restarted, BlackDynamite's client would start a server of its own, next to ours and on
    the same database.
    """
    return str(Path(__file__).parent / "in_runs"), python_directory()


def missing_programs(path: str) -> list[str]:
    """Those of :func:`programs` that a value of PATH lacks."""
    present = path.split(os.pathsep)
    return [directory for directory in programs() if directory not in present]


def search_path() -> str:
    """The PATH of a run on this host, as derived from this process's own."""
    path = os.environ.get("PATH", os.defpath)
    return os.pathsep.join([*missing_programs(path), path])


def python_directory() -> str:
    """The directory of this Python and of the programs that are installed with it."""
    return str(Path(sys.executable).parent)


@functools.cache
def first_on_path() -> str:
    """Shell lines that put each of :func:`programs` in front on PATH, unless PATH has it."""
    lines = [
        f'case ":$PATH:" in *:{quoted}:*) ;; *) PATH={quoted}"${{PATH:+:$PATH}}" ;; esac'
        for quoted in map(shlex.quote, reversed(programs()))
    ]
    return "\n".join([*lines, "export PATH"])
