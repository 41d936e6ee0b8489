"""The requests of the control socket: starting, stopping and restarting daemons.

A request is checked as a whole before anything is done. The answer says what has been begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from socket import gethostname

import msgspec

from motoko.batch.registry import is_available
from motoko.config import WorkflowConfig, daemon_kinds
from motoko.config.daemon_kinds import GATE
from motoko.control.protocol import (
    AddLaunchersRequest,
    AnyRequest,
    DaemonsRestarting,
    DaemonsRetried,
    DaemonsStarted,
    DaemonsStopping,
    Holder,
    LaunchersAdded,
    OrchestratorStarted,
    PauseLaunchersRequest,
    RequestRefused,
    RestartDaemonsRequest,
    ResumeLaunchersRequest,
    RetryFailedRequest,
    StartDaemonsRequest,
    StartOrchestratorRequest,
    StopDaemonsRequest,
)
from motoko.supervisor import daemon_specs
from motoko.supervisor.crew import Crew
from motoko.supervisor.daemon_specs import LauncherOptions
from motoko.supervisor.table import State

STOPPED = "stopped by request"
RESTARTED = "restarted by request"


class Requests:
    """Carries out requests on a crew."""

    def __init__(self, config: WorkflowConfig, crew: Crew) -> None:
        self._config = config
        self._crew = crew

    def answer(self, request: AnyRequest) -> msgspec.Struct:
        """Do what is asked for; raises ``RequestRefused`` if that is impossible."""
        match request:
            case AddLaunchersRequest():
                return self._add_launchers(request)
            case RetryFailedRequest():
                return self._retry_failed()
            case StartDaemonsRequest(names=names):
                return DaemonsStarted(self._start(self._checked(names)))
            case StopDaemonsRequest(names=names, end_runs=end_runs):
                return self._stop(self._checked(names), end_runs=end_runs)
            case RestartDaemonsRequest(names=names):
                return self._restart(self._checked(names))
            case PauseLaunchersRequest(holder=holder, studies=studies):
                return self._crew.pausing.pause(holder, studies)
            case ResumeLaunchersRequest(holder=holder):
                return self._crew.pausing.resume(holder)
            case StartOrchestratorRequest(file=file):
                return self._start_orchestrator(Path(file))
        raise RequestRefused(f"unknown command: {request.__struct_config__.tag}")

    def _checked(self, names: list[str]) -> list[str]:
        known = {*self._crew.members, *(s.name for s in daemon_specs.all_daemons(self._config))}
        if unknown := [name for name in names if name not in known]:
            raise RequestRefused(f"there is no daemon {', '.join(unknown)}")
        if GATE in names and GATE not in self._crew.members:
            raise RequestRefused("other hosts do not reach this workflow: there is no gate")
        return names

    def _add_launchers(self, request: AddLaunchersRequest) -> LaunchersAdded:
        """Add the launchers of some studies, or of all, and start again what they need.

        Launchers that have other options are restarted with the requested ones.
        """
        asked, studies = LauncherOptions(request.slots, request.generator), request.studies
        if asked.generator is not None and not is_available(asked.generator):
            raise RequestRefused(f"there is no generator {asked.generator!r}")
        wanted, restarted = [], list[str]()
        if request.remote:
            wanted.append(daemon_specs.gate(self._config))
        for study in self._config.local_studies:
            if studies is not None and study not in studies:
                continue
            spec = self._launcher(study, asked)
            wanted.append(spec)
            member = self._crew.members.get(spec.name)
            if member is None or member.spec.command == spec.command:
                continue
            member.spec = spec
            if member.entry.state is not State.STOPPED:
                restarted.append(spec.name)
        if restarted:
            options = " ".join(asked.arguments).replace("--", "")
            self._crew.restart(restarted, f"restarted with {options}")
        return LaunchersAdded(self._have(wanted), restarted)

    def _launcher(self, study: str, asked: LauncherOptions) -> daemon_specs.Spec:
        """A study's launcher with the requested options, and its present ones for the rest.

        A new launcher has as many slots as the other launchers: they share them.
        """
        present = {
            member.spec.study: LauncherOptions.of(member.spec.command)
            for member in self._crew.members.values()
            if member.spec.kind == daemon_kinds.LAUNCHER
        }
        slots = next((options.slots for options in present.values() if options.slots), None)
        options = asked.over(present.get(study, LauncherOptions(slots)))
        return daemon_specs.launcher(self._config, study, options)

    def _retry_failed(self) -> DaemonsRetried:
        """Start daemons again that were given up or stopped; forget launchers that were stopped."""
        for member in list(self._crew.members.values()):
            if member.spec.kind == daemon_kinds.LAUNCHER and member.entry.state is State.STOPPED:
                self._crew.forget(member.name)
        wanted = [
            member.name
            for member in self._crew.members.values()
            if member.entry.state is not State.ENDED
            and (member.spec.is_missed or member.entry.state is State.FAILED)
        ]
        return DaemonsRetried(self._crew.want(wanted))

    def _start(self, names: Sequence[str]) -> list[str]:
        """Start daemons, and those that they need."""
        specs = {spec.name: spec for spec in daemon_specs.all_daemons(self._config)}
        specs |= {name: member.spec for name, member in self._crew.members.items()}
        return self._have(specs[name] for name in names)

    def _have(self, specs: Iterable[daemon_specs.Spec]) -> list[str]:
        """Start some daemons and those that they need; returns those that did not run already."""
        started: list[str] = []
        for spec in specs:
            if spec.name not in self._crew.members:
                self._crew.add(spec)
                started.append(spec.name)
            names = [*daemon_specs.needs(spec), spec.name]
            started += self._crew.want([n for n in names if n in self._crew.members])
        self._crew.advance()
        return list(dict.fromkeys(started))

    def _start_orchestrator(self, file: Path) -> OrchestratorStarted:
        """Start a detached orchestrator, as its file asks for."""
        wanted = self._crew.detached.wanted(file)
        held_by = self._crew.detached.holder(wanted)
        there = self._crew.members.get(wanted.name)
        if held_by is None and there is not None and not there.entry.over:
            held_by = Holder(gethostname(), there.entry.pid)
        if held_by is not None:
            return OrchestratorStarted(held_by=held_by)
        self._crew.detached.accept(file, wanted)
        if there is not None:
            self._crew.forget(wanted.name)
        return OrchestratorStarted(self._have([wanted]))

    def _stop(self, names: Sequence[str], *, end_runs: bool) -> DaemonsStopping:
        settings, there = self._config.supervision, self._there(names)
        self._crew.stop(there, settings.stop_order if end_runs else settings.leave_order, STOPPED)
        return DaemonsStopping(there)

    def _restart(self, names: Sequence[str]) -> DaemonsRestarting:
        """Restart daemons, and start what they need. The answer has the pids before the restart."""
        there = self._there(names)
        pids = {name: self._crew.members[name].entry.pid for name in there}
        self._crew.restart(there, RESTARTED)
        self._start(names)
        return DaemonsRestarting({name: pids.get(name) for name in names})

    def _there(self, names: Sequence[str]) -> list[str]:
        return [name for name in dict.fromkeys(names) if name in self._crew.members]
