"""The daemons of a workflow: how each is started, and for which other daemons each waits."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from motoko.config import WorkflowConfig, daemon_kinds
from motoko.config.daemon_kinds import DaemonKind, Scope
from motoko.control.detached_requests import Request, daemon_name
from motoko.supervisor.table import State


@dataclass(frozen=True)
class Spec:
    """One daemon: its name, and the command line that starts it."""

    name: str
    kind: str
    command: tuple[str, ...]
    study: str | None = None
    directory: Path | None = None  # None: the workflow's
    environment: Mapping[str, str] | None = None  # None: the supervisor's

    @property
    def traits(self) -> DaemonKind:
        """What all daemons of its kind have in common."""
        return daemon_kinds.named(self.kind)

    @property
    def is_requested(self) -> bool:
        """Whether it runs only because a user asked for it: the workflow works without it."""
        return self.traits.scope is Scope.REQUEST

    @property
    def is_missed(self) -> bool:
        """Whether the workflow lacks something while it does not run."""
        return not self.is_requested and not self.traits.optional


def _command(kind: DaemonKind, config: WorkflowConfig, *arguments: str) -> tuple[str, ...]:
    # -P: a file in the workflow's directory must not shadow a module of ours.
    return (sys.executable, "-P", "-m", kind.worker, str(config.path), *arguments)


def _of_kind(kind: DaemonKind, config: WorkflowConfig, *arguments: str) -> list[Spec]:
    """All daemons of a kind that a workflow has without a request of a user."""
    match kind.scope:
        case Scope.STUDY:
            return [
                Spec(
                    kind.daemon(study),
                    kind.name,
                    _command(kind, config, study, *arguments),
                    study,
                )
                for study in config.studies_with(kind)
            ]
        case Scope.WORKFLOW:
            return [Spec(kind.daemon(), kind.name, _command(kind, config, *arguments))]
        case Scope.REQUEST:
            return []


def base_daemons(config: WorkflowConfig, *, remote: bool = False) -> list[Spec]:
    """All daemons that every workflow needs; ``remote``: with those that serve other hosts."""
    return [
        spec
        for kind in daemon_kinds.KINDS
        if not kind.optional and (remote or not kind.for_other_hosts)
        if config.notices.is_on or not kind.for_notices
        for spec in _of_kind(kind, config)
    ]


def gate(config: WorkflowConfig) -> Spec:
    """The gate, which lets clients on other hosts in."""
    (spec,) = _of_kind(daemon_kinds.named(daemon_kinds.GATE), config)
    return spec


@dataclass(frozen=True)
class LauncherOptions:
    """Options of launchers that override motoko.yaml."""

    slots: int | None = None
    generator: str | None = None

    @classmethod
    def of(cls, command: Sequence[str]) -> LauncherOptions:
        """The options on a launcher's command line."""
        values = dict(itertools.pairwise(command))
        slots = values.get("--slots")
        return cls(None if slots is None else int(slots), values.get("--generator"))

    def over(self, present: LauncherOptions) -> LauncherOptions:
        """These options; those of them that are not given are taken from ``present``."""
        return LauncherOptions(self.slots or present.slots, self.generator or present.generator)

    @property
    def arguments(self) -> tuple[str, ...]:
        """These options as command line arguments."""
        slots = () if self.slots is None else ("--slots", str(self.slots))
        return (*slots, *(() if self.generator is None else ("--generator", self.generator)))


def launchers(config: WorkflowConfig, options: LauncherOptions) -> list[Spec]:
    """One launcher for each local study."""
    kind = daemon_kinds.named(daemon_kinds.LAUNCHER)
    return _of_kind(kind, config, *options.arguments)


def launcher(config: WorkflowConfig, study: str, options: LauncherOptions) -> Spec:
    """The launcher of one study, which is local."""
    (spec,) = (spec for spec in launchers(config, options) if spec.study == study)
    return spec


def orchestrator(config: WorkflowConfig, request: Request) -> Spec:
    """A detached orchestrator. The workflow does not need it."""
    kind = daemon_kinds.named(daemon_kinds.ORCHESTRATOR)
    return Spec(
        daemon_name(request.run_name),
        kind.name,
        _command(kind, config, request.run_name),
        directory=Path(request.directory),
        environment=request.environment,
    )


def all_daemons(config: WorkflowConfig) -> list[Spec]:
    """All daemons that a workflow can have without a request of a user."""
    return [
        spec
        for kind in daemon_kinds.KINDS
        if config.notices.is_on or not kind.for_notices
        for spec in _of_kind(kind, config)
    ]


def needs(spec: Spec) -> list[str]:
    """The daemons without which this one is of no use."""
    return daemon_kinds.needed_daemons(spec.traits, spec.study)


def may_start(spec: Spec, states: Mapping[str, State]) -> bool:
    """Whether all that a daemon depends on for its first start is ready.

    Some dependencies may also have been given up or stopped: the watcher does not wait for a ZEO
    server that was given up, since it serves other studies too.
    """
    known = daemon_kinds.kinds()
    needed = [known[name].daemon(spec.study) for name in spec.traits.needs]
    settled = (State.READY, State.FAILED, State.STOPPED)
    return all(states[name] is State.READY for name in needed) and all(
        state in settled
        for name, state in states.items()
        if daemon_kinds.kind_of(name) in spec.traits.settled
    )


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of all daemons, and so of all runs, made from ``base``.

    Our own programs come first in ``PATH`` (``launch.sh`` calls ``canYouDigIt``). Variables that
    would make BlackDynamite talk to another base than the one asked for are removed.
    """
    variables = {k: v for k, v in base.items() if not k.startswith("BLACKDYNAMITE_")}
    programs = str(Path(sys.executable).parent)
    rest = variables.get("PATH", os.defpath)
    if rest.split(os.pathsep)[0] != programs:
        variables["PATH"] = f"{programs}{os.pathsep}{rest}"
    return variables
