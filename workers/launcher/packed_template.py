"""The template of a pack's warm runs: loads their modules once, and forks a process for each run.

A program of its own, executed in a batch job by the Python of the runs, beside copies of the files
that it uses: see packed_warm.py. It needs nothing of Motoko. Its arguments are the directory of its
files, the pid of the job's script, its own path, and the modules as JSON.

The directory has a named pipe, in which each line is the pid of a shell that waits for a run, and a
file PID.request: the shell's numbers of the run's outputs, the Python, the directory, doIt.py and
its arguments, an empty text, and the variables, all ended by a null byte. The answers go to the
named pipe PID.code: ``cold`` if the shell has to start the run itself, or else ``begun``, and later
the run's exit code.

The scheduler's signals are for the runs: this process ends with the job's script.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import os
import runpy
import select
import shutil
import signal
import sys
import time
from typing import Any

# Variables that Python, the loader and numerical libraries read only once, when they start.
AT_START = (
    *("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "NUMEXPR_", "VECLIB_"),
)
NOT_THE_RUNS = ("MOTOKO_WARM", "BASH_FUNC_python")
GRACE_S = 6.0  # between SIGTERM and SIGKILL, for a run whose shell was killed
PR_SET_PDEATHSIG = 1
FOR_RUNS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Request:
    """A shell that waits for a run, and the run."""

    def __init__(self, place: str, pid: int) -> None:
        self.shell, self.answer = os.pidfd_open(pid), f"{place}/{pid}.code"
        with open(f"{place}/{pid}.request", "rb") as file:
            texts = [os.fsdecode(text) for text in file.read().split(b"\0")]
        end = texts.index("", 4)
        out, err, self.python, self.directory, self.script, *self.arguments = texts[:end]
        self.outputs = [f"/proc/{pid}/fd/{number}" for number in (out, err)]
        pairs = (text.partition("=") for text in texts[end + 1 :] if text)
        self.environment = {name: text for name, _, text in pairs}
        self.run = -1  # its pidfd
        self.kill_at = math.inf  # if its shell was killed

    def say(self, text: object) -> None:
        with contextlib.suppress(OSError), open(self.answer, "r+b", buffering=0) as pipe:
            pipe.write(f"{text}\n".encode())


def at_start(environment: Any) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(AT_START)}


def main(modules: dict[str, Any]) -> dict[str, Any]:
    """Serve requests until the job's script has ended; returns in the runs only."""
    place, script, python, wanted = sys.argv[1:]
    job = os.pidfd_open(int(script))
    for number in FOR_RUNS:
        signal.signal(number, signal.SIG_IGN)
    try:
        modules["load"](json.loads(wanted))
        problem = modules["why_not_forked"]()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a module may raise anything)
        problem = repr(error)
    if problem:
        os._exit(1)  # the runs are cold
    modules["spare_detours"]()
    runpy.run_path(f"{os.path.dirname(__file__)}/warm_zeo.py")["install"]()
    files = modules["loaded_files"]()
    own = at_start(os.environ)
    pipe = os.open(f"{place}/requests", os.O_RDWR | os.O_NONBLOCK)
    lines = os.fdopen(pipe, "rb", buffering=0)
    poll = select.poll()
    for descriptor in (job, pipe):
        poll.register(descriptor, select.POLLIN)
    waiting: dict[int, Request] = {}  # by the pidfds of shells and runs
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError):
        with open(f"{place}/ready.new", "w") as file:
            file.write(f"{os.getpid()}\n")
        os.rename(f"{place}/ready.new", f"{place}/ready")
    while True:
        due = min((request.kill_at for request in waiting.values()), default=math.inf)
        wait = None if due == math.inf else max(0, (due - time.monotonic()) * 1000)
        for descriptor, _ in poll.poll(wait):
            if descriptor == job:
                shutil.rmtree(place, ignore_errors=True)
                os._exit(0)
            elif descriptor == pipe:
                for line in (lines.read() or b"").split():
                    request = accepted(place, int(line))
                    if request is None:
                        continue
                    fits = request.python == python and at_start(request.environment) == own
                    if not fits or any(modules["stamp"](p) != s for p, s in files.items()):
                        request.say("cold")
                        os.close(request.shell)
                        continue
                    request.say("begun")
                    pid = os.fork()
                    if pid == 0:
                        return begun(request)
                    request.run = os.pidfd_open(pid)
                    for one in (request.shell, request.run):
                        waiting[one] = request
                        poll.register(one, select.POLLIN)
            elif descriptor in waiting:
                request = waiting[descriptor]
                if descriptor == request.run:
                    ended(place, request)
                    for one in (request.shell, request.run):
                        del waiting[one]
                        with contextlib.suppress(KeyError):
                            poll.unregister(one)
                        os.close(one)
                else:
                    poll.unregister(descriptor)
                    request.kill_at = time.monotonic() + GRACE_S
                    signal.pidfd_send_signal(request.run, signal.SIGTERM)
        for request in list(waiting.values()):
            if time.monotonic() >= request.kill_at:
                request.kill_at = math.inf
                signal.pidfd_send_signal(request.run, signal.SIGKILL)


def accepted(place: str, pid: int) -> Request | None:
    try:
        return Request(place, pid)
    except (OSError, ValueError):
        return None  # its shell has ended, or wrote no request


def begun(request: Request) -> dict[str, Any]:
    """In the run: its files are those of the shell that waits. It dies with the template."""
    for number in FOR_RUNS:
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    outputs = []
    for path in request.outputs:
        flags = os.O_WRONLY | os.O_APPEND
        try:
            outputs.append(os.open(path, flags))
        except OSError:  # a socket, or closed
            outputs.append(os.open(os.devnull, flags))
    for place, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *outputs]):
        os.dup2(descriptor, place)
    os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
    os.chdir(request.directory)
    environment = {
        name: text
        for name, text in request.environment.items()
        if not name.startswith(NOT_THE_RUNS)
    }
    return {
        "environment": environment,
        "script": request.script,
        "arguments": request.arguments,
        "python": request.python,
        "options": [],
    }


def ended(place: str, request: Request) -> None:
    """Tell the exit code to the shell that waits, and note the processor time."""
    result = os.waitid(os.P_PIDFD, request.run, os.WEXITED | os.WNOWAIT)
    assert result is not None
    _, status, usage = os.wait4(result.si_pid, 0)
    code = os.waitstatus_to_exitcode(status)
    ticks = round((usage.ru_utime + usage.ru_stime) * os.sysconf("SC_CLK_TCK"))
    run = request.environment.get("BLACKDYNAMITE_RUN_ID", "")
    if run.isdigit():
        with contextlib.suppress(OSError), open(f"{place}/{run}.ticks", "w") as file:
            file.write(f"{ticks}\n")
    request.say(128 - code if code < 0 else code)


if __name__ == "__main__":
    directory = os.path.dirname(__file__)
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # this file's directory
    modules, warm_run = (
        runpy.run_path(f"{directory}/{name}.py") for name in ("warm_modules", "warm_run")
    )
    attempt = main(modules)
    warm_run["prepare"](attempt)
    warm_run["run"](attempt)
