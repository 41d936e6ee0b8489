"""What the benchmarks share: a workflow in a temporary directory that leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import psutil

PROGRAMS = Path(sys.executable).parent  # where our own `motoko` is
TOKEN = "MOTOKO_BENCHMARK"
_NOT_OURS = ("BLACKDYNAMITE_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
# Installed programs find their modules compiled already.
_NOT_OURS += ("PYTHONDONTWRITEBYTECODE",)
_END_S = 5.0


class Sandbox:
    """A directory with a short path, and everything that is started in it.

    Every process that is started here gets an environment variable that no other process has. At
    the end of the ``with`` block processes that still have the variable are ended, and named on
    standard error. Then the directory is removed.

    Args:
        files: what is in the directory: text by relative path.
        programs: the directory of programs that comes first on PATH.
    """

    def __init__(self, files: Mapping[str, str], programs: Path) -> None:
        # Short, and not below $TMPDIR: Unix sockets with their limit of 107 bytes live here.
        self._top = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
        self._token = secrets.token_hex(16)
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_OURS)}
        self._environment |= {
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "TMPDIR": str(self._top),
            TOKEN: self._token,
        }
        _scatter_what_is_in(self._top)
        # The name decides where on the disk it is, so it must be a new one.
        self.directory = self._top / self._top.name.removeprefix("mb-")
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, program: Path, *arguments: str, timeout: float = 120.0) -> str:
        """Run a program in the directory, and return what it prints; it has to succeed."""
        # Into files: a daemon that has inherited a pipe would keep us waiting for its end.
        with tempfile.TemporaryFile("w+", dir=self._top) as output:
            done = subprocess.run(
                [program, *arguments],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
            output.seek(0)
            text = output.read()
        if done.returncode:
            command = " ".join([program.name, *arguments])
            raise RuntimeError(f"{command} exits {done.returncode}:\n{text}")
        return text

    def begin(self, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program in the directory; what it prints goes to our standard error."""
        return subprocess.Popen(
            [program, *arguments],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )

    def processes(self) -> list[psutil.Process]:
        """The living processes that were started in here."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(TOKEN) == self._token:
                    found.append(process)
            except psutil.Error:  # it has just ended, or is another user's
                continue
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        try:
            self._stop()
        except (RuntimeError, subprocess.TimeoutExpired) as failure:
            print(failure, file=sys.stderr)
        finally:
            self._end_all()
            shutil.rmtree(self._top, ignore_errors=True)

    def _stop(self) -> None:
        """End the processes for which there is a command."""

    def _end_all(self) -> None:
        _, left = psutil.wait_procs(self.processes(), timeout=_END_S)
        for process in left:
            try:
                print(f"left behind, ended: {process.cmdline()}", file=sys.stderr)
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=_END_S)
        # While zdaemon lived, it may have restarted processes that were ended.
        for process in self.processes():
            process.kill()


class Scratch(Sandbox):
    """A workflow directory; at the end, the workflow is killed by its own command.

    Args:
        files: what is in the directory: text by relative path.
        programs: the directory of the ``motoko`` to use.
    """

    def __init__(self, files: Mapping[str, str], programs: Path = PROGRAMS) -> None:
        self._motoko = programs / "motoko"
        if not self._motoko.exists():
            sys.exit(f"there is no {self._motoko}: run this with the Python of Motoko's venv")
        super().__init__(files, programs)

    def motoko(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run a command in the directory, and return what it prints; it has to succeed."""
        return self.run(self._motoko, *arguments, timeout=timeout)

    def daemons(self) -> dict[str, psutil.Process]:
        """The supervised daemons by name, such as ``launcher:step``; ours only."""
        state = json.loads(self.motoko("ps", "--json"))
        return {each["name"]: psutil.Process(each["pid"]) for each in state["daemons"]}

    def first_lines(self, count: int, *arguments: str, timeout: float = 120.0) -> list[str]:
        """The first lines of a command that would print for ever; then it is ended."""
        process = subprocess.Popen(
            [self._motoko, *arguments],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        patience = threading.Timer(timeout, process.terminate)
        patience.start()
        try:
            assert process.stdout is not None
            lines = list(itertools.islice(process.stdout, count))
        finally:
            patience.cancel()
            process.terminate()
            process.communicate()
        if len(lines) < count:
            raise RuntimeError(f"motoko {' '.join(arguments)}: {len(lines)} lines, not {count}")
        return lines

    def _stop(self) -> None:
        self.motoko("kill")


def _scatter_what_is_in(directory: Path) -> None:
    """Let the directories that are made in a directory lie anywhere on the disk, if it is an ext4.

    Without a journal, an ext4 does not use again what belonged to a file that was removed in the
    last minutes, and looks at each such file whenever a new one is made in the same part of the
    disk. There a new file takes up to 50 times as long, right after another benchmark.
    """
    with contextlib.suppress(FileNotFoundError):
        # It refuses other file systems.
        command = ["chattr", "+T", directory]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


def end_cleanly_when_terminated() -> None:
    """Let SIGTERM leave ``with`` blocks, as Ctrl-C does."""

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process itself until now, in steps of 0.01."""
    times = process.cpu_times()
    return float(times.user + times.system)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that this percentage of them does not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def machine() -> str:
    """Where this was measured, in a few words."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {load:.1f}"
    )


def report(result: dict[str, Any], text: str, *, as_json: bool) -> NoReturn:
    """Print a result, as text or as JSON, and exit with 0 if it has passed, 1 otherwise."""
    print(json.dumps(result, indent=2) if as_json else text)
    sys.exit(0 if result["passed"] else 1)
