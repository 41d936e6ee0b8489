"""A study's configuration, made by hand: no workflow, no files read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from motoko.config import StudyConfig
from motoko.config.policy import Policy


def bare_study(directory: Path, **changes: Any) -> StudyConfig:
    """A study of bash runs without parameters, but for what is given."""
    content: dict[str, Any] = {
        **{"name": "study", "bd_name": "study", "directory": directory, "host": None},
        **{"jobs": {}, "runs": {}, "job_space": {}, "run_params": {}, "config_files": ()},
        **{"policy": Policy(), "generator": "bash", "settings": {}},
    }
    return StudyConfig(**{**content, **changes})


def study_with_files(place: Path, **changes: Any) -> StudyConfig:
    """One in a directory of its own below ``place``, with the files that its runs need."""
    directory = place / "study"
    directory.mkdir()
    (directory / "launch.sh").write_text("true\n")
    (directory / "doIt.py").write_text("")
    return bare_study(directory, **changes)
