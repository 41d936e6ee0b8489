"""The table of the kinds of daemons."""

from __future__ import annotations

import enum
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from motoko.errors import MotokoError


class Scope(enum.Enum):
    """What each daemon of a kind serves: there is one daemon for each of these."""

    STUDY = enum.auto()  # each local study: zeo:mult
    WORKFLOW = enum.auto()  # the workflow: bus
    REQUEST = enum.auto()  # each run_name that a user asks for: orchestrator:run


@dataclass(frozen=True)
class DaemonKind:
    """What the daemons of one kind have in common. Times in seconds.

    Attributes:
        name: the name of the kind, with which the daemons' names begin.
        scope: how many daemons there are.
        worker: the module that the daemons execute.
        stop_turn: when several daemons end, those with a lower turn end earlier.
        needs: the kinds that must be ready before the daemon starts; of kinds that have a daemon
            for each study, only that of the same study.
        settled: kinds that must be ready, given up or stopped before the daemon starts: it can do
            without them.
        beats: whether the daemon says over the bus when it is ready, and sends heartbeats from
            then on. A daemon that does not is ready as soon as it has its record, unless the
            supervisor has a check of its own for its kind.
        optional: whether a workflow can do without these daemons.
        for_other_hosts: whether they exist only where other hosts may reach the workflow.
        for_patience: whether only a study whose runs on this host have patience has one.
        for_notices: whether they exist only where motoko.yaml has ``notify:``.
        stop_signal: the signal that tells a daemon to end when the workflow ends.
        leave_signal: the signal that tells a daemon to end when it will be started again.
        held_signals: signals that are blocked when the daemon starts, so that none is lost and
            none kills it before it can act on them; it unblocks them itself.
        stop_timeout: how long it may take to end, if motoko.yaml does not say.
    """

    name: str
    scope: Scope
    worker: str
    stop_turn: int
    needs: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    beats: bool = False
    optional: bool = False
    for_other_hosts: bool = False
    for_patience: bool = False
    for_notices: bool = False
    stop_signal: int = signal.SIGTERM
    leave_signal: int = signal.SIGTERM
    held_signals: tuple[int, ...] = ()
    stop_timeout: float = 5.0

    def daemon(self, study: str | None = None) -> str:
        """The name of the daemon of this kind; of the study's, if each study has one."""
        return daemon_of(self.name, study or "") if self.scope is Scope.STUDY else self.name

    def daemons(self, studies: Iterable[str]) -> list[str]:
        """The names of the daemons of this kind in a workflow with these local studies."""
        if self.scope is Scope.REQUEST:
            return []
        return [self.daemon(s) for s in studies] if self.scope is Scope.STUDY else [self.daemon()]


ZEO, BUS, WATCHER, LAUNCHER, GATE = "zeo", "bus", "watcher", "launcher", "gate"
ORCHESTRATOR, RELAY, NOTIFIER = "orchestrator", "relay", "notifier"

KINDS: list[DaemonKind] = [
    DaemonKind(ZEO, Scope.STUDY, "motoko.workers.zeo", stop_turn=40),
    DaemonKind(BUS, Scope.WORKFLOW, "motoko.workers.bus", stop_turn=50),
    DaemonKind(RELAY, Scope.STUDY, "motoko.workers.relay", stop_turn=35, for_patience=True),
    DaemonKind(
        WATCHER,
        Scope.WORKFLOW,
        "motoko.workers.watcher",
        stop_turn=30,
        needs=(BUS,),
        settled=(ZEO,),
        beats=True,
    ),
    # Commands on other hosts follow the workflow's end through the gate.
    DaemonKind(
        GATE,
        Scope.WORKFLOW,
        "motoko.workers.gate",
        stop_turn=45,
        needs=(BUS,),
        beats=True,
        for_other_hosts=True,
    ),
    # SIGUSR1 tells the launcher to end its local runs and to mark them FAILED, which takes the
    # databases and the bus. At SIGTERM it leaves them to its successor.
    DaemonKind(
        LAUNCHER,
        Scope.STUDY,
        "motoko.workers.launcher",
        stop_turn=20,
        needs=(ZEO, WATCHER),
        settled=(GATE, RELAY),
        beats=True,
        optional=True,
        stop_signal=signal.SIGUSR1,
        held_signals=(signal.SIGUSR1, signal.SIGUSR2),
        stop_timeout=15.0,
    ),
    # It ends after the watcher, which may still write what it has to tell.
    DaemonKind(
        NOTIFIER,
        Scope.WORKFLOW,
        "motoko.workers.notifier",
        stop_turn=32,
        needs=(BUS,),
        beats=True,
        for_notices=True,
        stop_timeout=12.0,
    ),
    # SIGUSR1 tells the orchestrator that the workflow is being stopped.
    DaemonKind(
        ORCHESTRATOR,
        Scope.REQUEST,
        "motoko.workers.orchestrator",
        stop_turn=10,
        needs=(BUS, WATCHER),
        settled=(ZEO,),
        stop_signal=signal.SIGUSR1,
    ),
]


def daemon_of(kind: str, study: str) -> str:
    """The name of the daemon of this kind for a study: ``zeo:mult``."""
    return f"{kind}:{study}"


def kind_of(daemon: str) -> str:
    """The kind of a daemon, by its name."""
    return daemon.partition(":")[0]


def subject_of(daemon: str) -> str:
    """The study or run_name in a daemon's name; empty if the daemon is the workflow's."""
    return daemon.partition(":")[2]


def kinds() -> dict[str, DaemonKind]:
    """All kinds by name."""
    return {kind.name: kind for kind in KINDS}


def named(name: str) -> DaemonKind:
    """The kind with this name; ``MotokoError`` if there is none."""
    kind = kinds().get(name)
    if kind is None:
        raise MotokoError(f"there is no kind of daemon {name!r}: {', '.join(kinds())} are")
    return kind


def of_workflow() -> tuple[str, ...]:
    """The names of the kinds that every workflow may have, which have settings in motoko.yaml.

    These are all kinds but the ones that users ask for.
    """
    return tuple(kind.name for kind in KINDS if kind.scope is not Scope.REQUEST)


def in_stop_order() -> list[DaemonKind]:
    """All kinds, in the order in which their daemons end."""
    return sorted(KINDS, key=lambda kind: kind.stop_turn)


def needed_daemons(kind: DaemonKind, study: str | None) -> list[str]:
    """The daemons that a daemon of this kind needs, directly or not; each after those it needs."""
    known = kinds()
    pending, reached = [kind], set[str]()
    while pending:
        needs = set(pending.pop().needs) - reached
        reached |= needs
        pending += [known[name] for name in needs]
    return [needed.daemon(study) for needed in KINDS if needed.name in reached]
