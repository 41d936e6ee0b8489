"""Everything that Motoko raises on purpose: one tree, each error with a hint and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class MotokoError(RuntimeError):
    """Base of all errors that Motoko raises on purpose.

    A ``RuntimeError``, because motoko 0.1.4 raised those and user code may catch them.

    Attributes:
        hint: what the user can do about it, or ``None``.
        exit_code: the exit code of a command that ends with this error.
        short_name: what commands print next to the message, and the title of the error's section
            in docs/troubleshooting.md: ``not-created`` for ``NotCreated``.
    """

    exit_code: int = 1
    short_name: str = "motoko-error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        letters = (f"-{c.lower()}" if c.isupper() else c for c in cls.__name__)
        cls.short_name = "".join(letters).lstrip("-")


class Place(NamedTuple):
    """A place in a file where something is wrong, and the problem there.

    Attributes:
        file: the file.
        problem: what is wrong there.
        line: the line's number, from 1, if it is known.
        key: the path of keys to the place, if the file is YAML.
    """

    file: Path
    problem: str
    line: int | None = None
    key: str = ""


class ConfigError(MotokoError):
    """motoko.yaml, bd.yaml or a directory is not what it should be; nothing was changed.

    Attributes:
        place: where the problem is, if the error is about one place in a file.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, hint: str | None = None, place: Place | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.place = place


class NotCreated(MotokoError):
    """A study has no database yet."""

    exit_code = 2


class ConstraintError(MotokoError):
    """A constraint string cannot be understood."""

    exit_code = 2


class NotConfirmed(MotokoError):
    """Data would be destroyed that the user did not name, and there is no terminal to ask on."""

    exit_code = 2


class ParameterError(MotokoError):
    """A job or run parameter is unknown, missing or of the wrong type."""

    exit_code = 2


class NoSupervisor(MotokoError):
    """The workflow has no running supervisor, and none may be started from here."""

    exit_code = 3


class WorkflowStopped(MotokoError):
    """The workflow was stopped with ``motoko kill`` while this process was waiting."""

    exit_code = 4


class OrchestratorRunning(MotokoError):
    """Another orchestrator with the same run_name is running."""

    exit_code = 5


class WrongUse(MotokoError):
    """Motoko's Python interface is used in a way that it does not support."""


class ReadOnly(WrongUse):
    """A workflow that was opened with ``read_only=True`` cannot change or await anything."""


class AbnormalEnd(MotokoError):
    """An error handler's condition is still true after the handler, and names no run."""


class OrchestratorFailed(MotokoError):
    """A detached orchestrator has ended soon after its start."""


class EarlierRuns(MotokoError):
    """A run_name that should be new has runs already."""


class NoSuchRun(MotokoError):
    """A study has no run with the given number."""


class NotFailed(MotokoError):
    """A run that should be retried has not failed."""


class RunsElsewhere(MotokoError):
    """The directory of a study's runs is a link to that of another study."""


class FileGone(MotokoError):
    """A file that a run was created with is not there any more."""


class CannotBeSaved(MotokoError):
    """A run or job was given a value that cannot be stored, or that nobody could read again."""


class BeingExecuted(MotokoError):
    """Runs to be changed or removed are being executed; nothing was changed."""


class SupervisorSilent(MotokoError):
    """A supervisor is running and does not answer."""


class NotReady(MotokoError):
    """A supervisor or its daemons do not start, or not in time."""


class NotStopped(MotokoError):
    """A process was told to end, and has not ended in time."""


class NoPlaceForSockets(MotokoError):
    """There is no directory for the workflow's sockets to which only its owner has access."""


class CannotWrite(MotokoError):
    """Motoko's own files, or a command's output, cannot be written."""


class NoRoom(MotokoError):
    """There is too little space on a disk for what a command has to write; nothing was changed."""


class BadBackup(MotokoError):
    """A backup is damaged, incomplete, or none; or it does not have what is asked for."""


class BadArchive(MotokoError):
    """A file is no archive of a workflow, is damaged, or was written by a later version."""


class SecretInArchive(MotokoError):
    """A file that would get into an archive holds a secret; nothing was written."""

    exit_code = 2


class CannotRemove(MotokoError):
    """A directory cannot be removed."""


class NotPermitted(MotokoError):
    """The operating system does not permit this account to do something."""


class AnotherAccount(MotokoError):
    """The workflow, or its key, belongs to another account."""


class Published(MotokoError):
    """The directory is a publication, which nobody changes."""


class NodeFailed(MotokoError):
    """A job of ``motoko doctor --nodes`` has given no answer."""


class StudyUnavailable(MotokoError):
    """The ZEO server of a study does not answer."""


class UnsupportedPackage(MotokoError):
    """A package that Motoko uses has a version that Motoko does not support."""


class LauncherGivenUp(MotokoError):
    """Runs that are awaited will not be started: the supervisor has given up their launcher."""


class ChangeConflict(MotokoError):
    """A change could not be committed because another process changed the same object."""


class UnreadableEntry(MotokoError):
    """An entry of a run or job holds an object of a class that this process does not have."""


class RunFailed(MotokoError):
    """A run that is awaited ended in a failed state.

    Attributes:
        study: the run's study.
        run_id: the run's number in the study.
        state: the failed state.
        reason: why the run failed, in one line.
        parameters: the job's parameters, by name.
        run_path: its run directory, or ``None`` if it has none yet.
        stderr: the last lines of its standard error.
    """

    def __init__(
        self,
        study: str,
        run_id: int,
        state: str,
        reason: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        described: str = "",
        run_path: str | None = None,
        stderr: str = "",
        hint: str | None = None,
    ) -> None:
        self.study, self.run_id, self.state = study, run_id, state
        self.reason, self.run_path, self.stderr = reason, run_path, stderr
        self.parameters = dict(parameters or {})
        text = f"run {described or f'{study}.{run_id}'} is {state}: {reason}"
        if run_path:
            text += f"\n  run directory: {run_path}"
        if stderr:
            text += "\n  end of its stderr:\n" + "\n".join(
                f"    {line}" for line in stderr.splitlines()
            )
        super().__init__(text, hint=hint)


def expected_errors(error: BaseException) -> list[MotokoError]:
    """The errors that Motoko has raised on purpose: one, or all errors of a group.

    Tasks of an ``asyncio.TaskGroup`` raise errors in groups. Empty if any other error is in it.
    """
    if isinstance(error, MotokoError):
        return [error]
    if not isinstance(error, BaseExceptionGroup):
        return []
    parts = [expected_errors(member) for member in error.exceptions]
    return [member for part in parts for member in part] if all(parts) else []
