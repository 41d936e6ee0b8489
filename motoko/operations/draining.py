"""Letting runs end: launchers start nothing more meanwhile."""

from __future__ import annotations

import math
import signal
import socket
import time
from collections.abc import Callable

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.launcher_pauses import (
    RENEWED_S,
    Pause,
    PauseSignals,
    read_pauses,
    this_process,
    with_pause,
    without_holder,
    write_pauses,
)
from motoko.control.protocol import (
    DaemonInfo,
    PauseLaunchersRequest,
    RequestRefused,
    ResumeLaunchersRequest,
    Status,
)
from motoko.errors import SupervisorSilent
from motoko.host.identity import Identity

ANSWER_S = 5.0


class LauncherPause:
    """Has the launchers of a study, or all, start nothing more, until this process ends.

    Whether others want the same makes no difference to them, nor to us.
    """

    def __init__(self, config: WorkflowConfig, study: str | None) -> None:
        self._config = config
        self._study = study
        self._runtime = daemon_records.records(config)
        self._signals = PauseSignals()
        self._asked: int | None = None  # the pid of the supervisor that knows of it
        self._ask_again_at = math.inf  # one of another host does not see us live
        self._by_ourselves = False  # the supervisor is of a version that cannot do it

    def hold(self, status: Status) -> bool:
        """Ask for it, unless that was done; whether it has come to pass."""
        studies = None if self._study is None else [self._study]
        if self._asked != status.supervisor.pid or time.monotonic() >= self._ask_again_at:
            try:
                client.ask(self._runtime, PauseLaunchersRequest(this_process(), studies), ANSWER_S)
            except RequestRefused:
                if status.supervisor.state == "stopping":
                    return False
                self._by_ourselves = True
                pause = Pause(this_process(), studies)
                write_pauses(self._runtime, with_pause(read_pauses(self._runtime), pause))
            self._asked = status.supervisor.pid
            if status.supervisor.host != socket.gethostname():
                self._ask_again_at = time.monotonic() + RENEWED_S
        return self._is_so(status, wanted=True)

    def release(self) -> bool:
        """Take it back; whether the launchers start runs again, since nobody else paused them."""
        if self._asked is None:
            return True
        try:
            if not self._by_ourselves:
                answer = client.ask(self._runtime, ResumeLaunchersRequest(this_process()), ANSWER_S)
                return answer is None or not answer.paused
        except RequestRefused:  # it is being stopped
            return True
        others = without_holder(read_pauses(self._runtime), this_process())
        write_pauses(self._runtime, others)
        for status in client.statuses(self._config, time.monotonic() + ANSWER_S):
            if others or status is None or self._is_so(status, wanted=False):
                break
        return not others

    def _is_so(self, status: Status, *, wanted: bool) -> bool:
        launchers = [
            daemon
            for daemon in status.of_kind(LAUNCHER, self._study)
            if daemon.state not in ("stopped", "failed")
        ]
        if self._by_ourselves:
            for launcher in launchers:
                self._tell(launcher, wanted)
        return all(launcher.counts.get("paused") == int(wanted) for launcher in launchers)

    def _tell(self, launcher: DaemonInfo, wanted: bool) -> None:
        says, pid = launcher.counts.get("paused"), launcher.pid
        if says is None or pid is None or launcher.state != "ready":
            return
        if self._signals.is_due(pid, says=bool(says), wanted=wanted):
            identity = Identity.of(pid)
            if identity is not None:
                identity.signal(signal.SIGUSR2)


def let_runs_end(
    config: WorkflowConfig,
    study: str | None,
    announce: Callable[[str], None],
    *,
    resume: bool = True,
) -> None:
    """Have the launchers (of a study, or all) start nothing more, and wait for what runs.

    If it is interrupted they start runs again, unless somebody else has paused them, too; or with
    ``resume=False``, if the workflow is to be stopped in any case.

    Raises:
        MotokoError: there is no supervisor that could tell what runs.
    """
    pause = LauncherPause(config, study)
    shown = 0
    try:
        for status in client.statuses(config):
            if status is None:
                supervisor_lock.refuse_elsewhere(config)
                if daemon_records.living_daemons(daemon_records.records(config)):
                    raise SupervisorSilent(
                        "no supervisor answers: what runs is not known",
                        hint="`motoko supervise --detach` looks after it again",
                    )
                return
            are_paused = pause.hold(status)
            running = sum(
                launcher.counts.get("running", 0) for launcher in status.of_kind(LAUNCHER, study)
            )
            if are_paused and not running:
                return
            if running != shown:
                shown = running
                announce(f"waiting for {running} run{'s' * (running != 1)}")
    except BaseException:
        if not resume:
            pass
        elif pause.release():
            announce("the launchers start runs again")
        else:
            announce("the launchers stay paused: somebody else waits for the runs, too")
        raise


def pause_launchers(config: WorkflowConfig, study: str | None) -> None:
    """Have the launchers (of a study, or all) start nothing more until this process has ended.

    Returns when they say that they do not, or after some seconds.
    """
    pause = LauncherPause(config, study)
    for status in client.statuses(config, time.monotonic() + ANSWER_S):
        if status is None or pause.hold(status):
            return
