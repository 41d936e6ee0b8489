"""The processes that fork wrappers for a launcher, as the launcher sees them."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from motoko.config.run_files import LAUNCH
from motoko.host.identity import Identity, pid_namespace
from motoko.host.proc_files import boot_id
from motoko.host.process_limits import may_stamp, restore_for
from motoko.runs import marks
from motoko.runs.paths import CLAIM, EARLIER_ENVIRONMENT, ENVIRONMENT, EXIT, own_folder_in
from motoko.runs.run_programs import missing_programs
from motoko.runs.wrappers import Wrapper
from motoko.workers.launcher import wrapper
from motoko.workers.launcher.wrapper import FIELDS, MESSAGE_MAX
from motoko.workers.launcher.wrapper_process import WrapperProcess

log = logging.getLogger(__name__)

# As it is now: a later spawner, too, must be this launcher's if Motoko is upgraded meanwhile.
_PROGRAM = Path(wrapper.__file__).read_bytes()
_NAME = "motoko-spawner"  # what `ps` shows
ANSWER_S = 5.0  # forking takes milliseconds
_FORK = b"fork"  # any text
_START_S = 30.0  # the first answer, too: on a busy machine a Python takes a while to start


class Unusable(Exception):
    """A process that forks wrappers has ended, does not answer, or must not be used any more."""


@functools.cache
def environment() -> dict[str, str]:
    """A run's environment: ours, with the missing programs first on PATH."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": os.pathsep.join([*missing_programs(path), path])}


def facts(directory: Path, attempt: int, stdout: str, stderr: str) -> dict[str, str]:
    """What a wrapper has to know of its attempt. Raises ``OSError`` if that cannot be read now."""
    own = own_folder_in(directory)
    return {
        "directory": str(directory),
        "attempt": str(attempt),
        "claim": f"{own}/{CLAIM}{attempt}",
        "exit": f"{own}/{EXIT}{attempt}.json",
        "stdout": stdout,
        "stderr": stderr,
        "boot": boot_id(),
        "host": socket.gethostname(),
        "namespace": pid_namespace(),
        "turn": "0",
        "mark": "",
    }


class Forker:
    """A process that forks wrappers: the spawner, or a template of warm runs.

    It has a session of its own, and ends when its socket is closed, as it is when we end.

    Args:
        command: the command, without its last arguments.
        arguments: those that follow the descriptor of its socket.
        variables: its environment.
        text: its standard input.
    """

    def __init__(
        self,
        command: Sequence[str],
        arguments: Sequence[str],
        variables: Mapping[str, str],
        text: bytes = b"",
    ) -> None:
        self._idle: deque[WrapperProcess] = deque()  # wrappers that wait for another turn
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(os.memfd_create(_NAME), "w+b", buffering=0) as stdin:
            stdin.write(text)
            stdin.seek(0)
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), *arguments],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=variables,
                cwd="/",
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def start(
        self, known: Mapping[str, str], slots: Sequence[int], patience: float = ANSWER_S
    ) -> WrapperProcess:
        """Give a wrapper an attempt: one that waits, or a new one. It waits for ``go``.

        Raises ``Unusable``, or ``OSError`` if no process can be started now.
        """
        while self._idle:
            process = self._idle.popleft()
            with contextlib.suppress(OSError):  # it was killed
                return self._asked(process, known, slots)
            process.close()
        return self._asked(self._fork(patience), known, slots)

    def _asked(
        self, process: WrapperProcess, known: Mapping[str, str], slots: Sequence[int]
    ) -> WrapperProcess:
        wrapper = process.wrapper
        if may_stamp():
            wrapper = process.wrapper = replace(wrapper, turn=wrapper.turn + 1)
        of_turn = {"turn": str(wrapper.turn), "number": str(wrapper.number)}
        known = {**dict.fromkeys(FIELDS, ""), **known, **of_turn, "mark": marks.text_of(wrapper)}
        request = "\0".join(known[name] for name in FIELDS).encode(errors="surrogateescape")
        process.ask(request, slots)
        return process

    def _fork(self, patience: float) -> WrapperProcess:
        """Have it fork a wrapper."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as stack:
            stack.enter_context(ours)
            try:
                with theirs:
                    self.socket.settimeout(patience)
                    socket.send_fds(self.socket, [_FORK], [theirs.fileno()])
                answer = self.socket.recv(MESSAGE_MAX)
                self.socket.setblocking(False)
            except OSError as error:  # the timeout is one
                self._process.kill()  # a stopped process does not see that its socket is closed
                raise Unusable(f"it does not answer: {error}") from error
            reply = json.loads(answer or b"{}")
            if "error" in reply:
                raise OSError(reply["error"], os.strerror(reply["error"]))
            if "pid" not in reply:
                raise Unusable("it has ended")
            stack.pop_all()
        pid = reply["pid"]
        restore_for(pid)
        process = Identity.of(pid)
        if process is None:  # it was killed
            process = Identity(pid, 0, boot_id(), socket.gethostname(), pid_namespace())
        return WrapperProcess(Wrapper(process), ours, self)

    def take_back(self, process: WrapperProcess) -> None:
        """Let a wrapper wait for another turn, unless this process is not used any more."""
        if self.socket.fileno() >= 0:
            self._idle.append(process)
        else:
            process.close()

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Close its socket, which ends it, and end the wrappers that wait."""
        self.socket.close()
        self.dismiss()

    def dismiss(self) -> None:
        """End the wrappers that wait."""
        while self._idle:
            self._idle.pop().close()

    def end(self) -> None:
        """End it, and wait until it has ended. Wrappers that execute runs live on."""
        self.close()
        self._process.kill()
        self._process.wait()


class Spawner:
    """Starts a launcher's runs, by wrappers that a small process forks.

    That process is started when it is needed first, and again when it has ended.

    Args:
        variables: the environment of all runs.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = environment() if variables is None else variables
        self._forker: Forker | None = None

    def start(
        self, directory: Path, attempt: int, stdout: str, stderr: str, slots: Sequence[int]
    ) -> WrapperProcess:
        """Give a wrapper an attempt; ``slots`` are the descriptors that hold its slots.

        It waits for ``go``, and ends if its launcher ends before. If the attempt is claimed
        already, it starts nothing. Raises ``OSError`` if no process can be started now.
        """
        known = facts(directory, attempt, stdout, stderr)
        known |= {"launch": LAUNCH, "starters": f"{ENVIRONMENT}\n{EARLIER_ENVIRONMENT}"}
        if self._forker is not None:
            try:
                return self._forker.start(known, slots)
            except Unusable as error:
                log.info("the process that starts runs is replaced: %s", error)
                self.close()
        command = [sys.executable, "-I", "-S", "-"]
        self._forker = Forker(command, (_NAME,), self._variables, _PROGRAM)
        try:
            return self._forker.start(known, slots, _START_S)
        except Unusable as error:
            self.close()
            raise OSError(f"the process that starts runs: {error}") from error

    def dismiss(self) -> None:
        """End the wrappers that wait."""
        if self._forker is not None:
            self._forker.dismiss()

    def close(self) -> None:
        """End its process, and the wrappers that wait. Those that execute runs live on."""
        if self._forker is not None:
            self._forker.end()
            self._forker = None
