"""Prepares CREATED runs: writes their directories and the entries that say ``launched``."""

from __future__ import annotations

import datetime
import logging
import socket
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.config.decoding import WrongValue
from motoko.config.policy import Policy
from motoko.config.run_files import LAUNCH, is_ours
from motoko.errors import MotokoError
from motoko.runs import fences, launch_script
from motoko.runs.claims import is_directory, may_go_on, read_claim
from motoko.runs.entries import PRESENT_FILES, OwnEntries
from motoko.runs.outputs import output_stem
from motoko.runs.paths import ENVIRONMENT, recorded_directory, run_directory
from motoko.runs.placeholders import PREFIX, fill
from motoko.runs.run_directory import RunFile, keep_output, write
from motoko.runs.run_policy import policy_of
from motoko.runs.states import (
    FAILED,
    LAUNCHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)
from motoko.runs.warm_start import CannotBeWarm, WarmStart, warm_start
from motoko.store import config_files
from motoko.store.base import StudyBase
from motoko.store.jobs_of_runs import job_of, own_job
from motoko.store.placeholder_values import placeholder_values
from motoko.store.present_files import StudyFiles
from motoko.workers.launcher.hindrances import hindered
from motoko.workers.launcher.spawner import environment

_BYTES = "surrogateescape"  # scripts are bytes: those that are not text are kept
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A run whose state becomes ``launched`` with the transaction's commit; it may start then."""

    run_id: int
    directory: Path
    attempt: int
    run_name: str
    policy: Policy
    warm: WarmStart | None = None  # how it is started without a shell; None: with one


def _is_obscure(error: Exception) -> bool:
    """Whether an error's text alone tells too little: a KeyError's is only the key."""
    return isinstance(error, (KeyError, TypeError))


