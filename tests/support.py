"""What tests share: waiting for conditions, small workflows, and finding what was left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import forked_motoko
import pytest

from motoko.config import load
from motoko.host.identity import Identity
from motoko.layout import locate

T = TypeVar("T")
TEST_LOGS = Path(__file__).parent.parent / "test-logs"
# Of a test: that it has failed, or its setup has.
FAILED = pytest.StashKey[bool]()
POLL_S = 0.02
POLL_MAX_S = 0.25

DO_IT = """\
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
run["y"] = job.x * 2
run.finish()
"""

ORCHESTRATOR = """\
async def main(workflow, **params):
    for study in workflow.task_managers.values():
        await study.createTask(x=[1.0, 2.0])
    workflow.finished = True
"""


def wait_until(condition: Callable[[], T], what: str, timeout: float = 20.0) -> T:
    """Poll a condition until it is true and return its value.

    Whoever waits must not be what keeps the machine busy: a condition that starts a process is
    asked less often, so that a third of the time is spent on it at most.

    Raises ``AssertionError`` with the last observation (value or exception) after ``timeout`` s.
    """
    deadline = time.monotonic() + timeout
    while True:
        observed: object
        asked = time.monotonic()
        try:
            value = condition()
        except (AssertionError, LookupError, OSError) as error:
            observed = error
        else:
            if value:
                return value
            observed = value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}; last seen: {observed!r}")
        time.sleep(min(max(POLL_S, 2 * (time.monotonic() - asked)), POLL_MAX_S))


@dataclass
class Flow:
    """A workflow in a temporary directory, driven through the command line."""

    directory: Path
    studies: tuple[str, ...]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Its motoko.yaml."""
        return self.directory / "motoko.yaml"

    def motoko(
        self, *arguments: str, timeout: float = 90.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in the workflow's directory, with pipes for its output."""
        return run_motoko(*arguments, cwd=self.directory, timeout=timeout, environment=environment)

    def begin(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command and leave it running; its output goes to a pipe."""
        process = subprocess.Popen(
            motoko_command(*arguments),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def supervise(self, *options: str) -> str:
        """``motoko supervise --detach``, which has to succeed; returns what it prints."""
        done = self.motoko("supervise", "--detach", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ps(self) -> dict[str, Any]:
        """What ``motoko ps --json`` prints. Asked here, since tests ask it thousands of times."""
        from motoko.cli.render.process_table import show_json
        from motoko.cli.taken_config import load_or_taken
        from motoko.reports.status import collect

        with contextlib.redirect_stdout(io.StringIO()) as printed:
            show_json(collect(load_or_taken(self.directory)))
        answer = json.loads(printed.getvalue())
        assert isinstance(answer, dict)
        return answer

    def daemons(self) -> dict[str, dict[str, Any]]:
        """The daemons of ``motoko ps --json`` by name."""
        return {daemon["name"]: daemon for daemon in self.ps()["daemons"]}

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """What the supervisor answers on its control socket, in the words of its protocol."""
        runtime = locate(load(self.path))
        assert runtime is not None
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as file:
            connection.settimeout(15)
            connection.connect(str(runtime.control))
            file.write(json.dumps({"command": command, **fields}) + "\n")
            file.flush()
            answer = json.loads(file.readline())
        assert isinstance(answer, dict)
        return answer

    def pids(self) -> dict[str, int]:
        """The pid of each living daemon by name."""
        return {name: d["pid"] for name, d in self.daemons().items() if d["pid"]}

    def state(self) -> str:
        """The state of the supervisor, as ps tells it."""
        return str(self.ps()["supervisor"]["state"])

    def log(self, daemon: str) -> str:
        """The text of a daemon's log."""
        name = daemon.replace(":", "-", 1)
        return (self.directory / ".wf" / "log" / f"{name}.log").read_text()

    def create(self) -> None:
        """Make the studies' databases."""
        from motoko.store.study_database import create_study  # imports all that users do

        for study in load(self.path).studies.values():
            create_study(study)


def motoko_command(*arguments: str) -> list[str]:
    """The command line of ``motoko`` with the interpreter that runs the tests."""
    return [sys.executable, "-P", "-m", "motoko", *arguments]


def run_motoko(
    *arguments: str,
    cwd: Path | None = None,
    timeout: float = 90.0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Its pipes have to be closed by then: nobody may inherit them.

    It is forked from a process that has imported what commands need (:mod:`forked_motoko`), but
    for what :func:`start_motoko` is for.
    """
    if any(name.startswith("PYTHON") for name in environment or {}):
        return start_motoko(*arguments, cwd=cwd, timeout=timeout, environment=environment)
    values = forked_motoko.run(
        arguments, cwd or Path.cwd(), {**os.environ, **(environment or {})}, timeout
    )
    return subprocess.CompletedProcess(motoko_command(*arguments), *values)


def run_script(
    code: str, *arguments: str, cwd: Path, timeout: float = 60.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a user's script to its end, as ``python -P -c CODE`` does: forked, as commands are."""
    values = forked_motoko.run(arguments, cwd, {**os.environ, **environment}, timeout, code)
    return subprocess.CompletedProcess([sys.executable, "-P", "-c", code, *arguments], *values)


def start_motoko(
    *arguments: str,
    cwd: Path | None = None,
    timeout: float = 90.0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The same as users do it: Python starts, and the command imports what it needs."""
    return subprocess.run(
        motoko_command(*arguments),
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def write_workflow(directory: Path, studies: tuple[str, ...] = ("mult",)) -> Flow:
    """Write a small workflow: each study doubles its parameter ``x``."""
    directory.mkdir(parents=True)
    managers = "".join(f"  {study}:\n" for study in studies)
    (directory / "motoko.yaml").write_text(
        f"task_managers:\n{managers}\norchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text(ORCHESTRATOR)
    for study in studies:
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(f"study: {study}\n\njob:\n  x: float\n")
        (directory / study / "launch.sh").write_text("python doIt.py\n")
        (directory / study / "doIt.py").write_text(DO_IT)
    return Flow(directory, studies)


def kill9(pid: int) -> None:
    """Kill one process, by its pid."""
    os.kill(pid, signal.SIGKILL)


def processes_in(place: Path) -> Iterator[tuple[Identity, str]]:
    """The living processes whose command line or working directory mentions a path."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((entry / "cwd").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        identity = Identity.of(int(entry.name))
        if identity and (str(place) in command or Path(where).is_relative_to(place)):
            yield identity, command


def forkers_in(place: Path) -> Iterator[tuple[Identity, str]]:
    """The living processes that fork runs, and wrappers that wait, by their TMPDIR.

    Their working directory is /, and their command lines mention no workflow.
    """
    for identity, command in processes_in(Path("/")):
        if "motoko-spawner" in command or "warm_template.py" in command:
            with contextlib.suppress(OSError):
                environment = Path(f"/proc/{identity.pid}/environ").read_bytes().split(b"\0")
                if os.fsencode(f"TMPDIR={place}") in environment:
                    yield identity, command


def sockets_in(*places: Path) -> list[Path]:
    """The socket files below some directories."""
    return [path for place in places for path in place.rglob("*") if path.is_socket()]


def keep_logs(test: str, place: Path) -> None:
    """Keep the logs of a test's workflows, which are below a directory, in ``test-logs``."""
    target = TEST_LOGS / re.sub(r"[^\w.-]+", "-", test)
    for logs in place.rglob(".wf/log"):
        name = str(logs.parent.parent.relative_to(place)).replace("/", "-")
        shutil.copytree(logs, target / name, dirs_exist_ok=True)


def supervised(place: Path, flow: Flow, *options: str) -> Iterator[Flow]:
    """A workflow that is created and supervised for the tests of a module, which leave nothing.

    For fixtures: ``yield from``. ``place`` is the directory that holds it, and nothing else.
    """
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    flow.create()
    done = flow.motoko("supervise", "--detach", *options, TMPDIR=str(private))
    assert done.returncode == 0, done.stderr
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    wait_until(lambda: not list(processes_in(place)), "nothing is left")
    assert not sockets_in(private, place)
    shutil.rmtree(private)


def interrupted_after(seconds: int) -> Iterator[None]:
    """What hangs in a test is interrupted. For fixtures: ``yield from``."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it hangs: not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
