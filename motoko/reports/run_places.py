"""Where a person would look for a run: paths that are made of what runs were given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.host.digests import digest
from motoko.mirror.scalars import LeftOut
from motoko.reports.chosen_runs import Wanted, chosen_runs
from motoko.reports.result_texts import as_text
from motoko.runs.paths import present_directory

LONG = 60  # characters of a name; a longer one ends with a digest of it
_READ = ("run_name", "state", "run_path")


def places(config: WorkflowConfig, study: StudyConfig) -> dict[PurePosixPath, Path]:
    """By the path at which a person would look for it, the directory of each run that has one.

    Raises what :func:`motoko.reports.chosen_runs.chosen_runs` raises.
    """
    rows: list[tuple[int, str, Sequence[Any]]] = []
    directories: dict[int, Path] = {}
    with chosen_runs(config, study, Wanted()) as runs:
        read = [runs.columns.field("runs", name) for name in _READ]
        read += [runs.columns.field("jobs", name) for name in study.jobs]
        for part in runs.parts(read):
            for number, run_name, _, path, *values in zip(*part, strict=True):
                entries = {"id": number, "run_path": path}
                at = None if path is None else present_directory(study, entries)
                if at is not None and at.is_dir():
                    directories[number] = at
                rows.append((number, str(run_name), values))
    named = paths(study.name, list(study.jobs), rows)
    return {named[number]: directory for number, directory in directories.items()}


def paths(
    study: str, parameters: Sequence[str], rows: Sequence[tuple[int, str, Sequence[Any]]]
) -> Mapping[int, PurePosixPath]:
    """By number, ``STUDY/RUN_NAME/x=1/y=2/run-3``. Pure logic.

    Parameters with the same value in all runs are left out: they tell nothing.

    Args:
        study: the study's name.
        parameters: the names of the jobs' parameters.
        rows: of each run its number, run_name and parameters.
    """
    texts = {number: [_text(value) for value in values] for number, _, values in rows}
    counts = [Counter(values) for values in zip(*texts.values(), strict=True)]
    varied = [place for place, count in enumerate(counts) if len(count) > 1]
    return {
        number: PurePosixPath(
            _name(study),
            _name(run_name),
            *(_name(f"{parameters[place]}={texts[number][place]}") for place in varied),
            f"run-{number}",
        )
        for number, run_name, _ in rows
    }


def _text(value: Any) -> str:
    if isinstance(value, LeftOut):
        return value.what
    return f"{value:.12g}" if isinstance(value, float) else str(as_text(value))


def _name(text: str) -> str:
    """A text as the name of a file, on all file systems."""
    shown = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text).strip()
    if shown == text and 0 < len(text) <= LONG and not text.startswith("."):
        return text
    return f"{shown[: LONG - 9].lstrip('.') or 'none'}~{digest(text)[:8]}"
