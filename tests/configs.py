"""motoko.yaml and bd.yaml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from motoko.config import load
from motoko.errors import ConfigError

GOOD = "task_managers:\n  mult:\n  norm:\norchestrator: orchestrator.main\n"


ONLY_MULT = "task_managers:\n  mult:\norchestrator: orchestrator.main\n"


JOB = "job:\n  x: float\n"


def make_study(directory: Path, text: str | None = None) -> Path:
    directory.mkdir(parents=True)
    (directory / "bd.yaml").write_text(text or f"study: {directory.name}\n{JOB}")
    (directory / "doIt.py").write_text("")
    (directory / "launch.sh").write_text("")
    return directory


def make_workflow(directory: Path) -> Path:
    make_study(directory / "mult")
    make_study(directory / "norm")
    (directory / "motoko.yaml").write_text(GOOD)
    return directory


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def refused(workflow: Path, *parts: str, hint: str = "") -> ConfigError:
    """The error of a load that fails, names all the parts and changes nothing."""
    before = snapshot(workflow)
    with pytest.raises(ConfigError) as caught:
        load(workflow)
    assert snapshot(workflow) == before
    error = caught.value
    assert error.exit_code == 2
    for part in parts:
        assert part in str(error)
    assert "\n" not in str(error)
    assert error.hint and hint in error.hint
    return error
