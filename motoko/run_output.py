"""A run's output files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# BlackDynamite's own logging, at the head of every run's standard error.
_BLACKDYNAMITE = re.compile(r"(DEBUG|INFO|WARNING):\w+ \[\w+\.py:\d+\]: ")
_READ_AT_MOST = 20_000  # bytes


def output_stem(run_name: str) -> str:
    """What a run's output files are called after: its run_name, as a file name."""
    return run_name.replace("/", "_")


def stderr_path(run: Mapping[str, Any]) -> Path | None:
    """The file that holds a run's standard error, or ``None`` if it has no directory yet."""
    directory = run.get("run_path")
    if not directory:
        return None
    return Path(directory, f"{output_stem(str(run.get('run_name')))}.e{run.get('id')}")


def tail(path: Path | None, lines: int = 20) -> str:
    """The last lines of an output file, without BlackDynamite's own; empty if there is none."""
    if path is None:
        return ""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _READ_AT_MOST))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""  # not on this machine, or cleaned
    kept = [line for line in text.splitlines() if not _BLACKDYNAMITE.match(line)]
    return "\n".join(kept[-lines:])
