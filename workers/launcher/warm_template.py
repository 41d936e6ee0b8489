"""A Python that has loaded the modules that runs import, and forks them. It does nothing else.

This file stands alone, but for those beside it: it is executed by the Python that launch.sh names,
which may not have Motoko installed. Its arguments are the descriptor of a socket, and the modules
to load, as JSON.

When it is ready, it says so on the socket, or why it cannot be used, with a file that holds the
files of all modules and their stamps, as JSON: those that a user may change at any time, and those
that are installed. Then it forks wrappers, until the socket is closed (see ``fork_wrappers`` in
wrapper.py, beside this file).

The wrappers do what those of other runs do: they take turns, claim attempts, and record exits. But
a wrapper forks the run itself: an interpreter as if just started. It does that ahead, before it has
the run's attempt. The run waits for that on a socket of its wrapper, and ends if it is closed. At
first it copies memory that it will write (see warm_pages.py).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import runpy
import signal
import socket
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

TRIES = 3  # how many runs a wrapper forks for an attempt, if something kills them before they begin


def part(name: str) -> Any:
    """What a file beside this one defines."""
    return types.SimpleNamespace(**runpy.run_path(f"{os.path.dirname(__file__)}/{name}.py"))


def main(warm_run: Any) -> dict[str, Any]:
    """Serve until the socket is closed. Returns in the runs only: what a run is to execute."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    wanted = json.loads(sys.argv[2])
    modules, pages, parts = part("warm_modules"), part("warm_pages"), part("wrapper")
    problem = ""
    try:
        modules.load(wanted)
        problem = modules.why_not_forked()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a module may raise anything)
        problem = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    modules.spare_detours()
    zeo = part("warm_zeo")
    zeo.install()
    gc.collect()
    gc.freeze()

    def rehearse() -> None:
        modules.rehearse()
        zeo.rehearse()

    written = [] if problem else pages.written_by(rehearse)
    tell_files(connection, problem, modules)
    gc.collect()
    gc.freeze()
    number = parts.fork_wrappers(connection)
    if number < 0:
        os._exit(0)
    channel = socket.socket(fileno=number)
    return wrapper(parts, warm_run, channel, lambda: pages.copy(written))


def tell_files(connection: socket.socket, problem: str, modules: Any) -> None:
    """Tell the launcher that this process is ready, and which files must not have changed."""
    files = modules.loaded_files()
    installed = {path for path in files if path.startswith(modules.installed_places())}
    own = {path: stamp for path, stamp in files.items() if path not in installed}
    with open(os.memfd_create("files"), "w") as file:
        json.dump([own, {path: files[path] for path in installed}], file)
        file.flush()
        file.seek(0)
        text = json.dumps({"problem": problem}).encode()
        try:
            socket.send_fds(connection, [text], [file.fileno()])
        except OSError:
            os._exit(0)


# The wrapper


def wrapper(
    parts: Any, warm_run: Any, channel: socket.socket, get_ready: Callable[[], None]
) -> dict[str, Any]:
    """In a forked child: take turns until the channel is closed. Returns in the runs only."""
    me = os.getpid()
    try:
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        unmarked = resource.getrlimit(parts.MARKED)
        asked, begun = b"", None
        while True:
            ahead = Ahead(parts)
            if ahead.pid == 0:
                channel.close()
                get_ready()
                return awaited(parts, warm_run, ahead.connection)
            if not asked:  # else the run that was forked before was killed
                asked, slots = parts.received(channel)
                if not asked:
                    os._exit(0)
                attempt, tries = parts.attempt_of(asked), 1
                turn = parts.begin_turn(attempt)
            try:
                is_ready = ahead.takes(asked, slots)
                if is_ready:
                    begun = begun or parts.begun(attempt, channel.fileno())
                if not (begun and is_ready and ahead.begins(*begun)):
                    ahead.end()
                    if tries == TRIES:
                        raise parts.Unstarted(parts.UNFORKED)
                    tries += 1
                    continue
                if turn:
                    parts.note_session(attempt, ahead.pid)
                text = parts.ended(attempt, ahead.pid, own_rss=0)  # what the template has is its
                ahead.close()
            except parts.Unstarted as error:
                ahead.end()
                text = b"%d" % error.code
            for descriptor in begun[0] if begun else ():
                os.close(descriptor)
            parts.end_turn(unmarked, slots)
            parts.tell(channel.fileno(), text)
            if not turn:
                os._exit(0)
            asked, begun = b"", None
    finally:  # whatever has happened, the wrapper must not return
        if os.getpid() == me:
            os._exit(0)


class Ahead:
    """A run that a wrapper has forked ahead.

    Attributes:
        pid: its pid; -1 if it could not be forked, or has ended; 0 in the run itself.
        connection: the wrapper's end of a pair of sockets; the run's end in the run itself.
    """

    def __init__(self, parts: Any) -> None:
        self.pid = -1
        self._parts = parts
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(OSError):
            self.pid = os.fork()
        if self.pid == 0:
            self.connection, theirs = theirs, self.connection
        theirs.close()

    def takes(self, asked: bytes, slots: list[int]) -> bool:
        """Give it the attempt: whether it is one of the attempt's processes now."""
        try:
            self._parts.send(self.connection, asked, slots)
            return self.connection.recv(1) != b""
        except OSError:
            return False

    def begins(self, outputs: list[int], mark: str) -> bool:
        """Let it begin: in this process's directory, with these outputs and this mark."""
        here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            self._parts.send(self.connection, os.fsencode(mark), [here, *outputs])
        except OSError:
            return False
        finally:
            os.close(here)
        return True

    def end(self) -> None:
        """Kill it, unless it was waited for."""
        self.close()
        if self.pid > 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = -1

    def close(self) -> None:
        self.connection.close()


# The run


def awaited(parts: Any, warm_run: Any, connection: socket.socket) -> dict[str, Any]:
    """In a run: wait for its attempt, and until it may begin."""
    try:
        asked, slots = parts.received(connection)
        if not asked:
            os._exit(0)
        known = parts.attempt_of(asked)
        if parts.begin_turn(known):
            os.setsid()
        connection.send(b"+")
        attempt: dict[str, Any] = json.loads(known["warm"])
        warm_run.prepare(attempt)
        mark, descriptors = parts.received(connection)
        if not mark:
            os._exit(0)
        connection.close()
        directory, *outputs = descriptors
        os.fchdir(directory)
        os.close(directory)
        for place, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *outputs]):
            os.dup2(descriptor, place)
            os.close(descriptor)
        for slot in slots:
            os.set_inheritable(slot, True)  # a slot is held as long as any process of the run lives
        os.environ["MOTOKO_RUN"] = os.fsdecode(mark)
    except BaseException:  # noqa: BLE001 (its wrapper forks another one)
        os._exit(1)
    return attempt


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # this file's directory
    warm_run = part("warm_run")
    warm_run.run(main(warm_run))
