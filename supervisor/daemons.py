"""Which daemons a workflow has, how each is started, and what each waits for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from motoko.config import WorkflowConfig
from motoko.detached import KIND, Request, daemon_name
from motoko.supervisor.table import State


@dataclass(frozen=True)
class Spec:
    """One daemon: a name, and the command line that is it."""

    name: str
    kind: str
    command: tuple[str, ...]
    study: str | None = None
    directory: Path | None = None  # the workflow's
    environment: Mapping[str, str] | None = None  # the supervisor's

    def option(self, name: str) -> str | None:
        """The value of an option on the command line; ``None`` if that does not have it."""
        if name not in self.command:
            return None
        return self.command[self.command.index(name) + 1]


def _command(worker: str, config: WorkflowConfig, *arguments: str) -> tuple[str, ...]:
    # -P: whatever lies in the workflow's directory must not shadow a module of ours.
    module = f"motoko.workers.{worker}"
    return (sys.executable, "-P", "-m", module, str(config.path), *arguments)


def base_daemons(config: WorkflowConfig) -> list[Spec]:
    """All daemons but the launchers."""
    servers = [
        Spec(f"zeo:{study.name}", "zeo", _command("zeo", config, study.name), study.name)
        for study in config.studies.values()
        if study.is_local
    ]
    others = [Spec(name, name, _command(name, config)) for name in ("bus", "watcher")]
    return [*servers, *others]


@dataclass(frozen=True)
class LauncherOptions:
    """What launchers are told, where that is not what motoko.yaml says."""

    slots: int | None = None
    generator: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same on a command line."""
        slots = () if self.slots is None else ("--slots", str(self.slots))
        return (*slots, *(() if self.generator is None else ("--generator", self.generator)))


def launchers(config: WorkflowConfig, options: LauncherOptions) -> list[Spec]:
    """One launcher for each local study."""
    return [
        Spec(
            f"launcher:{study.name}",
            "launcher",
            _command("launcher", config, study.name, *options.arguments),
            study.name,
        )
        for study in config.studies.values()
        if study.is_local
    ]


def orchestrator(config: WorkflowConfig, request: Request) -> Spec:
    """A detached orchestrator. It is no daemon that a workflow needs."""
    return Spec(
        daemon_name(request.run_name),
        KIND,
        _command(KIND, config, request.run_name),
        directory=Path(request.directory),
        environment=request.environment,
    )


def all_daemons(config: WorkflowConfig) -> list[Spec]:
    """The daemons that a workflow can have."""
    return [*base_daemons(config), *launchers(config, LauncherOptions())]


def needs(spec: Spec) -> list[str]:
    """The daemons without which one is of no use."""
    match spec.kind:
        case "watcher":
            return ["bus"]
        case "launcher":
            return [f"zeo:{spec.study}", "bus", "watcher"]
        case "orchestrator":
            return ["bus", "watcher"]
    return []


def may_start(spec: Spec, states: Mapping[str, State]) -> bool:
    """Whether what a daemon depends on is there, for its first start.

    The watcher and orchestrators do not wait for a ZEO server that was given up or stopped: there
    are other studies.
    """
    match spec.kind:
        case "watcher" | "orchestrator":
            servers = (state for name, state in states.items() if name.startswith("zeo:"))
            needed = ("bus",) if spec.kind == "watcher" else ("bus", "watcher")
            return all(states[name] is State.READY for name in needed) and all(
                state in (State.READY, State.FAILED, State.STOPPED) for state in servers
            )
        case "launcher":
            needed = ("watcher", f"zeo:{spec.study}")
            return all(states[name] is State.READY for name in needed)
    return True


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of all daemons, and so of all runs, made of another.

    Our own programs come first (``launch.sh`` calls ``canYouDigIt``), and variables that make
    BlackDynamite talk to another base than the one asked for are gone.
    """
    found = {k: v for k, v in base.items() if not k.startswith("BLACKDYNAMITE_")}
    programs = str(Path(sys.executable).parent)
    rest = found.get("PATH", os.defpath)
    if rest.split(os.pathsep)[0] != programs:
        found["PATH"] = f"{programs}{os.pathsep}{rest}"
    return found
