"""What the control socket is asked for: starting, stopping and restarting daemons.

A request is checked as a whole before anything is done. An answer is what has been begun, or
``{"error": ...}``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from socket import gethostname
from typing import Any

from motoko.config import WorkflowConfig
from motoko.detached import KIND
from motoko.supervisor import daemons
from motoko.supervisor.crew import Crew
from motoko.supervisor.detached import Refused
from motoko.supervisor.table import State

STOPPED = "stopped by request"
RESTARTED = "restarted by request"


class Requests:
    """Does what is asked for to a crew."""

    def __init__(self, config: WorkflowConfig, crew: Crew) -> None:
        self._config = config
        self._crew = crew

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for."""
        match request["command"]:
            case "add_launchers":
                return self._add_launchers(
                    request.get("slots"), request.get("studies"), request.get("generator")
                )
            case "retry_failed":
                return self._retry_failed()
            case "start_daemons":
                return self._check(request.get("names")) or self._start(request["names"])
            case "stop_daemons":
                return self._check(request.get("names")) or self._stop(
                    request["names"], end_runs=request.get("end_runs", True) is not False
                )
            case "restart_daemons":
                return self._check(request.get("names")) or self._restart(request["names"])
            case "start_orchestrator":
                return self._start_orchestrator(request.get("file"))
            case unknown:
                return {"error": f"unknown command: {unknown}"}

    def _check(self, names: Any) -> dict[str, Any] | None:
        """What is wrong with the names of a request, if anything is."""
        if not _are_strings(names):
            return {"error": f"names has to be a list of daemons' names: {names!r}"}
        known = {*self._crew.members, *(s.name for s in daemons.all_daemons(self._config))}
        if unknown := [name for name in names if name not in known]:
            return {"error": f"there is no daemon {', '.join(unknown)}"}
        return None

    def _add_launchers(self, slots: Any, studies: Any, generator: Any) -> dict[str, Any]:
        """Add the launchers of some studies, or of all, and start again what they need.

        Those that have another generator are restarted with the one that is asked for.
        """
        if slots is not None and (isinstance(slots, bool) or not isinstance(slots, int)):
            return {"error": f"slots has to be a whole number: {slots!r}"}
        if studies is not None and not _are_strings(studies):
            return {"error": f"studies has to be a list of names: {studies!r}"}
        if generator is not None and generator not in ("bash", "slurm", "bashCoat", "slurmCoat"):
            return {"error": f"there is no generator {generator!r}"}
        options = daemons.LauncherOptions(slots, generator)
        wanted = [
            spec
            for spec in daemons.launchers(self._config, options)
            if studies is None or spec.study in studies
        ]
        for spec in wanted:
            member = self._crew.members.get(spec.name)
            if member is None:
                continue
            if slots is not None and member.entry.state is State.STOPPED:
                member.spec = spec
            elif generator is not None and member.spec.option("--generator") != generator:
                member.spec = spec
                if member.entry.state is not State.STOPPED:
                    self._crew.restart([spec.name], f"restarted with generator {generator}")
        return {"added": self._have(wanted)}

    def _retry_failed(self) -> dict[str, Any]:
        """Start again what was given up or stopped; launchers that were stopped are forgotten."""
        for member in list(self._crew.members.values()):
            if member.spec.kind == "launcher" and member.entry.state is State.STOPPED:
                self._crew.forget(member.name)
        wanted = [
            member.name
            for member in self._crew.members.values()
            if member.entry.state is not State.ENDED
            and (member.spec.kind not in ("launcher", KIND) or member.entry.state is State.FAILED)
        ]
        return {"retried": self._crew.want(wanted)}

    def _start(self, names: list[str]) -> dict[str, Any]:
        """Start daemons, and what they need."""
        specs = {spec.name: spec for spec in daemons.all_daemons(self._config)}
        specs |= {name: member.spec for name, member in self._crew.members.items()}
        return {"started": self._have(specs[name] for name in names)}

    def _have(self, specs: Iterable[daemons.Spec]) -> list[str]:
        """Have some daemons, and what they need; returns which of them are started."""
        started: list[str] = []
        for spec in specs:
            if spec.name not in self._crew.members:
                self._crew.add(spec)
                started.append(spec.name)
            names = [*daemons.needs(spec), spec.name]
            started += self._crew.want([n for n in names if n in self._crew.members])
        self._crew.advance()
        return list(dict.fromkeys(started))

    def _start_orchestrator(self, file: Any) -> dict[str, Any]:
        """Start a detached orchestrator, as a file of :mod:`motoko.detached` asks for."""
        if not isinstance(file, str):
            return {"error": f"file has to be a path: {file!r}"}
        try:
            wanted = self._crew.detached.wanted(Path(file))
            there = self._crew.members.get(wanted.name)
            if there is not None and not there.entry.over:
                raise Refused({"held_by": {"pid": there.entry.pid, "host": gethostname()}})
            self._crew.detached.accept(Path(file), wanted)
        except Refused as refused:
            return refused.answer
        if there is not None:
            self._crew.forget(wanted.name)
        return {"started": self._have([wanted])}

    def _stop(self, names: list[str], *, end_runs: bool) -> dict[str, Any]:
        settings, there = self._config.supervision, self._there(names)
        self._crew.stop(there, settings.stop_order if end_runs else settings.leave_order, STOPPED)
        return {"stopping": there}

    def _restart(self, names: list[str]) -> dict[str, Any]:
        """Restart daemons; the answer has their present pids. What they need is started too."""
        there = self._there(names)
        pids = {name: self._crew.members[name].entry.pid for name in there}
        self._crew.restart(there, RESTARTED)
        self._start(names)
        return {"restarting": {name: pids.get(name) for name in names}}

    def _there(self, names: list[str]) -> list[str]:
        return [name for name in dict.fromkeys(names) if name in self._crew.members]


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
