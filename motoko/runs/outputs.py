"""A run's output files."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig
from motoko.host.files import end_of
from motoko.runs.paths import present_directory, recorded_directory

# BlackDynamite's own log lines, at the beginning of every run's standard error.
_BLACKDYNAMITE = re.compile(r"(DEBUG|INFO|WARNING):\w+ \[\w+\.py:\d+\]: ")


def output_stem(run_name: str) -> str:
    """The beginning of the names of a run's output files: its run_name, as a file name."""
    return run_name.replace("/", "_")


def stdout_name(stem: str, number: int) -> str:
    """The file of a run's standard output, in its directory."""
    return f"{stem}.o{number}"


def stderr_name(stem: str, number: int) -> str:
    """The file of a run's standard error, in its directory."""
    return f"{stem}.e{number}"


def stderr_path(run: Mapping[str, Any], study: StudyConfig | None = None) -> Path | None:
    """The file that holds a run's standard error, or ``None`` if it has no directory yet.

    Args:
        run: its entries.
        study: its study. Without it, the run's directory is taken to be its ``run_path``.
    """
    directory = recorded_directory(run) if study is None else present_directory(study, run)
    if directory is None:
        return None
    return directory / stderr_name(output_stem(str(run.get("run_name"))), run.get("id", 0))


def outputs_of(run: Mapping[str, Any]) -> list[Path]:
    """The output files of a run that exist: those of earlier attempts first.

    Args:
        run: its entries, with its present directory as ``run_path``.
    """
    directory, number = recorded_directory(run), run.get("id")
    if directory is None:
        return []
    stem = output_stem(str(run.get("run_name")))
    pattern = re.compile(re.escape(stem) + rf"\.([oe]){number}(?:\.(\d+))?")
    outputs = []
    with contextlib.suppress(OSError):
        for file in directory.iterdir():
            if match := pattern.fullmatch(file.name):
                outputs.append((int(match[2] or sys.maxsize), match[1] != "o", file))
    return [file for *_, file in sorted(outputs)]


def tail(path: Path | None, lines: int = 20) -> str:
    """The last lines of an output file, without BlackDynamite's own; empty if there is none."""
    text = "" if path is None else end_of(path)
    kept = [line for line in text.splitlines() if not _BLACKDYNAMITE.match(line)]
    return "\n".join(kept[-lines:])