class Preparer:
    """Prepares the runs of one study, inside the caller's transaction.

    Args:
        base: the study's base.
        slots: how many slots there are; ``None`` if runs take none.

    Attributes:
        between: called now and then while a pass takes long: heartbeats may go out.
    """

    def __init__(self, base: StudyBase, slots: int | None) -> None:
        self.between: Callable[[], None] = lambda: None
        self._base = base
        self._slots = slots
        self._hosts = {"localhost", socket.gethostname()}
        self._files = StudyFiles(base.study, keeping=True)
        self._requirements = config_files.Requirements(base)

    def slots_wanted(self, number: int) -> int:
        """How many slots a run takes: its ``nproc``."""
        run = self._base.runs.entries.get(number)
        nproc = run.entries.get("nproc") if run is not None else 1
        return nproc if isinstance(nproc, int) and nproc > 0 else 1

    def can_start(self, number: int) -> bool:
        """Whether slots are of use to a run: it waits to be started, and is ours."""
        run = self._base.runs.entries.get(number)
        return (
            run is not None
            and state_of(run.entries) in WAITING_STATES
            and self.is_ours(run.entries)
        )

    def _note_width(self, number: int) -> None:
        wanted = self.slots_wanted(number)
        if self._slots is not None and wanted > self._slots:
            text = "run %d wants %d slots, and there are %d: it takes them all"
            log.warning(text, number, wanted, self._slots)

    def is_ours(self, entries: Mapping[str, Any]) -> bool:
        """Whether a run is this machine's: other hosts may share the study's directory."""
        name = entries.get("machine_name")
        return isinstance(name, str) and name in self._hosts

    def repair(self, number: int, entries: MutableMapping[str, Any]) -> None:
        """Correct the entries by which a run is found, if they are wrong.

        The run itself may have spoilt them: then Motoko could not end it, or tell how it ended.
        """
        right: dict[str, Any] = {}
        if entries.get("id") != number or isinstance(entries.get("id"), bool):
            right["id"] = number
        if state_of(entries) not in WAITING_STATES and "run_path" in entries:  # it was started
            if not isinstance(entries.get("machine_name"), str):
                right["machine_name"] = "localhost"
            is_ours = "machine_name" in right or self.is_ours(entries)
            if is_ours and recorded_directory(entries) is None:
                right["run_path"] = str(self.directory(number))
        for name, value in right.items():
            log.warning("run %d: its entry %s was %r: put right", number, name, entries.get(name))
            entries[name] = value

    def policy(self, entries: Mapping[str, Any]) -> Policy:
        """How a run that was started is executed."""
        try:
            return self._policy(entries)
        except WrongValue:
            return self._base.study.policy  # the entries were spoilt after the start

    def _policy(self, entries: Mapping[str, Any]) -> Policy:
        """How a run is executed. Raises ``WrongValue`` if its entries for that are wrong."""
        return policy_of(self._base.study, entries)

    def prepare(self, number: int, launched_already: bool) -> Prepared | None:
        """Write a run's directory and mark it ``launched``.

        ``None`` if it must not be started: it is deleted, does not wait any more, is another
        machine's, or becomes FAILED for a reason that is recorded. Raises ``Hindered`` if the
        machine keeps it from being prepared now: then it waits.
        """
        run = self._base.runs.entries.get(number)
        if run is None:
            return None
        entries = run.entries
        own = OwnEntries(entries)
        attempt = own.attempt
        states = RUNNING_STATES if launched_already else WAITING_STATES
        if state_of(entries) not in states or not self.is_ours(entries):
            return None  # its state was changed meanwhile, or it is not ours
        name = str(entries.get("run_name"))
        directory = self.directory(number)
        if not launched_already:
            own.convert()
        try:
            if launched_already:
                if not entries.get("run_path"):
                    raise MotokoError(
                        f"its state is {entries.get('state')}, but it has no run_path"
                    )
                directory = Path(entries["run_path"])
                policy = self._policy(entries)
                warm = self._warm(number, directory, attempt, policy)
                return Prepared(number, directory, attempt, name, policy, warm)
            attempt = self._next_attempt(number, directory, attempt)
            self._note_width(number)
            policy = self._policy(entries)
            checksum = self._write(run, directory, attempt, policy)
            warm = self._warm(number, directory, attempt, policy)
        except (MotokoError, OSError, KeyError, TypeError, ValueError) as error:
            if (hindrance := hindered(error)) is not None:
                raise hindrance from error
            reason = f"{type(error).__name__}: {error}" if _is_obscure(error) else str(error)
            log.warning("run %d cannot start: %s", number, reason)
            own.update({"state": FAILED, "ended_state": FAILED, "failure_reason": reason})
            return None
        own.update(
            {
                "state": LAUNCHED,
                "run_path": str(directory),
                "attempt": attempt,
                "ended_state": None,
                "failure_reason": None,
                "exit_code": None,
                "files_checksum": checksum,
                "files_wanted": None if own.files_wanted == PRESENT_FILES else own.files_wanted,
                "blackdynamite_version": config_files.BLACKDYNAMITE_VERSION,
                "python_requirements": self._requirements.id,
                # Such a run does not say itself when it starts.
                **({"start_time": datetime.datetime.now(datetime.UTC)} if policy.on_exit else {}),
            }
        )
        return Prepared(number, directory, attempt, name, policy, warm)

    def _warm(self, number: int, directory: Path, attempt: int, policy: Policy) -> WarmStart | None:
        """How a run whose files are written is started without a shell; ``None``: with a shell."""
        if not policy.is_warm or self._slots is None:
            return None
        if policy.modules:
            raise CannotBeWarm(
                "`modules` are loaded by a shell, which runs with `python: warm` do not have",
                hint="load them before `motoko supervise`, or remove `python: warm`",
            )
        launch = (directory / LAUNCH).read_bytes().decode(errors=_BYTES)
        return warm_start(
            launch_script.users_part(launch),
            directory=directory,
            attempt=attempt,
            inherited=environment(),
            policies=policy.environment,
            client=self._client(number),
        )

    def _next_attempt(self, number: int, directory: Path, attempt: int) -> int:
        """The first attempt, from ``attempt`` on, that is neither claimed nor fenced.

        A user may have set a run back to CREATED that was executed, or have removed its directory.
        Earlier attempts that may still go on are fenced: they cannot commit any more.
        """
        study = self._base.study
        workflow = study.directory.parent
        is_there = is_directory(directory)
        while (is_there and read_claim(directory, attempt) is not None) or fences.reason_of(
            workflow, study.name, number, attempt
        ) is not None:
            attempt += 1
        for earlier in range(1, attempt) if is_there else ():
            if may_go_on(directory, earlier):
                reason = f"attempt {attempt} of it has begun"
                fences.fence(workflow, study.name, number, earlier, reason)
        return attempt

    def directory(self, number: int) -> Path:
        """The run's directory."""
        return run_directory(self._base.study, number)

    def _write(self, run: Any, directory: Path, attempt: int, policy: Policy) -> str:
        """Write the files of a run's directory; returns their checksum."""
        entries = run.entries
        number = entries["id"]
        own = OwnEntries(entries)
        # Before the first attempt a run cannot have spoilt its own entries.
        find_job = own_job if own.attempt > 1 or own.files_wanted else job_of
        job = find_job(self._base.jobs.entries, entries)
        if own.files_wanted == PRESENT_FILES:
            config_files.renew(self._base, run, self._files)
        launch, others = config_files.files_of(self._base, run)
        script = launch.read()
        values: dict[str, Any] = {}
        if PREFIX in script or any(file.is_template for file in others):
            values = placeholder_values(self._base, run, job, attempt=attempt, directory=directory)
        script = fill(script, values, LAUNCH)
        scripts = launch_script.files(script.decode(errors=_BYTES), self._client(number), policy)
        files = [
            RunFile(
                name, text.encode(errors=_BYTES), 0o777 if name == LAUNCH else 0o666, is_masked=True
            )
            for name, text in scripts.items()
        ]
        for file in others:
            if is_ours(file.name) or file.name == LAUNCH:
                raise MotokoError(f"{file.name}: Motoko itself writes it into run directories")
            content = fill(file.read(), values, file.name) if file.is_template else file.content
            files.append(RunFile(file.name, content, file.mode))
        if is_directory(directory):
            # The output is attempt 0's if BlackDynamite or motoko 0.1.4 has executed the run.
            keep_output(directory, output_stem(str(entries.get("run_name"))), number, attempt - 1)
            (directory / ENVIRONMENT).unlink(missing_ok=True)  # an earlier attempt's
        write(directory, files, between=self.between)
        return config_files.checksum_of_files(others)

    def _client(self, number: int) -> dict[str, str]:
        base = self._base
        return launch_script.client_variables(
            host=base.host, schema=base.schema, run_id=number, user=base.user
        )
