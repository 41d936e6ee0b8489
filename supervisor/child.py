"""One running daemon: a process in a session of its own; the event loop is told of its death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator

from motoko.config.supervision import Supervision
from motoko.host.identity import Identity
from motoko.host.log_files import rotate_if_long
from motoko.host.process_limits import NO_ROOM, NoMoreProcesses, restore_for
from motoko.layout import Runtime
from motoko.supervisor.daemon_specs import Spec, environment


class Child:
    """A process behind a pidfd: signals and the notice of its end never concern another process.

    ``on_death`` is called once, in the loop, with how the process ended; then ``ended`` is done.
    ``is_users``: the exit codes are those of a user's program.
    """

    def __init__(
        self,
        identity: Identity,
        pidfd: int,
        on_death: Callable[[str], None],
        process: subprocess.Popen[bytes] | None = None,
        *,
        is_users: bool = False,
    ) -> None:
        self.identity = identity
        self.exit_code: int | None = None  # set if it exits (not by a signal) and is our child
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pidfd = pidfd
        self._on_death = on_death
        self._process = process
        self._is_users = is_users
        asyncio.get_running_loop().add_reader(pidfd, self._ended)

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended already."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return  # its end is about to be noticed

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self.ended.set_result(None)
        self._on_death(self._how())

    def _how(self) -> str:
        if self._process is None:
            return "ended"  # adopted: only a parent is told the exit code
        code = self._process.wait()
        if code < 0:
            return f"died by {signal_name(-code)}"
        self.exit_code = code
        if code == NoMoreProcesses.exit_code and not self._is_users:
            return NO_ROOM
        return f"exited with {code}"


def signal_name(number: int) -> str:
    """A signal's name; for real-time signals, which have none, its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _blocked(signals: Iterable[int]) -> Iterator[None]:
    """Block signals in this thread; a process that is started meanwhile has them blocked too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def spawn(
    spec: Spec, runtime: Runtime, settings: Supervision, on_death: Callable[[str], None]
) -> Child:
    """Start a daemon, with its output appended to its log; raises ``OSError`` if it cannot."""
    path = runtime.log(spec.name)
    # A daemon rotates its own log, but not if it dies before its logging is set up.
    rotate_if_long(path, settings.log_size, settings.log_files)
    with open(path, "ab") as log, _blocked(spec.traits.held_signals):
        process = subprocess.Popen(
            spec.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=spec.directory or runtime.directory,
            env=environment(spec.environment or os.environ),
            start_new_session=True,
        )
    # Only we reap the process, so the pid is still its own, even if it has ended by now.
    restore_for(process.pid)
    pidfd = os.pidfd_open(process.pid)
    identity = Identity.of(process.pid) or Identity(process.pid, 0, "", "")
    return Child(identity, pidfd, on_death, process, is_users=spec.is_requested)


def adopt(identity: Identity, on_death: Callable[[str], None]) -> Child | None:
    """Look after a daemon that another supervisor started; ``None`` if it is gone."""
    pidfd = identity.open_pidfd()
    return None if pidfd is None else Child(identity, pidfd, on_death)
