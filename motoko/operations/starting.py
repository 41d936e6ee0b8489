"""Starting a supervisor in the background, and waiting until its daemons are ready."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig, daemon_kinds, load
from motoko.control.client import ask, is_supervised, statuses
from motoko.control.daemon_records import (
    SUPERVISOR,
    records,
    refuse_guests,
    remove_sockets,
    supervisor_identity,
)
from motoko.control.protocol import AddLaunchersRequest, DaemonInfo, Status, SupervisorInfo
from motoko.control.runtime_directories import prepare
from motoko.control.signs_of_life import signs
from motoko.control.supervisor_lock import may_take_over, supervised_elsewhere, supervisor_lock
from motoko.errors import (
    ConfigError,
    MotokoError,
    NoSupervisor,
    NotCreated,
    NotReady,
    NotStopped,
    SupervisorSilent,
)
from motoko.host.accounts import own_name
from motoko.host.identity import check_kernel, gone
from motoko.host.locks import check_locks
from motoko.host.log_files import rotate_if_long
from motoko.host.log_reading import tail
from motoko.layout import Runtime, recorded_directory
from motoko.operations import remote_access
from motoko.operations.generator_check import check_generators
from motoko.operations.reconfiguring import take_over

Announce = Callable[[str], None]
# What a starter sends when it stops waiting but does not want the supervisor to end.
GO_ON = b"g"


def check_startable(
    config: WorkflowConfig,
    launchers: bool = True,
    generator: str | None = None,
    *,
    takeover: bool = False,
    watching: bool = False,
) -> None:
    """Raise whatever prevents starting a supervisor here, before anything is changed.

    Args:
        config: the workflow.
        launchers: whether the supervisor will have launchers.
        generator: the launchers' generator, instead of motoko.yaml's.
        takeover: whether to start a supervisor even if the last one was on another host, now dead.
        watching: whether to make sure of the latter by watching, which takes some seconds.
    """
    if "BLACKDYNAMITE_RUN_ID" in os.environ:
        raise NoSupervisor(
            f"{config.directory} has no supervisor, and a run does not start one",
            hint=f"start it outside of runs: motoko supervise {config.directory}",
        )
    for check in checks_of_place(config):
        check()
    seen = signs(config, watching=watching)
    if seen is not None and not may_take_over(seen, asked=takeover):
        raise supervised_elsewhere(config, seen)
    for check in checks_of_config(config, launchers, generator):
        check()
    missing = [s.name for s in config.studies.values() if s.is_local and not s.created]
    if missing:
        names = ", ".join(missing)
        raise NotCreated(
            f"no database yet: {names} (in {config.path})",
            hint=f"motoko create --missing {config.directory}",
        )


def checks_of_place(config: WorkflowConfig) -> list[Callable[[], object]]:
    """Checks, each of which raises ``MotokoError`` if no workflow can be supervised here."""
    local = [study.directory for study in config.studies.values() if study.is_local]
    locks = [partial(check_locks, directory) for directory in (config.directory, *local)]
    return [check_kernel, own_name, *locks]


def checks_of_config(
    config: WorkflowConfig, launchers: bool = True, generator: str | None = None
) -> list[Callable[[], object]]:
    """Checks, each of which raises ``MotokoError`` if this very workflow cannot be supervised.

    Args: see :func:`check_startable`.
    """

    def address() -> None:
        if remote_access.is_on(config, launchers=launchers, generator=generator):
            remote_access.check_address(config)

    generators = [partial(check_generators, config, generator)] if launchers else []
    return [*generators, address, partial(_check_hosts, config)]


def _check_hosts(config: WorkflowConfig) -> None:
    for study in config.studies.values():
        if study.tcp_address and not study.settings.get("insecure_tcp"):
            raise ConfigError(
                f"{config.path}: task_managers.{study.name}.host: {study.host} is TCP, where "
                "anybody who reaches the port can run code in your processes",
                hint="use a local path, or accept the risk with `insecure_tcp: true` beside host",
            )


def start_detached(
    config_path: Path | str,
    *,
    launchers: bool = True,
    slots: int | None = None,
    generator: str | None = None,
    takeover: bool = False,
    announce: Announce | None = None,
    timeout: float | None = None,
) -> None:
    """Make sure that the workflow has a supervisor, and return when all its daemons are ready.

    Starts a supervisor in the background unless one is running; adds missing launchers if they are
    wanted. Daemons that were stopped on purpose are not waited for. With ``takeover``, the new
    supervisor ends daemons that BlackDynamite, or motoko 0.1.4, has started for the workflow, and
    takes the workflow over from another host that is dead. ``announce`` gets each line that the new
    supervisor reports until it is ready. Raises ``MotokoError``, with the end of the log, if a
    daemon cannot be started, and ``NotCreated`` or ``ConfigError`` for faults found before that.
    """
    config = load(config_path)
    patience = config.supervision.started_s if timeout is None else timeout
    deadline = time.monotonic() + patience
    refuse_guests(config)
    let_moved_end(config, announce or _ignore)
    if not is_supervised(config):
        check_startable(config, launchers, generator, takeover=takeover)
        runtime = prepare(config, announce or _ignore)
        options = [] if launchers else ["--no-launchers"]
        options += [] if slots is None else ["--slots", str(slots)]
        options += [] if generator is None else ["--generator", generator]
        options += ["--takeover"] if takeover else []
        if _start(config, runtime, options, announce or _ignore, deadline):
            return
        # Another process was faster: its supervisor is used.
    if launchers:
        wait_for_answer(config, deadline)
        take_over(config)
        remote = remote_access.is_on(config, generator=generator)
        ask(records(config), AddLaunchersRequest(slots=slots, generator=generator, remote=remote))
    status = wait_until_ready(config, deadline)
    if announce is not None:
        announce(f"already running: {who(status.supervisor)}")


def let_moved_end(config: WorkflowConfig, say: Announce) -> None:
    """Wait until the supervisor of a directory that was moved meanwhile notices the move, and ends.

    Raises ``MotokoError`` if it does not end.
    """
    before, supervisor = recorded_directory(config.directory), supervisor_identity(config)
    if supervisor is None or before is None or before.is_at(Path(before.path)):
        return
    say(f"{config.directory} was moved: its supervisor ends (pid {supervisor.pid})")
    if not gone([supervisor], config.supervision.stopped_s):
        raise NotStopped(
            f"the supervisor of {before.path}, which was moved, does not end "
            f"(pid {supervisor.pid})",
            hint=f"motoko kill {config.directory}",
        )


def _ignore(line: str) -> None:
    """The default of ``announce``."""


def _start(
    config: WorkflowConfig,
    runtime: Runtime,
    options: Sequence[str],
    announce: Announce,
    deadline: float,
) -> bool:
    """Start a supervisor and follow its report; ``False`` if there is one already."""
    command = [sys.executable, "-P", "-m", "motoko.supervisor", str(config.path), *options]
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            settings = config.supervision
            rotate_if_long(runtime.log(SUPERVISOR), settings.log_size, settings.log_files)
            with open(runtime.log(SUPERVISOR), "ab") as log:
                process = subprocess.Popen(
                    [*command, "--report", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=config.directory,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        process.wait()  # it forks at once, so that the supervisor is not our child
        for message in _messages(ours, deadline):
            if "line" in message:
                announce(str(message["line"]))
            if message.get("ready"):
                return True
            if message.get("already_running"):
                return False
            if "failed" in message:
                error = MotokoError(str(message["failed"]))
                error.hint = message.get("hint", _ps_hint(config))
                error.exit_code = message.get("exit_code", error.exit_code)
                error.short_name = message.get("short_name", NotReady.short_name)
                raise error
    except MotokoError:
        with contextlib.suppress(OSError):
            ours.send(GO_ON)
        raise
    except BaseException:
        _interrupt(ours, config.supervision.stopped_s)
        # The supervisor may have ended too early to remove its sockets itself.
        with contextlib.suppress(MotokoError, OSError), supervisor_lock(runtime):
            remove_sockets(config, runtime)
        raise
    finally:
        ours.close()
    raise NotReady(
        f"the supervisor ended while it was starting; the end of {runtime.log(SUPERVISOR)}:\n"
        + tail(runtime.log(SUPERVISOR)),
    )


def _messages(reading: socket.socket, deadline: float) -> Iterator[dict[str, Any]]:
    """The JSON lines from a pipe until it is closed; raises ``MotokoError`` at the deadline."""
    text = b""
    while True:
        readable, _, _ = select.select([reading], [], [], max(deadline - time.monotonic(), 0))
        if not readable:
            raise NotReady("the daemons are not ready in time", hint="see `motoko ps`")
        chunk = reading.recv(1 << 16)
        if not chunk:
            return
        *lines, text = (text + chunk).split(b"\n")
        yield from map(json.loads, lines)


def _interrupt(starting: socket.socket, patience: float) -> None:
    """End a supervisor that is just starting, however far it is; returns when it has ended."""
    with contextlib.suppress(OSError):  # it has ended already
        starting.shutdown(socket.SHUT_WR)
        starting.settimeout(patience)
        while starting.recv(1 << 16):
            pass


def wait_for_answer(config: WorkflowConfig, deadline: float) -> Status:
    """The status of the running supervisor, which may just be starting.

    Raises ``MotokoError`` if it does not answer before the deadline (``time.monotonic``).
    """
    refuse_guests(config)
    for status in statuses(config, deadline):
        if status is not None:
            return status
    raise _no_answer(config)


def wait_until_ready(config: WorkflowConfig, deadline: float) -> Status:
    """The status of the running supervisor as soon as all its daemons are ready.

    Daemons that were stopped on purpose are not waited for. Raises ``MotokoError`` as soon as a
    daemon has failed (with the end of its log), or at the deadline.
    """

    def is_lacking(daemon: DaemonInfo) -> bool:
        needed = daemon.kind in daemon_kinds.of_workflow()
        return needed and daemon.state not in ("ready", "stopped")

    return _wait(config, deadline, is_lacking)


def wait_for_daemons(
    config: WorkflowConfig, deadline: float, before: Mapping[str, int | None]
) -> Status:
    """The status as soon as some daemons are ready, with other pids than in ``before``.

    Raises what :func:`wait_until_ready` raises.
    """

    def is_lacking(daemon: DaemonInfo) -> bool:
        again = daemon.state == "ready" and daemon.pid != before.get(daemon.name)
        return daemon.name in before and not again and daemon.state != "ended"

    return _wait(config, deadline, is_lacking)


def _wait(
    config: WorkflowConfig, deadline: float, is_lacking: Callable[[DaemonInfo], bool]
) -> Status:
    status: Status | None = None
    left: list[DaemonInfo] = []
    for status in statuses(config, deadline):
        if status is None:
            continue
        left = [daemon for daemon in status.daemons if is_lacking(daemon)]
        if not left and status.supervisor.state != "stopping":
            return status
        for daemon in left:
            if daemon.state == "failed":
                raise NotReady(
                    f"{daemon.name} has failed ({daemon.last_exit}); the end of "
                    f"{daemon.log}:\n{tail(Path(daemon.log))}",
                    hint=_ps_hint(config),
                )
    if status is None:
        raise _no_answer(config)
    waiting = ", ".join(f"{daemon.name} ({daemon.state})" for daemon in left)
    raise NotReady(f"not ready in time: {waiting or 'it is being stopped'}", hint=_ps_hint(config))


def _no_answer(config: WorkflowConfig) -> MotokoError:
    identity = supervisor_identity(config)
    who = f"pid {identity.pid}" if identity else "on another host?"
    return SupervisorSilent(
        f"a supervisor of {config.directory} holds its lock but does not answer ({who})",
        hint="`motoko kill` ends it; `kill -9` leaves its daemons to the next supervisor",
    )


def who(supervisor: SupervisorInfo) -> str:
    """A supervisor in words: its pid, and its host if that is not this one."""
    elsewhere = "" if supervisor.host == socket.gethostname() else f" on {supervisor.host}"
    return f"pid {supervisor.pid}{elsewhere}"


def _ps_hint(config: WorkflowConfig) -> str:
    return f"the other daemons go on: see `motoko ps {config.directory}`; `motoko kill` stops them"
