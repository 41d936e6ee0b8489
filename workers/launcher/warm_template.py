"""A Python that has loaded the modules that runs import, and forks each run. It does nothing else.

This file stands alone, but for those beside it: it is executed by the Python that launch.sh names,
which may not have Motoko installed. Its arguments are the descriptor of a socket, and the modules
to load, as JSON.

Each message on the socket asks for one attempt, and brings descriptors: the channel of the
attempt's wrapper, and those that hold the run's slots. The answer is the wrapper's pid, with a
pidfd. This process ends when the socket is closed.

The wrapper does what those of other runs do (see ``wrapper.py``, beside this file): it begins a
session, claims the attempt, and records its exit. It forks the run itself: an interpreter as if
just started.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Sequence
from typing import Any

CHECK_S = 0.25  # how often to look whether files of installed modules have changed
KEPT: list[Any] = []  # what a run would only copy to give it back


def part(name: str) -> Any:
    """What a file beside this one defines."""
    return types.SimpleNamespace(**runpy.run_path(f"{os.path.dirname(__file__)}/{name}.py"))


def main() -> dict[str, Any]:
    connection = socket.socket(fileno=int(sys.argv[1]))
    wanted = json.loads(sys.argv[2])
    modules, parts = part("warm_modules"), part("wrapper")
    limits = parts.MESSAGE_MAX, parts.DESCRIPTORS_MAX
    problem = ""
    try:
        modules.load(wanted)
        problem = modules.why_not_forked()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a module may raise anything)
        problem = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    modules.spare_detours()
    part("warm_zeo").install()
    files = modules.loaded_files()
    installed = {path for path in files if path.startswith(modules.installed_places())}
    checked_at = time.monotonic()
    say(connection, {"problem": problem})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # this process does not wait for wrappers
    KEPT.extend([files, installed])
    gc.collect()
    gc.freeze()
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, *limits)
        except ConnectionError:
            os._exit(0)
        if not data:
            os._exit(0)
        attempt = json.loads(data)
        answer: dict[str, Any] = {}
        own: list[int] = []
        looked_at = files.keys() - installed
        if time.monotonic() > checked_at + CHECK_S:
            checked_at, looked_at = time.monotonic(), set(files)
        if changed := [path for path in looked_at if modules.stamp(path) != files[path]]:
            answer = {"changed": changed[0]}
        else:
            # The wrapper must not be reaped before its pidfd is open.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                pid = os.fork()
                if pid == 0:
                    connection.close()
                    return wrapper(parts, attempt, descriptors)
                own = [os.pidfd_open(pid)]
                answer = {"pid": pid}
            except OSError as error:
                answer = {"error": error.errno}
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for descriptor in descriptors:
            os.close(descriptor)
        say(connection, answer, own)
        for descriptor in own:
            os.close(descriptor)
        reap()


def say(connection: socket.socket, answer: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    try:
        socket.send_fds(connection, [json.dumps(answer).encode()], descriptors)
    except OSError:
        os._exit(0)


def reap() -> None:
    """Reap the wrappers that ended in the moment of a fork."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


# The wrapper


def wrapper(parts: Any, attempt: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """In a forked child: what an attempt's wrapper does. Returns only in the run itself."""
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    channel, *slots = descriptors
    text = b""
    pid = -1
    try:
        outputs, mark = parts.begun(attempt, channel)
        try:
            pid = os.fork()
        except OSError:
            raise parts.Unstarted(parts.UNFORKED) from None
        if pid:
            for descriptor in outputs:
                os.close(descriptor)
            text = parts.ended(attempt, pid, own_rss=0)  # what the template has is the run's
    except parts.Unstarted as error:
        text = b"%d" % error.code
    finally:
        if pid:  # whatever has happened, the wrapper must not return
            parts.tell(channel, text)
            os._exit(0)
    os.close(channel)
    for place, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *outputs]):
        os.dup2(descriptor, place)
        os.close(descriptor)
    for slot in slots:
        os.set_inheritable(slot, True)  # the slot is held as long as any process of the run lives
    attempt["environment"]["MOTOKO_RUN"] = mark
    return attempt


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # this file's directory
    warm_run = part("warm_run")
    warm_run.run(main())
