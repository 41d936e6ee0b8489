"""The process of a relay: its options, its answers, and when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from motoko.channel import endpoint as endpoints
from motoko.channel.greeting import Greeting, NotWelcome
from motoko.channel.relay import fenced_job, peer_marks
from motoko.channel.relay.accepting import Relay
from motoko.channel.relay.acquaintance import ask
from motoko.channel.relay.event_loop import READ, EventLoop
from motoko.channel.relay.keeper import DONE, UNABLE, Keeping, be_silent, keep
from motoko.channel.relay.known_server import KnownServer
from motoko.channel.relay.patience import PatientSplice
from motoko.channel.relay.splice import Splice
from motoko.channel.relay.uplink import GateUplink
from motoko.errors import MotokoError
from motoko.host.digests import digest
from motoko.host.proc_files import boot_id

# The relay writes one of these lines to its standard output: it serves, is not needed, or cannot
# serve. Before that it says, again and again, that it waits, and for what.
READY, HEAD, FAILED = "ready", "head", "failed"
WAITING = "waiting"
_TRY_AGAIN_S = 2.0
_KNOWN = "known "
_REMEMBER_S = 2.0
_ANSWER_S = 5.0  # a server that does not answer for this long is away
# The same line is logged at most once in this many seconds.
_AGAIN_S = 60.0
# A relay ignores the signals that end a job, because launch.sh may still want to save something:
# the relay ends when its standard input does.
_IGNORED = ("SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGPIPE")


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends. A relay that is killed is replaced by another one.

    Arguments: the channel's directory, then options.

    ``--token=``: names the relay; all processes that belong to it have its name in
    ``$MOTOKO_RELAY``. ``--command=``: instead, the pid of the process that it belongs to.
    ``--run=``, ``--study=``, ``--attempt=``, ``--job=``: what the greeting says. ``--log=``: a file
    for problems.
    """
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.umask(0o077)
    directory, *rest = arguments
    options = dict(text.removeprefix("--").split("=", 1) for text in rest)
    return keep(lambda keeping: _serve(Path(directory), options, keeping))


def _serve(directory: Path, options: dict[str, str], keeping: Keeping) -> int:
    process = RelayProcess(directory, options, keeping)
    sys.excepthook = process.crashed
    try:
        answer = process.begin()
    except (MotokoError, OSError) as error:
        _say(_failed(error))
        return UNABLE
    if not answer.startswith(READY):
        _say(answer)
        return DONE
    return process.serve(answer)


def _failed(error: Exception) -> str:
    hint = f" ({error.hint})" if isinstance(error, MotokoError) and error.hint else ""
    return f"{FAILED} {json.dumps(f'{socket.gethostname()}: {error}{hint}')}"


def _say(line: str) -> None:
    # The process that has started the relay may be gone: then standard input ends, too.
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


