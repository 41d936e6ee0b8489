"""Everything that Motoko raises on purpose: one tree, each error with a hint and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class MotokoError(RuntimeError):
    """Base of all errors that Motoko raises on purpose.

    A ``RuntimeError``, because motoko 0.1.4 raised those and user code may catch them.

    Attributes:
        hint: what the user can do about it, or ``None``.
        exit_code: the exit code of a command that ends with this error.
        short_name: what commands print beside the message, and what its section in
            docs/troubleshooting.md is called: ``not-created`` of ``NotCreated``.
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


@dataclass(frozen=True)
class Place:
    """Where something is wrong in a file, and what.

    Attributes:
        file: the file.
        problem: what is wrong there.
        line: from 1, if it is known.
        key: the names that lead there, if it is YAML.
    """

    file: Path
    problem: str
    line: int | None = None
    key: str = ""


class ConfigError(MotokoError):
    """motoko.yaml, bd.yaml or a directory is not what it should be; nothing was changed.

    Attributes:
        place: where, if it is about one place in a file.
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
    """A constraint string that cannot be understood."""

    exit_code = 2


class NotConfirmed(MotokoError):
    """Something would be destroyed that nobody has chosen, and there is no terminal to ask on."""

    exit_code = 2


class ParameterError(MotokoError):
    """A job or run parameter that is unknown, missing or of the wrong type."""

    exit_code = 2


class NoSupervisor(MotokoError):
    """The workflow has no running supervisor, and none may be started from here."""

    exit_code = 3


class WorkflowStopped(MotokoError):
    """The workflow was stopped with ``motoko kill`` while somebody was waiting."""

    exit_code = 4


class OrchestratorRunning(MotokoError):
    """Another orchestrator with the same run_name is running."""

    exit_code = 5


class WrongUse(MotokoError):
    """Something of Motoko's Python interface is used as it cannot be."""


class NoSuchRun(MotokoError):
    """A study has no run of a number."""


class BeingExecuted(MotokoError):
    """Runs that would be changed or removed are being executed; nothing was changed."""


class SupervisorSilent(MotokoError):
    """A supervisor is there and does not answer."""


class NotReady(MotokoError):
    """A supervisor or its daemons do not start, or not in time."""


class NotStopped(MotokoError):
    """Something was told to end, and has not ended in time."""


class NoPlaceForSockets(MotokoError):
    """There is no directory in which the workflow's sockets can be, for its owner alone."""


class CannotWrite(MotokoError):
    """Motoko's own files, or a command's output, cannot be written."""


class NotPermitted(MotokoError):
    """The system refuses it to this account."""


class AnotherAccount(MotokoError):
    """The workflow, or its key, is another account's."""


class StudyUnavailable(MotokoError):
    """The ZEO server of a study does not answer."""


class UnsupportedPackage(MotokoError):
    """A package below Motoko is not what Motoko relies on: another version of it is needed."""


class LauncherGivenUp(MotokoError):
    """Runs that somebody waits for are not going to be started: their launcher was given up."""


class ChangeConflict(MotokoError):
    """A change could not be committed because somebody else changed the same thing."""


class UnreadableEntry(MotokoError):
    """An entry of a run or job holds an object of a class that this process does not have."""


class RunFailed(MotokoError):
    """A run that somebody waits for ended in a failed state.

    Attributes:
        study: the run's study.
        run_id: its number there.
        state: the failed state.
        reason: why, in one line.
        parameters: its job's, by name.
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
    """The errors that Motoko has raised on purpose: one, or all those of a group.

    Tasks of an ``asyncio.TaskGroup`` raise them in groups. Empty if anything else is among them.
    """
    if isinstance(error, MotokoError):
        return [error]
    if not isinstance(error, BaseExceptionGroup):
        return []
    parts = [expected_errors(member) for member in error.exceptions]
    return [member for part in parts for member in part] if all(parts) else []
