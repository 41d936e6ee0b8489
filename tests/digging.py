"""BlackDynamite's own commands, in a study that Motoko looks after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support import Flow, wait_until, write_workflow

from motoko.config import load
from motoko.store.blackdynamite_daemons import foreign_daemons

CAN_YOU_DIG_IT = Path(sys.executable).parent / "canYouDigIt"
BD_YAML = """\
study: bd_study

job:
  x: float
  label: str
run:
  kind: str

job_space:
  x: [1.0, 2.0, 3.0]
  label: ["a"]
run_space:
  kind: fine

config_files:
  - doIt.py
exec_file: launch.sh
"""


def execute(flow: Flow, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A program in the study's directory, with BlackDynamite's on its PATH."""
    return subprocess.run(
        command,
        cwd=flow.directory / "example",
        env={**os.environ, "PATH": f"{CAN_YOU_DIG_IT.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def dig(flow: Flow, *words: str) -> str:
    """One of BlackDynamite's commands, which has to succeed; what it prints."""
    done = execute(flow, CAN_YOU_DIG_IT, *words, "--yes")
    assert done.returncode == 0 and "Error" not in done.stdout, done.stdout + done.stderr
    return done.stdout


def finished(flow: Flow, count: int, timeout: float = 20.0) -> None:
    """Wait until the study's runs are so many that have finished."""

    def states() -> bool:
        (study,) = json.loads(flow.motoko("info", "--json").stdout)["studies"]
        assert study["states"] == {"FINISHED": count}, study
        return True

    wait_until(states, f"{count} runs have finished", timeout)


def write(directory: Path) -> Flow:
    """A workflow as BlackDynamite's own example is: ``example/`` with ``study: bd_study``."""
    flow = write_workflow(directory, ("example",))
    (flow.directory / "example" / "bd.yaml").write_text(BD_YAML)
    return flow


def foreign(flow: Flow) -> set[str]:
    """The kinds of BlackDynamite's daemons that live."""
    return {daemon.kind for daemon in foreign_daemons(load(flow.path))}
