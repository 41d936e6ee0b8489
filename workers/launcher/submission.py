"""What is submitted for a run: the job's name, its script and its options."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motoko.batch.batch_system import BatchSystem, Submission
from motoko.config.policy import Policy
from motoko.config.run_files import LAUNCH
from motoko.runs import job_script
from motoko.runs.launch_script import users_part
from motoko.runs.outputs import stderr_name, stdout_name

STUDY_MAX = 60  # characters of a job's name


@dataclass(frozen=True)
class Names:
    """The names of a workflow's jobs: by them a job is recognised, whatever was lost."""

    workflow: Path

    @property
    def _mark(self) -> str:
        return hashlib.sha256(os.fsencode(os.path.realpath(self.workflow))).hexdigest()[:10]

    def new(self, study: str, run_id: int, attempt: int) -> str:
        """A name that no other job has ever had: a study that was reset starts at run 1 again."""
        return f"{study[:STUDY_MAX]}.{run_id}.{attempt}-{self._mark}{secrets.token_hex(5)}"

    @property
    def are_ours(self) -> Callable[[str], bool]:
        """Whether a job of this name is one of this workflow's."""
        pattern = re.compile(rf".+-{self._mark}[0-9a-f]{{10}}")
        return lambda name: pattern.fullmatch(name) is not None


def build(
    system: BatchSystem,
    *,
    name: str,
    run_id: int,
    attempt: int,
    directory: Path,
    stem: str,
    policy: Policy,
    script: Path,
    spool: Path,
) -> Submission:
    """The submission of a run whose directory is written.

    Raises ``WrongOption`` for what launch.sh says wrongly, and ``OSError`` if the directory is not
    there.
    """
    script_text = users_part((directory / LAUNCH).read_text(errors="replace"))
    chosen = system.job_options(script_text, policy.options_for(system.name), policy.nproc)
    # Who wants a file of his own gets it, and the others are where all runs have them.
    outputs = (
        "" if chosen.has_output else stdout_name(stem, run_id),
        "" if chosen.has_error else stderr_name(stem, run_id),
    )
    return Submission(
        name=name,
        directory=directory,
        script=script,
        arguments=job_script.arguments(directory, attempt, outputs, spool, run_id, name),
        options=chosen.arguments,
    )