class RelayProcess:
    """One relay.

    Args:
        directory: the channel's directory.
        options: see :func:`main`.
        keeping: holds what the relay before has left, and keeps things for the next.
    """

    def __init__(self, directory: Path, options: dict[str, str], keeping: Keeping) -> None:
        self._loop = EventLoop()
        self._directory = directory
        self._study = options.get("study", "")
        self._log_path = options.get("log", "")
        self._logged: dict[str, float] = {}
        self._keeping = keeping
        self._code = DONE
        self._known: dict[str, KnownServer] = {}  # by study
        self._kept: dict[str, bytes] = {}  # what the keeper has of it
        # The names of another workflow's relays begin with another mark.
        mark = f"{digest(str(directory.resolve()))[:8]}-"
        token = options.get("token", "")
        command = int(options.get("command") or 0)
        self.name = f"{mark}{token}" if token else peer_marks.command_name(command)
        self._uplink = GateUplink(self._loop, directory, _greeting(options), self.log, self._fenced)
        self._relay = Relay(
            *(self._loop, directory, self.name, mark, self._begin_session, self.log, keeping)
        )
        for key, message in keeping.left.items():
            if key.startswith(_KNOWN):
                known = self._known.setdefault(key.removeprefix(_KNOWN), KnownServer())
                known.restore(bytes.fromhex(message.words["state"]))

    def begin(self) -> str:
        """Get the sockets; returns the line to be written. Raises ``MotokoError``, ``OSError``."""
        gate = endpoints.read(self._directory)
        if gate.boot_id == boot_id():
            return HEAD
        _raise_limit()
        if not self._relay.open(gate):
            self._relay.close()
            return f"{FAILED} " + json.dumps("the relays of this host block each other")
        return f"{READY} {self.name}"

    def serve(self, answer: str) -> int:
        """Serve until standard input ends. When a run may begin, the answer is written."""
        self._loop.watch(0, READ, self._input)
        keeper = self._keeping.connection.fileno()
        self._loop.watch(keeper, READ, lambda events: self._keeper_ended(keeper))
        self._relay.look()
        self._remember()
        name = f"zeo-{self._study}"
        self._await_server(name, time.monotonic() + self._relay.patience(name), answer)
        self._loop.run()
        self._relay.close()
        return self._code

    def _await_server(self, name: str, end: float, answer: str) -> None:
        """Wait for the server of the run's study, as long as the study's patience allows.

        From then on the server is known, and clients that come while it is away are greeted in its
        place. Meanwhile other clients are served, and an attempt that was declared dead does not
        begin.
        """
        known = self._known_of(name)
        if known.is_complete or time.monotonic() >= end:
            _say(answer)
            be_silent()
            self._keeping.ready()
            return

        def asked(server: KnownServer, error: Exception | None) -> None:
            known.restore(server.state())
            self._keep_known()
            if isinstance(error, NotWelcome) and error.fenced:
                _say(_failed(error))
                self._code = UNABLE
                self._loop.stop()
            elif error is None or isinstance(error, NotWelcome):  # clients will be told
                self._await_server(name, 0.0, answer)
            else:
                _say(f"{WAITING} {' '.join(str(error).split())}")
                self._loop.later(_TRY_AGAIN_S, lambda: self._await_server(name, end, answer))

        threading.Thread(target=self._ask, args=(name, asked), daemon=True).start()

    def _ask(self, name: str, call: Callable[[KnownServer, Exception | None], None]) -> None:
        known, trouble = KnownServer(), None
        try:
            with self._uplink.connection(name) as server:
                ask(server, known, _ANSWER_S)
        except (MotokoError, OSError) as error:
            trouble = error
        self._loop.soon(lambda: call(known, trouble))

    def _known_of(self, name: str) -> KnownServer:
        """What is known of the server of a socket: a study has two, ``zeo-`` and ``kept-``."""
        return self._known.setdefault(name.partition("-")[2], KnownServer())

    def _input(self, events: int) -> None:
        if not os.read(0, 4096):
            self._loop.stop()

    def _keeper_ended(self, keeper: int) -> None:
        """Retire: another keeper will come, with a relay that takes this one's sockets."""
        self._loop.forget(keeper)
        self._relay.retire()

    def _remember(self) -> None:
        """Give what is known of servers to the keeper, again and again."""
        self._keep_known()
        self._loop.later(_REMEMBER_S, self._remember)

    def _keep_known(self) -> None:
        for name, known in self._known.items():
            state = known.state()
            if known.is_complete and state != self._kept.get(name):
                self._kept[name] = state
                self._keeping.keep(f"{_KNOWN}{name}", {"state": state.hex()})

    def _begin_session(self, name: str, client: socket.socket) -> None:
        patience = self._relay.patience(name)
        if patience:
            known = self._known_of(name)
            PatientSplice(self._loop, client, name, self._uplink, patience, known, self.log)
        else:
            Splice(self._loop, client, name, self._uplink)

    def _fenced(self, reason: str) -> None:
        """End the processes of this attempt, which was declared dead."""
        self.log(f"ending the processes of this attempt: {reason}")
        fenced_job.end(self._loop, self.name)

    def log(self, line: str) -> None:
        """Log a problem, the same at most once a minute."""
        now = time.time()
        if not self._log_path or now - self._logged.get(line, 0.0) < _AGAIN_S:
            return
        self._logged[line] = now
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        with contextlib.suppress(OSError), open(self._log_path, "a") as file:
            file.write(f"{stamp} {socket.gethostname()}: {line}\n")

    def crashed(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Log a defect of the relay; the keeper starts the next one."""
        self.log("".join(traceback.format_exception(kind, error, trace)))


def _greeting(options: dict[str, str]) -> Greeting:
    def number(name: str) -> int | None:
        return int(options[name]) if options.get(name) else None

    return Greeting(
        run=number("run"),
        study=options.get("study", ""),
        attempt=number("attempt"),
        job=options.get("job", ""),
        host=socket.gethostname(),
    )


def _raise_limit() -> None:
    """Raise the limit of descriptors as far as allowed: a connection takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
