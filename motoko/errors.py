"""Everything that Motoko raises on purpose: one tree, each error with a hint and an exit code."""

from __future__ import annotations


class MotokoError(RuntimeError):
    """Base of all errors that Motoko raises on purpose.

    A ``RuntimeError``, because motoko 0.1.4 raised those and user code may catch them.

    Attributes:
        hint: what the user can do about it, or ``None``.
        exit_code: the exit code of a command that ends with this error.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MotokoError):
    """motoko.yaml, bd.yaml or a directory is not what it should be; nothing was changed."""

    exit_code = 2


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
        run_path: str | None = None,
        stderr: str = "",
        hint: str | None = None,
    ) -> None:
        self.study, self.run_id, self.state = study, run_id, state
        self.reason, self.run_path, self.stderr = reason, run_path, stderr
        text = f"run {study}.{run_id} is {state}: {reason}"
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
