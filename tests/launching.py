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
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from support import Flow, wait_until

from motoko import RunFailed, RunList, Workflow
from motoko.config import load
from motoko.control.client import supervisor_status
from motoko.host.identity import Identity
from motoko.runs.claims import read_claim
from motoko.runs.entries import DocumentedEntries
from motoko.runs.sessions import survivors
from motoko.runs.wrappers import Wrapper

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
FINISHED = ""  # instead of a reason why it FAILED
NO_FINISH = "launch.sh ended with exit code 0, but the run never called finish\\(\\) .*later.*"


def scripted(
    flow: Flow, yaml: str = "", below: dict[str, str] | None = None, *, do_it: bool = True
) -> None:
    """Make all studies of a workflow such ones, and their databases.

    Args:
        flow: a workflow that was written, and not created.
        yaml: further lines of motoko.yaml.
        below: further lines below a study's name there.
        do_it: whether there is a doIt.py.
    """
    managers = "".join(f"  {name}:\n{(below or {}).get(name, '')}" for name in flow.studies)
    flow.path.write_text(f"task_managers:\n{managers}orchestrator: orchestrator.main\n{yaml}")
    for study in flow.studies:
        directory = flow.directory / study
        (directory / "bd.yaml").write_text(BD_YAML.format(study=study))
        (directory / "launch.sh").write_text("__BLACKDYNAMITE__script__\n")
        (directory / "doIt.py").write_text(DO_IT)
        if not do_it:
            (directory / "doIt.py").unlink()
    flow.create()


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
                seen = [dict(DocumentedEntries(run.entries)) for run in runs]
                raise AssertionError(f"not all have ended within {timeout} s: {seen}") from None
            finally:
                self.workflow.motoko_engine.detach()

        return asyncio.run(main())

    def refresh(self) -> None:
        """See what others have committed."""
        from motoko.store.session import session

        for manager in self.workflow.task_managers.values():
            session().refresh(manager.base)

    def until(self, run: Any, timeout: float = 20.0, **expected: Any) -> Any:
        """Wait until a run has certain entries; returns it."""

        def seen() -> bool:
            self.refresh()
            now = {name: DocumentedEntries(run.entries).get(name) for name in expected}
            assert now == expected, dict(DocumentedEntries(run.entries))
            return True

        wait_until(seen, f"run {run.id} has {expected}", timeout)
        return run

    def close(self) -> None:
        """Disconnect."""
        self.workflow.close()


@contextlib.contextmanager
def supervising(workflow: Callable[..., Flow]) -> Iterator[Callable[..., tuple[Flow, Session]]]:
    """Makes supervised workflows of scripts, and a session of each; closes the sessions.

    ``make(*options, yaml=..., below=..., studies=...)``: options of ``motoko supervise``, and what
    :func:`scripted` takes.
    """
    made: list[Session] = []

    def make(
        *options: str,
        yaml: str = "",
        below: dict[str, str] | None = None,
        studies: tuple[str, ...] = ("mult",),
        do_it: bool = True,
    ) -> tuple[Flow, Session]:
        flow = workflow(studies=studies, created=False)
        scripted(flow, yaml, below, do_it=do_it)
        flow.supervise(*options)
        made.append(Session(flow))
        return flow, made[-1]

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


_wrappers: dict[tuple[Path, int], Wrapper] = {}


def wrapper_of(directory: Path, attempt: int = 1) -> Wrapper:
    """The wrapper of an attempt, as soon as it has started launch.sh, or recorded its end."""

    def read() -> Wrapper | None:
        claim = read_claim(directory, attempt)
        if claim is None or claim.wrapper.pid == 0:
            return None
        has_begun = claim.wrapper.session is not None or claim.wrapper.turn == 0
        return claim.wrapper if has_begun or exit_record(directory) else None

    key = directory, attempt
    if key not in _wrappers:
        _wrappers[key] = wait_until(read, f"attempt {attempt} is claimed in {directory}")
    return _wrappers[key]


