"""What has changed between two configurations, and when each change takes effect. Pure logic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from motoko.batch import registry
from motoko.config import daemon_kinds
from motoko.config import policy as policies
from motoko.config.policy import Policy
from motoko.config.snapshot import Snapshot, fields, plain
from motoko.config.study_config import StudyConfig
from motoko.config.supervision import Supervision
from motoko.config.workflow_config import WorkflowConfig, known_keys

# The supervisor itself: the workflow must be stopped and started for settings that it has read.
SUPERVISOR = "supervisor"
RESTART_WORKFLOW = "`motoko kill --wait` and `motoko supervise`"
_BD_YAML = ("jobs", "runs", "job_space", "run_params", "config_files")
# Settings of the supervisor that daemons read, too: for each kind of daemon, or for all of them.
_BY_KIND = "nice"
_LOGS = ("log_size", "log_files")
# The command that starts an orchestrator looks this up in the file.
_LOOKED_UP = "restart"


@dataclass(frozen=True, order=True)
class Change:
    """One key whose value has changed.

    Attributes:
        key: the key in motoko.yaml, or as ``mult/bd.yaml: job`` in another file.
        daemons: the daemons that must be restarted before it counts. If empty, it counts for
            orchestrators and commands that are started from now on.
        reaches_supervisor: a restart of daemons is not enough: the supervisor itself must be
            replaced.
    """

    key: str
    daemons: tuple[str, ...] = ()
    reaches_supervisor: bool = False

    @property
    def to_do(self) -> str:
        """When the change takes effect, in words for the user."""
        if self.reaches_supervisor or SUPERVISOR in self.daemons:
            return f"counts after {RESTART_WORKFLOW}"
        if self.daemons:
            return f"counts after `motoko restart {' '.join(self.daemons)}`"
        return "counts for orchestrators and commands that are started from now on"


def changes(before: WorkflowConfig, after: WorkflowConfig) -> list[Change]:
    """The changes, by key. A value that means the same, such as a written default, is no change."""
    daemons_of: dict[str, set[str]] = defaultdict(set)
    reaching: set[str] = set()
    if before.runtime_dir != after.runtime_dir:
        reaching.add("runtime_dir")
    for name in {**before.studies, **after.studies}:
        old, new = before.studies.get(name), after.studies.get(name)
        if old is None or new is None:
            reaching.add(f"task_managers.{name}")
        else:
            if old.is_local != new.is_local:
                reaching.add(f"task_managers.{name}.host")
            for key, daemons in _study_changes(old, new, _daemons(after, daemon_kinds.GATE)):
                daemons_of[key].update(daemons)
    if before.remote.wanted != after.remote.wanted:
        reaching.add("remote")
    elif plain(before.remote) != plain(after.remote):
        daemons_of["remote"].update(_daemons(after, daemon_kinds.GATE))
    if before.notices.is_on != after.notices.is_on:
        reaching.add("notify")
    elif plain(before.notices) != plain(after.notices):
        daemons_of["notify"].update(_daemons(after, daemon_kinds.NOTIFIER))
    launchers = _daemons(after, daemon_kinds.LAUNCHER)
    if before.slots != after.slots:
        daemons_of["slots"].update(launchers)
    for key in _differing(before.batch, after.batch):
        daemons_of[f"batch.{key}"].update(launchers)
    for key in _differing(before.packing, after.packing):
        daemons_of[f"packing.{key}"].update(_daemons(after, daemon_kinds.ZEO))
    for key, daemons in _supervisor_changes(before.supervision, after):
        daemons_of[f"supervisor.{key}"].update(daemons)
    for key in ("orchestrator", "aliases"):
        if plain(getattr(before, key)) != plain(getattr(after, key)):
            daemons_of[key].update(())
    for key in _differing_keys(before.raw, after.raw):
        if key not in known_keys():
            daemons_of[key].update(())
    return sorted(
        Change(key, tuple(sorted(daemons_of[key])), key in reaching)
        for key in {*daemons_of, *reaching}
    )


def pending(snapshot: Snapshot, started: Mapping[str, float]) -> list[Change]:
    """The changes of the latest configuration that living daemons do not have yet, by key.

    Args:
        snapshot: all configurations that the supervisor took over.
        started: when each living daemon, or the supervisor, was started (seconds since 1970).
    """
    daemons_of: dict[str, set[str]] = defaultdict(set)
    for daemon, moment in started.items():
        for change in changes(snapshot.config_at(moment), snapshot.config):
            if daemon in change.daemons:
                daemons_of[change.key].add(daemon)
    return [Change(key, tuple(sorted(daemons))) for key, daemons in sorted(daemons_of.items())]


def _study_changes(
    old: StudyConfig, new: StudyConfig, gates: list[str]
) -> Iterable[tuple[str, list[str]]]:
    name = new.name
    launcher = [daemon_kinds.named(daemon_kinds.LAUNCHER).daemon(name)] if new.is_local else []
    keys = _policy_changes(old.policy, new.policy)
    if old.generator != new.generator:
        keys.append("generator")
    own = _differing_keys(old.settings, new.settings)
    for key in keys:
        takers = _patience_takers(old, new, gates) if key == "patience" else launcher
        yield (f"task_managers.{name}.{key}" if key in own else key), takers
    if old.host != new.host:
        server = daemon_kinds.named(daemon_kinds.ZEO).daemon(name)
        takers = [server, *launcher] if launcher else [daemon_kinds.WATCHER]
        yield f"task_managers.{name}.host", takers
    for key in own - policies.keys() - {"generator", "host"}:
        yield f"task_managers.{name}.{key}", []
    for key in _BD_YAML:
        if plain(getattr(old, key)) != plain(getattr(new, key)):
            yield f"{name}/bd.yaml: {key.removesuffix('s') if key in ('jobs', 'runs') else key}", []


def _patience_takers(old: StudyConfig, new: StudyConfig, gates: list[str]) -> list[str]:
    """The gate and relay that keep runs; the supervisor, if a relay must be added or removed."""
    if old.is_kept != new.is_kept:
        return [SUPERVISOR]
    relay = daemon_kinds.daemon_of(daemon_kinds.RELAY, new.name)
    return [*gates, *([relay] if new.is_kept else [])]


def _policy_changes(old: Policy, new: Policy) -> list[str]:
    """The keys of motoko.yaml by which two policies differ."""
    keys = [key for key in _differing(old, new) if key != "batch_options"]
    systems = {**old.batch_options, **new.batch_options}
    return keys + [
        registry.options_key(system)
        for system in systems
        if old.options_for(system) != new.options_for(system)
    ]


def _supervisor_changes(
    before: Supervision, config: WorkflowConfig
) -> Iterable[tuple[str, list[str]]]:
    after, kinds = config.supervision, daemon_kinds.of_workflow()
    for key in _differing(before, after):
        if key == _BY_KIND:
            # A kind that the earlier configuration did not know had 0.
            nicer = [k for k in kinds if before.nice.get(k, 0) != after.nice.get(k, 0)]
            yield key, [name for kind in nicer for name in _daemons(config, kind)]
        elif key in _LOGS:
            yield (
                key,
                [SUPERVISOR, *(name for kind in kinds for name in _daemons(config, kind))],
            )
        else:
            yield key, [] if key == _LOOKED_UP else [SUPERVISOR]


def _daemons(config: WorkflowConfig, name: str) -> list[str]:
    kind = daemon_kinds.named(name)
    if kind.for_other_hosts and not config.may_have_gate:
        return []
    if kind.for_notices and not config.notices.is_on:
        return []
    return kind.daemons(config.studies_with(kind))


def _differing(before: Any, after: Any) -> list[str]:
    """The fields that differ between two structs of the same class."""
    names = fields(before)
    return [name for name in names if plain(getattr(before, name)) != plain(getattr(after, name))]


def _differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    old, new = plain(before), plain(after)
    return {key for key in {**old, **new} if old.get(key) != new.get(key)}
