"""Talking to a workflow's supervisor, finding it, and starting one. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from motoko.batch_check import check_generators
from motoko.config import WorkflowConfig, load
from motoko.errors import ConfigError, MotokoError, NoSupervisor, NotCreated
from motoko.identity import Identity
from motoko.log_files import rotate_if_long
from motoko.log_reading import tail
from motoko.runtime import (
    Runtime,
    locate,
    prepare,
    read_json,
    unrecorded_daemons,
    unwritable,
)

SUPERVISOR = "supervisor"
POLL_S = 0.05
LOCK_PATIENCE_S = 2.0
Announce = Callable[[str], None]


class AlreadySupervised(MotokoError):
    """Another process is the workflow's supervisor."""


@dataclass(frozen=True)
class LivingDaemon:
    """A daemon that lives, whoever supervises it."""

    name: str
    identity: Identity

    @property
    def kind(self) -> str:
        """``zeo``, ``bus``, ``watcher`` or ``launcher``."""
        return self.name.partition(":")[0]


def ask(
    runtime: Runtime, command: str, timeout: float = 5.0, **arguments: Any
) -> dict[str, Any] | None:
    """Ask the supervisor; ``None`` if nobody answers within ``timeout`` seconds.

    An answer may be ``{"error": ...}``.
    """
    request = json.dumps({"command": command, **arguments}).encode() + b"\n"
    deadline = time.monotonic() + timeout
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(runtime.control))
            connection.sendall(request)
            while not answer.endswith(b"\n"):
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                chunk = connection.recv(1 << 16)
                if not chunk:
                    return None
                answer += chunk
        found = json.loads(answer)
    except (OSError, ValueError):  # none there, frozen, or in the middle of ending
        return None
    return found if isinstance(found, dict) else None


def supervisor_status(config: WorkflowConfig, timeout: float = 5.0) -> dict[str, Any] | None:
    """What the workflow's supervisor says of itself and its daemons; ``None`` without answer."""
    runtime = locate(config)
    return None if runtime is None else ask(runtime, "status", timeout)


def records(config: WorkflowConfig) -> Runtime:
    """The workflow's runtime for reading its records, even if its sockets are gone.

    Nobody answers at such a runtime's control socket.
    """
    return locate(config) or Runtime(config.directory, config.directory / ".wf")


def supervisor_identity(config: WorkflowConfig) -> Identity | None:
    """The living supervisor of the workflow on this host, or ``None``. It may be frozen."""
    identity = _identity(records(config).record(SUPERVISOR))
    return identity if identity is not None and identity.alive else None


def is_running(config: WorkflowConfig) -> bool:
    """Whether a supervisor of the workflow lives on this host."""
    return supervisor_identity(config) is not None