def living_of(directory: Path, attempt: int = 1) -> list[Identity]:
    """What lives of an attempt."""
    return survivors(wrapper_of(directory, attempt))


def nothing_lives(directory: Path, attempt: int = 1) -> None:
    """Wait until nothing of an attempt lives."""

    def gone() -> bool:
        left = [Path(f"/proc/{m.pid}/cmdline").read_text() for m in living_of(directory, attempt)]
        assert not left, left
        return True

    wait_until(gone, f"nothing of the attempt in {directory} lives", timeout=5.0)


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

    def free() -> bool:
        taken = taken_slots(flow)
        assert not taken, taken
        return True

    wait_until(free, "all slots are free", timeout=5.0)


def daemon(flow: Flow, name: str) -> dict[str, Any]:
    """What the supervisor says of a daemon."""
    status = supervisor_status(load(flow.path))
    assert status is not None, "the supervisor does not answer"
    found = msgspec.to_builtins(status.daemon(name))
    assert isinstance(found, dict)
    return found


def identity(flow: Flow, name: str) -> Identity:
    """A daemon's process, as soon as it is ready."""

    def ready() -> Identity | None:
        found = daemon(flow, name)
        assert found["state"] == "ready", found
        return Identity.of(found["pid"])

    return wait_until(ready, f"{name} is ready")


def kill_daemon(flow: Flow, name: str) -> None:
    """kill -9; returns once another one is ready."""
    before = identity(flow, name)
    assert before.signal(signal.SIGKILL)
    wait_until(lambda: identity(flow, name) != before, f"{name} is replaced")


def stop(flow: Flow, name: str) -> None:
    """``motoko stop``: nobody starts it again."""
    done = flow.motoko("stop", name)
    assert done.returncode == 0, done.stderr


def start(flow: Flow, name: str) -> None:
    """``motoko start``."""
    done = flow.motoko("start", name)
    assert done.returncode == 0, done.stderr


def go(flow: Flow, run: Any) -> None:
    """Open a run's :data:`GATE`."""
    (place(flow, run) / "go").touch()


@dataclass
class Row:
    """A run, and what is to become of it: FINISHED, or FAILED with a reason (a pattern)."""

    script: str
    code: int | None = 0  # launch.sh's exit code, if that is known
    reason: str = FINISHED
    do_it: str | None = None
    state: str = ""

    @property
    def final(self) -> str:
        """The state it ends in."""
        return self.state or ("FAILED" if self.reason else "FINISHED")


def ended_with(code: int, said: str = ".*") -> str:
    """A reason."""
    return f"launch.sh ended with exit code {code}{said}"


def check(flow: Flow, session: Session, rows: Sequence[Row], runs: Any = None) -> list[Any]:
    """Have rows executed, or look at runs that are: all of it has to be as the rows say.

    What is recorded, what an ``await`` raises, that nothing lives, and that all slots are free.
    """
    runs = runs or [session.create(row.script, row.do_it) for row in rows]
    errors = session.ends(*runs, timeout=60)
    for row, run, error in zip(rows, runs, errors, strict=True):
        # Who is FINISHED, or FAILED by its own word, is so before launch.sh ends.
        session.until(run, ended_state=row.final if row.reason else "FINISHED")
        seen = dict(DocumentedEntries(run.entries))
        assert (seen["state"], seen.get("exit_code")) == (row.final, row.code), (row, seen)
        if row.reason:
            assert re.fullmatch(row.reason, seen["failure_reason"]), (row, seen["failure_reason"])
            assert error is not None and error.reason == seen["failure_reason"], (row, error)
        else:
            assert error is None and not seen.get("failure_reason"), (row, seen, error)
        nothing_lives(place(flow, run), run.attempt)
    all_slots_free(flow)
    return list(runs)


def exit_record(directory: Path) -> dict[str, int] | None:
    """What the wrapper of the first attempt has written at its end, if it has."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, int] = json.loads((directory / ".motoko" / "exit-1.json").read_text())
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
