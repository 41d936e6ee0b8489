"""What is submitted for a run: the job's name, its script and its options."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motoko import batch_options
from motoko.batch_options import Options
from motoko.policy import Policy
from motoko.workers.batch import job_script
from motoko.workers.batch.interface import Submission
from motoko.workers.run_directory import users_part

STUDY_MAX = 60  # characters of a job's name
# Who gives one of these has thought of how many processors a job takes.
_SIZES = frozenset(
    {"ntasks", "cpus-per-task", "nodes", "ntasks-per-node", "exclusive", "nodefile", "gpus"}
)


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


def options(policy: Policy, launch_script: str) -> Options:
    """A job's options: its launch.sh's own, which motoko.yaml and the run's parameters override.

    Raises ``WrongOption`` for what launch.sh says wrongly.
    """
    found = batch_options.merge({"no-requeue": None}, batch_options.directives(launch_script))
    found = batch_options.merge(found, policy.slurm_options)
    if policy.nproc > 1 and not _SIZES & found.keys():
        found["ntasks"] = str(policy.nproc)
    return {name: value for name, value in found.items() if name not in batch_options.OWN}


def build(
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

    Raises ``WrongOption``, and ``OSError`` if the directory is not there.
    """
    chosen = options(policy, users_part((directory / "launch.sh").read_text()))
    # Who wants a file of his own gets it, and the others are where all runs have them.
    outputs = (
        "" if "output" in chosen else f"{stem}.o{run_id}",
        "" if "error" in chosen else f"{stem}.e{run_id}",
    )
    return Submission(
        name=name,
        directory=directory,
        script=script,
        arguments=job_script.arguments(directory, attempt, outputs, spool, run_id, name),
        options=batch_options.arguments(chosen),
    )