@contextlib.contextmanager
def supervisor_lock(runtime: Runtime) -> Iterator[None]:
    """Be the only one who may start or stop daemons; raises ``AlreadySupervised`` otherwise."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    with _opened(runtime) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # A process that was killed keeps its locks until its last thread has ended.
                holder = _identity(runtime.record(SUPERVISOR))
                if time.monotonic() > deadline or (holder is not None and holder.alive):
                    raise AlreadySupervised(
                        f"{runtime.directory} has a supervisor already",
                        hint=f"see `motoko ps {runtime.directory}`",
                    ) from None
            time.sleep(POLL_S)
        yield


def _opened(runtime: Runtime) -> IO[str]:
    path = runtime.lock(SUPERVISOR)
    try:
        return open(path, "a")
    except OSError as error:
        # On a disk that cannot be written any more, what runs is to be stopped nevertheless.
        with contextlib.suppress(OSError):
            return open(path)
        raise unwritable(runtime, error) from error


def supervisor_elsewhere(config: WorkflowConfig) -> Identity | None:
    """The supervisor that the records name, if it is one of another host. It may be dead."""
    identity = _identity(records(config).record(SUPERVISOR))
    return identity if identity is not None and identity.host != socket.gethostname() else None


def refuse_elsewhere(config: WorkflowConfig) -> None:
    """Raise ``AlreadySupervised`` if a supervisor on another host holds the lock."""
    elsewhere = supervisor_elsewhere(config)
    if elsewhere is None:
        return
    # Only its lock tells whether it lives, and only where all hosts share locks.
    with contextlib.suppress(FileNotFoundError), open(records(config).lock(SUPERVISOR)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadySupervised(
                f"{config.directory} is supervised on {elsewhere.host} (pid {elsewhere.pid})",
                hint=f"work there, or stop it: ssh {elsewhere.host} motoko kill {config.directory}",
            ) from None


def living_daemons(runtime: Runtime) -> list[LivingDaemon]:
    """The workflow's daemons that live on this host, by name: those that their records name.

    Where the supervisor was killed, also those that it has started and that have no record yet.
    """
    supervisor = _identity(runtime.record(SUPERVISOR))
    was_killed = supervisor is not None and supervisor.is_here and not supervisor.alive
    found = [LivingDaemon(*each) for each in unrecorded_daemons(runtime)] if was_killed else []
    for path in sorted((runtime.wf / "daemons").glob("*.json")):
        identity = _identity(path)
        name = str((read_json(path) or {}).get("name", ""))
        if identity is not None and identity.alive and name not in ("", SUPERVISOR):
            found.append(LivingDaemon(name, identity))
    return sorted(set(found), key=lambda daemon: daemon.name)


def _identity(record: Path) -> Identity | None:
    try:
        return Identity.from_dict(read_json(record) or {})
    except (KeyError, ValueError):
        return None


def uptime_s(identity: Identity) -> float:
    """How long a process of this host has been running."""
    started = identity.start_ticks / os.sysconf("SC_CLK_TCK")
    return round(max(time.clock_gettime(time.CLOCK_BOOTTIME) - started, 0.0), 1)


def check_startable(
    config: WorkflowConfig, launchers: bool = True, generator: str | None = None
) -> None:
    """Raise what keeps a supervisor from being started here, before anything is changed."""
    if "BLACKDYNAMITE_RUN_ID" in os.environ:
        raise NoSupervisor(
            f"{config.directory} has no supervisor, and a run does not start one",
            hint=f"start it outside of runs: motoko supervise {config.directory}",
        )
    refuse_elsewhere(config)
    if launchers:
        check_generators(config, generator)
    for study in config.studies.values():
        if study.tcp_address and not study.settings.get("insecure_tcp"):
            raise ConfigError(
                f"{config.path}: task_managers.{study.name}.host: {study.host} is TCP, where "
                "anybody who reaches the port can run code in your processes",
                hint="use a local path, or accept the risk with `insecure_tcp: true` beside host",
            )
    missing = [s.name for s in config.studies.values() if s.is_local and not s.created]
    if missing:
        names = ", ".join(missing)
        raise NotCreated(
            f"no database yet: {names} (in {config.path})",
            hint=f"motoko create {config.directory}",
        )


def start_detached(
    config_path: Path | str,
    *,
    launchers: bool = True,
    slots: int | None = None,
    generator: str | None = None,
    announce: Announce | None = None,
    timeout: float | None = None,
) -> None:
    """Have a supervisor for the workflow, and return when all its daemons are ready.

    Starts one in the background unless one is there; adds the launchers it lacks if they are
    wanted. Daemons that were stopped on purpose are not waited for. ``announce`` gets each line
    that the new supervisor reports until it is ready. Raises
    ``MotokoError`` with the end of the log if a daemon cannot be started, ``NotCreated`` or
    ``ConfigError`` for what is wrong before.
    """
    config = load(config_path)
    patience = config.supervision.started_s if timeout is None else timeout
    deadline = time.monotonic() + patience
    if not is_running(config):
        check_startable(config, launchers, generator)
        runtime = prepare(config)
        if _start(config, runtime, launchers, slots, generator, announce or _ignore, deadline):
            return
        # Somebody else was faster: that supervisor will do as well.
    if launchers:
        wait_for_answer(config, deadline)
        ask(records(config), "add_launchers", slots=slots, generator=generator)
    status = wait_until_ready(config, deadline)
    if announce is not None:
        announce(f"already running: pid {status['supervisor']['pid']}")


def _ignore(line: str) -> None:
    """The default of ``announce``."""


def _start(
    config: WorkflowConfig,
    runtime: Runtime,
    launchers: bool,
    slots: int | None,
    generator: str | None,
    announce: Announce,
    deadline: float,
) -> bool:
    """Start a supervisor and follow its report; ``False`` if there is one already."""
    command = [sys.executable, "-P", "-m", "motoko.supervisor", str(config.path)]
    command += [] if launchers else ["--no-launchers"]
    command += [] if slots is None else ["--slots", str(slots)]
    command += [] if generator is None else ["--generator", generator]
    reading, writing = os.pipe()
    try:
        try:
            settings = config.supervision
            rotate_if_long(runtime.log(SUPERVISOR), settings.log_size, settings.log_files)
            with open(runtime.log(SUPERVISOR), "ab") as log:
                process = subprocess.Popen(
                    [*command, "--report", str(writing)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=config.directory,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
        finally:
            os.close(writing)
        process.wait()  # it forks at once, so that the supervisor is nobody's child
        for message in _messages(reading, deadline):
            if "line" in message:
                announce(str(message["line"]))
            if message.get("ready"):
                return True
            if message.get("already_running"):
                return False
            if "failed" in message:
                raise MotokoError(str(message["failed"]), hint=_ps_hint(config))
    finally:
        os.close(reading)
    raise MotokoError(
        f"the supervisor ended while it was starting; the end of {runtime.log(SUPERVISOR)}:\n"
        + tail(runtime.log(SUPERVISOR)),
    )


def _messages(reading: int, deadline: float) -> Iterator[dict[str, Any]]:
    """The JSON lines from a pipe until it is closed; raises ``MotokoError`` at the deadline."""
    text = b""
    while True:
        readable, _, _ = select.select([reading], [], [], max(deadline - time.monotonic(), 0))
        if not readable:
            raise MotokoError("the daemons are not ready in time", hint="see `motoko ps`")
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            return
        *lines, text = (text + chunk).split(b"\n")
        yield from map(json.loads, lines)


def wait_for_answer(config: WorkflowConfig, deadline: float) -> dict[str, Any]:
    """The status of the running supervisor, which may just be starting.

    Raises ``MotokoError`` if it does not answer before the deadline (``time.monotonic``).
    """
    while True:
        status = supervisor_status(config, timeout=2.0)
        if status is not None:
            return status
        if time.monotonic() > deadline:
            identity = supervisor_identity(config)
            who = f"pid {identity.pid}" if identity else "on another host?"
            raise MotokoError(
                f"a supervisor of {config.directory} holds its lock but does not answer ({who})",
                hint="`motoko kill` ends it; `kill -9` leaves its daemons to the next supervisor",
            )
        time.sleep(POLL_S)


def wait_until_ready(config: WorkflowConfig, deadline: float) -> dict[str, Any]:
    """The status of the running supervisor as soon as all its daemons are ready.

    Those that were stopped on purpose are not waited for. Raises ``MotokoError`` with the end of
    its log as soon as one has failed, or at the deadline.
    """

    def lacking(daemon: dict[str, Any]) -> bool:
        needed = daemon["kind"] != "orchestrator"
        return needed and daemon["state"] not in ("ready", "stopped")

    return _wait(config, deadline, lacking)


def wait_for_daemons(
    config: WorkflowConfig, deadline: float, before: Mapping[str, int | None]
) -> dict[str, Any]:
    """The same for some daemons alone: until they are ready, with other pids than ``before``."""

    def lacking(daemon: dict[str, Any]) -> bool:
        name = daemon["name"]
        again = daemon["state"] == "ready" and daemon["pid"] != before.get(name)
        return name in before and not again and daemon["state"] != "ended"

    return _wait(config, deadline, lacking)


def _wait(
    config: WorkflowConfig, deadline: float, lacking: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    while True:
        status = wait_for_answer(config, deadline)
        left = [daemon for daemon in status["daemons"] if lacking(daemon)]
        if not left and status["supervisor"]["state"] != "stopping":
            return status
        for daemon in left:
            if daemon["state"] == "failed":
                raise MotokoError(
                    f"{daemon['name']} has failed ({daemon['last_exit']}); the end of "
                    f"{daemon['log']}:\n{tail(Path(daemon['log']))}",
                    hint=_ps_hint(config),
                )
        if time.monotonic() > deadline:
            waiting = ", ".join(f"{d['name']} ({d['state']})" for d in left)
            raise MotokoError(
                f"not ready in time: {waiting or 'it is being stopped'}", hint=_ps_hint(config)
            )
        time.sleep(POLL_S)


def stop(config: WorkflowConfig, announce: Announce | None = None) -> None:
    """Stop the workflow's supervisor, its daemons and their local runs, if there are any.

    Returns when all of them have ended, whether their supervisor lives, is frozen or was killed.
    ``announce`` gets a line for each that was stopped. Raises ``MotokoError`` if something cannot
    even be killed.
    """
    from motoko import stopping

    stopping.stop(config, announce or _ignore)


def remove_leftovers(config: WorkflowConfig, runtime: Runtime) -> None:
    """Remove the records of what has ended, and the sockets. The caller holds the lock."""
    living = {runtime.record(daemon.name) for daemon in living_daemons(runtime)}
    # Also what somebody who was killed has written in part.
    ended = {*(runtime.wf / "daemons").glob("*.json*")} - living
    for path in ended if living else {*ended, *runtime.wf.glob(f"*{runtime.restarts.name}*")}:
        with contextlib.suppress(OSError):  # a read-only disk: they do no harm
            path.unlink()
    if living:
        return  # something cannot even be killed (a hung file system): it may hold a socket
    with contextlib.suppress(OSError):  # a cleaner of temporary files was faster
        for path in runtime.sockets.iterdir():
            if path.is_socket():
                path.unlink(missing_ok=True)
        # A directory that the user has named is the user's.
        if config.runtime_dir is None and not any(runtime.sockets.iterdir()):
            runtime.sockets.rmdir()


def _ps_hint(config: WorkflowConfig) -> str:
    return f"the other daemons go on: see `motoko ps {config.directory}`; `motoko kill` stops them"
