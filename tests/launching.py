"""What the tests of launchers share: studies whose runs are scripts, and what is left of runs.

A run of such a study executes the text of its job's parameter ``script``, and, if that calls
``python doIt.py``, the text of ``code``. So runs that end in many ways are in one workflow.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support import Flow, wait_until

from motoko import RunFailed, RunList, Workflow
from motoko.identity import Identity, session_members
from motoko.workers.wrapper import read_claim

BD_YAML = """\
study: {study}

job:
  script: str
  code: str
job_space:
  code: 'run.start(); run.finish()'
"""
DO_IT = """\
import os, signal, sys, time
from pathlib import Path
import BlackDynamite as BD
import transaction

run, job = BD.getRunFromScript()


def become(**entries):
    run.entries.update(entries)
    transaction.commit()


__BLACKDYNAMITE__code__
"""
# In a script: wait until the test says go.
GATE = "until [ -e go ]; do sleep 0.05; done\n"


def scripted(flow: Flow, yaml: str = "", studies: dict[str, str] | None = None) -> Flow:
    """Make all studies of a workflow such ones, and their databases.

    Args:
        flow: a workflow that was written, and not created.
        yaml: further lines of motoko.yaml.
        studies: further lines below a study's name there.
    """
    managers = "".join(f"  {name}:\n{(studies or {}).get(name, '')}" for name in flow.studies)
    flow.path.write_text(f"task_managers:\n{managers}orchestrator: orchestrator.main\n{yaml}")
    for study in flow.studies:
        directory = flow.directory / study
        (directory / "bd.yaml").write_text(BD_YAML.format(study=study))
        (directory / "launch.sh").write_text("__BLACKDYNAMITE__script__\n")
        (directory / "doIt.py").write_text(DO_IT)
    flow.create()
    return flow


class Session:
    """A workflow object in this process, which creates runs and awaits them."""

    def __init__(self, flow: Flow, run_name: str = "r") -> None:
        self.flow = flow
        self.workflow = Workflow(flow.path)
        self.workflow.run_name = run_name

    def create(self, script: str, code: str | None = None, study: str = "", **params: Any) -> Any:
        """One run; ``params`` are its run parameters."""
        manager = self.workflow.task_managers[study or self.flow.studies[0]]
        job = {"script": script} | ({} if code is None else {"code": code})
        ((run, _),) = manager.createTask(params, **job)
        return run

    def ends(self, *runs: Any, timeout: float = 30.0) -> list[RunFailed | None]:
        """Await each run in a task of its own: how it failed, or ``None`` if it has FINISHED."""

        async def one(run: Any) -> RunFailed | None:
            try:
                await RunList([(run, None)])
            except RunFailed as error:
                return error
            return None

        async def main() -> list[RunFailed | None]:
            try:
                async with asyncio.timeout(timeout):
                    return await asyncio.gather(*map(one, runs))
            except TimeoutError:
                seen = [dict(run.entries.items()) for run in runs]
                raise AssertionError(f"not all have ended within {timeout} s: {seen}") from None
            finally:
                self.workflow._execution.close()

        return asyncio.run(main())

    def refresh(self) -> None:
        """See what others have committed."""
        from motoko.bd.session import session

        for manager in self.workflow.task_managers.values():
            session().refresh(manager.base)

    def until(self, run: Any, timeout: float = 20.0, **expected: Any) -> Any:
        """Wait until a run has certain entries; returns it."""

        def seen() -> bool:
            self.refresh()
            now = {name: run.entries.get(name) for name in expected}
            assert now == expected, dict(run.entries.items())
            return True

        wait_until(seen, f"run {run.id} has {expected}", timeout)
        return run

    def close(self) -> None:
        """Disconnect."""
        self.workflow._close()


@contextlib.contextmanager
def sessions(flow: Flow) -> Iterator[Callable[..., Session]]:
    """Makes sessions, and closes them at the end."""
    made: list[Session] = []

    def make(run_name: str = "r") -> Session:
        made.append(Session(flow, run_name))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.close()


@contextlib.contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """Raise ``AssertionError`` in the main thread when a test takes longer."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"it hangs: not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def place(flow: Flow, run: Any, study: str = "") -> Path:
    """A run's directory."""
    study = study or flow.studies[0]
    return flow.directory / study / f"BD-{study}-runs" / f"run-{run.id}"


def number_in(path: Path) -> int:
    """The number that a run writes into a file, as soon as it is there."""

    def read() -> int:
        text = path.read_text()
        assert text.endswith("\n"), text
        return int(text)

    return wait_until(read, f"a number is in {path}")


def process_in(path: Path) -> Identity:
    """The living process whose pid a run writes into a file."""
    identity = Identity.of(number_in(path))
    assert identity is not None, f"the process in {path} has ended"
    return identity


def wrapper_of(directory: Path, attempt: int = 1) -> Identity:
    """The wrapper of an attempt, as soon as it has claimed it."""

    def read() -> Identity | None:
        claim = read_claim(directory, attempt)
        return claim.wrapper if claim is not None and claim.wrapper.pid else None

    return wait_until(read, f"attempt {attempt} is claimed in {directory}")


def living_of(directory: Path, attempt: int = 1) -> list[Identity]:
    """What lives of an attempt's session."""
    return [member for member, _ in session_members(wrapper_of(directory, attempt).pid)]


def nothing_lives(directory: Path, attempt: int = 1) -> None:
    """Wait until nothing of an attempt's session lives."""

    def gone() -> bool:
        left = [Path(f"/proc/{m.pid}/cmdline").read_text() for m in living_of(directory, attempt)]
        assert not left, left
        return True

    wait_until(gone, f"nothing of the session of {directory} lives", timeout=5.0)


def taken_slots(flow: Flow) -> list[int]:
    """The slots that somebody holds at this moment."""
    taken = []
    for path in (flow.directory / ".wf" / "locks" / "slots").glob("[0-9]*"):
        with open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(int(path.name))
    return sorted(taken)


def all_slots_free(flow: Flow) -> None:
    """Wait until nobody holds a slot."""
    wait_until(lambda: not taken_slots(flow), f"slots are free: {taken_slots(flow)}", timeout=5.0)


def exit_record(directory: Path) -> dict[str, int] | None:
    """What the wrapper has written at its end, if it has."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, int] = json.loads((directory / "exit.json").read_text())
        return found
    return None


def transactions(study: Path) -> int:
    """How many transactions a study's database holds, by its file."""
    from ZODB.FileStorage import FileStorage

    storage = FileStorage(os.fspath(study / ".bd" / "bd.zeo"), read_only=True)
    try:
        return sum(1 for _ in storage.iterator())
    finally:
        storage.close()
