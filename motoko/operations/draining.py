"""Letting runs end, while launchers start no more runs."""

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
    """Keeps the launchers of a study, or of all, from starting runs, until this process ends.

    Several processes may pause the launchers at once: each pause is independent of the others.
    """

    def __init__(self, config: WorkflowConfig, study: str | None) -> None:
        self._config = config
        self._study = study
        self._runtime = daemon_records.records(config)
        self._signals = PauseSignals()
        self._asked: int | None = None  # the pid of the supervisor that knows of the pause
        self._ask_again_at = math.inf  # a supervisor on another host cannot see that we are alive
        self._by_ourselves = False  # the supervisor's version does not support pauses

    def hold(self, status: Status) -> bool:
        """Ask for the pause, unless that was done; returns whether the launchers are paused."""
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
        """End the pause; returns whether the launchers start runs again: no other pause is left."""
        if self._asked is None:
            return True
        try:
            if not self._by_ourselves:
                answer = client.ask(self._runtime, ResumeLaunchersRequest(this_process()), ANSWER_S)
                return answer is None or not answer.paused
        except RequestRefused:  # the supervisor is being stopped
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
    """Have the launchers (of a study, or all) start no more runs, and wait for the running ones.

    If this is interrupted, the launchers start runs again, unless another process has paused them,
    too. With ``resume=False`` they stay paused: the workflow will be stopped in any case.

    Raises:
        MotokoError: no supervisor answers that could tell which runs are running.
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
            announce("the launchers stay paused: another command waits for the runs, too")
        raise


def pause_launchers(config: WorkflowConfig, study: str | None) -> None:
    """Have the launchers (of a study, or all) start no more runs until this process has ended.

    Returns when the launchers report that they are paused, or after some seconds.
    """
    pause = LauncherPause(config, study)
    for status in client.statuses(config, time.monotonic() + ANSWER_S):
        if status is None or pause.hold(status):
            return
