"""From a CREATED run to a directory that can be started, and the entries that say so."""

from __future__ import annotations

import datetime
import importlib.metadata
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import BlackDynamite
from BlackDynamite.conffile_zeo import ConfFile

from motoko.bd.base import StudyBase
from motoko.policy import Policy
from motoko.run_output import output_stem
from motoko.states import FAILED, LAUNCHED, RUNNING_STATES, WAITING_STATES
from motoko.workers.run_directory import Unset, fill, header, keep_output, write
from motoko.workers.wrapper import read_claim

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A run that says ``launched`` once the transaction is committed, and may start then."""

    run_id: int
    directory: Path
    attempt: int
    run_name: str
    policy: Policy


def _is_obscure(error: Exception) -> bool:
    """Whether an error's text alone tells little: `'exec'`, say."""
    return isinstance(error, (KeyError, TypeError))


class Preparer:
    """Prepares the runs of one study, inside the caller's transaction."""

    def __init__(self, base: StudyBase, slots: int | None) -> None:
        self._base = base
        self._slots = slots
        self._hosts = {"localhost", socket.gethostname()}
        self._requirements: str | None = None

    def slots_wanted(self, number: int) -> int:
        """How many slots a run takes: its ``nproc``."""
        run = self._base.runs.entries.get(number)
        nproc = run.entries.get("nproc") if run is not None else 1
        return nproc if isinstance(nproc, int) and nproc > 0 else 1

    def can_start(self, number: int) -> bool:
        """Whether slots are of use to a run: it waits to be started, is ours, and not too wide."""
        run = self._base.runs.entries.get(number)
        return (
            run is not None
            and run.entries.get("state") in WAITING_STATES
            and self.is_ours(run.entries)
            and not self._is_too_wide(number)
        )

    def _is_too_wide(self, number: int) -> bool:
        """Whether a run wants more slots than there are. Batch jobs take none."""
        return self._slots is not None and self.slots_wanted(number) > self._slots

    def is_ours(self, entries: Mapping[str, Any]) -> bool:
        """Whether a run is this machine's: other hosts may share the study's directory."""
        return entries.get("machine_name") in self._hosts

    def policy(self, entries: Mapping[str, Any]) -> Policy:
        """How a run is executed; ``ValueError`` if what it says of that itself is not right."""
        return self._base.study.policy.changed(entries)

    def prepare(self, number: int, launched_already: bool) -> Prepared | None:
        """Write a run's directory and mark it ``launched``.

        ``None`` if it is not to be started: gone, not waiting any more, another machine's, or
        FAILED for a reason that is recorded.
        """
        run = self._base.runs.entries.get(number)
        if run is None:
            return None
        entries = run.entries
        attempt = int(entries.get("attempt") or 1)
        wanted = RUNNING_STATES if launched_already else WAITING_STATES
        if entries.get("state") not in wanted or not self.is_ours(entries):
            return None  # meanwhile somebody has changed it, or it is not ours
        name = str(entries.get("run_name"))
        directory = self.directory(number)
        try:
            if launched_already:
                if not entries.get("run_path"):
                    raise Unset(f"its state is {entries.get('state')}, but it has no run_path")
                directory = Path(entries["run_path"])
                return Prepared(number, directory, attempt, name, self.policy(entries))
            while read_claim(directory, attempt) is not None:
                attempt += 1  # somebody has set it back to CREATED: this is a new attempt
            if self._is_too_wide(number):
                raise Unset(
                    f"it needs {self.slots_wanted(number)} slots, and there are {self._slots}"
                )
            policy = self.policy(entries)
            self._write(run, directory, attempt, policy)
        except (Unset, OSError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}" if _is_obscure(error) else str(error)
            log.warning("run %d cannot start: %s", number, reason)
            entries.update({"state": FAILED, "ended_state": FAILED, "failure_reason": reason})
            return None
        entries.update(
            {
                "state": LAUNCHED,
                "run_path": str(directory),
                "attempt": attempt,
                "ended_state": None,
                "failure_reason": None,
                "exit_code": None,
                "blackdynamite_version": BlackDynamite.__version__,
                "python_requirements": self._requirements_id(),
                # Nothing of it tells when it starts.
                **({"start_time": datetime.datetime.now()} if policy.on_exit else {}),
            }
        )
        return Prepared(number, directory, attempt, name, policy)

    def directory(self, number: int) -> Path:
        """The run's directory."""
        study = self._base.study
        return study.directory / f"BD-{study.name}-runs" / f"run-{number}"

    def _write(self, run: Any, directory: Path, attempt: int, policy: Policy) -> None:
        entries = run.entries
        number = entries["id"]
        job = self._base.jobs.entries[entries["job_id"]]
        # The job's entries win: `id` is the job's.
        values = {
            **dict(entries.items()),
            **dict(job.entries.items()),
            "dbhost": self._base.host,
            "study": self._base.schema,
            "run_id": number,
        }
        executable = self._base.configfiles[entries["exec"]].filename
        files = {}
        for file_id in run.configfiles:
            file = self._base.configfiles[file_id]
            text = fill(file.file, values, file.filename)
            if file_id == entries["exec"]:
                text = self._header(number, policy) + text
            files[file.filename] = text
        if attempt > 1:
            keep_output(directory, output_stem(str(entries.get("run_name"))), number, attempt - 1)
        write(directory, files, executable=executable)
        if executable != "launch.sh":
            (directory / executable).replace(directory / "launch.sh")

    def _header(self, number: int, policy: Policy) -> str:
        base = self._base
        return header(
            host=base.host,
            schema=base.schema,
            run_id=number,
            user=base.user,
            environment=policy.environment,
            modules=policy.modules,
        )

    def _requirements_id(self) -> str:
        """The id of the file that lists the installed packages; listed once."""
        if self._requirements is None:
            installed = importlib.metadata.distributions()
            lines = sorted(f"{each.metadata['Name']}=={each.version}" for each in installed)
            self._file = ConfFile("requirements.txt", content="\n".join(lines))
            self._requirements = str(self._file.id)
        if self._requirements not in self._base.configfiles:
            self._base.configfiles[self._requirements] = self._file
        return self._requirements
