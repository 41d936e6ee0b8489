"""``motoko`` in a process of its own that need not import anything: it is forked from one that has.

Starting Python and importing what a command needs takes longer than most commands. So tests have a
process that has imported all of it, and is forked for each command. That has the directory, the
environment and the streams that it is given, and leaves nothing to the next one. How a command
starts is tested by those that start processes: ``support.start_motoko``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What commands import when they run.
MODULES = (
    *("motoko.cli.main", "motoko.api.workflow", "motoko.bus.subscriber", "motoko.channel.keys"),
    *("motoko.control.study_access", "motoko.operations.stopping", "motoko.reports.status"),
)
REQUEST_MAX = 1 << 17  # bytes


def run(
    arguments: tuple[str, ...],
    cwd: Path,
    environment: Mapping[str, str],
    timeout: float,
    code: str = "",
) -> tuple[int, str, str]:
    """Run a command to its end: its exit code, and what it has written. Or a script's ``code``.

    Its output has to be closed by then. Raises ``subprocess.TimeoutExpired`` after ``timeout`` s;
    the command is killed.
    """
    pipes = [os.pipe() for _ in range(3)]
    request = json.dumps([code, arguments, str(cwd), dict(environment)]).encode(
        "utf-8", "surrogateescape"
    )
    socket.send_fds(_template(os.getpid()), [request], [writing for _, writing in pipes])
    for _, writing in pipes:
        os.close(writing)
    deadline = time.monotonic() + timeout
    texts = {reading: b"" for reading, _ in pipes}
    status = pipes[2][0]
    try:
        with selectors.DefaultSelector() as selector:
            for reading in texts:
                selector.register(reading, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(["motoko", *arguments], timeout)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    texts[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
    except BaseException:  # as subprocess.run does it: also for what interrupts a test that hangs
        with contextlib.suppress(IndexError, ProcessLookupError):
            os.kill(int(texts[status].split()[0]), signal.SIGKILL)
        raise
    finally:
        for reading in texts:
            os.close(reading)
    out, err, told = texts.values()
    _, code = told.split()
    # As subprocess.run gives it.
    return int(code), *(text.decode().replace("\r\n", "\n") for text in (out, err))


@functools.cache
def _template(_owner: int) -> socket.socket:
    """The way to the process that is forked; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        subprocess.Popen(
            [sys.executable, "-P", __file__, str(its.fileno())],
            cwd="/",
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return ours


def _preload() -> None:
    from motoko.cli.main import COMMANDS

    for name in (*MODULES, *(module for module, _ in COMMANDS.values())):
        importlib.import_module(name)


def _asked(requests: socket.socket) -> list[Any]:
    """What is to be run. Returns in a new process for each command, which has its streams."""
    while True:
        data, files, _, _ = socket.recv_fds(requests, REQUEST_MAX, 3)
        if not data:
            os._exit(0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            requests.close()
            break
        for file in files:
            os.close(file)
    *streams, status = files
    if command := os.fork():
        for file in streams:
            os.close(file)
        try:
            os.write(status, f"{command}\n".encode())
        except BrokenPipeError:  # who asked has been interrupted
            os.kill(command, signal.SIGKILL)
        _, end = os.waitpid(command, 0)
        with contextlib.suppress(BrokenPipeError):
            os.write(status, str(os.waitstatus_to_exitcode(end)).encode())
        os._exit(0)
    os.close(status)
    for number, file in enumerate(streams, 1):
        os.dup2(file, number)
        os.close(file)
    return list(json.loads(data))


def _become(script: str, arguments: list[str], cwd: str, environment: dict[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    gc.enable()
    code: object = 0
    try:
        if script:
            sys.argv = ["-c", *arguments]
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(script, "<string>", "exec"), vars(main))
        else:
            motoko = importlib.import_module("motoko.__main__")
            sys.argv = [str(motoko.__file__), *arguments]
            motoko.main()
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
    # As Python ends, but for taking apart all that was imported.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _preload()
    gc.disable()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _asked_for = _asked(_requests)
    _become(*_asked_for)
