"""The kinds of daemons that there are: one line each."""

from __future__ import annotations

import enum
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from motoko.errors import MotokoError


class Scope(enum.Enum):
    """What there is one daemon of a kind for."""

    STUDY = enum.auto()  # each local study: zeo:mult
    WORKFLOW = enum.auto()  # the workflow: bus
    REQUEST = enum.auto()  # each run_name that somebody asks for: orchestrator:run


@dataclass(frozen=True)
class DaemonKind:
    """What the daemons of one kind have in common. Times in seconds.

    Attributes:
        name: also what their names begin with.
        scope: how many there are.
        worker: the module that is the program.
        stop_turn: who has a lower one ends earlier, when several end.
        needs: the kinds that have to be ready before one starts; of those per study, its study's.
        settled: kinds that have to be ready before one starts, given up or stopped: it can do
            without them.
        beats: whether one says over the bus when it is ready, and sends heartbeats from then on.
            One that does not is ready as soon as it has its record, unless the supervisor has
            a check of its own for its kind.
        optional: whether there is a workflow without them.
        for_other_hosts: whether there are any only where other hosts reach the workflow.
        for_patience: whether there is one only for each study whose runs here have patience.
        stop_signal: what tells one to end when the workflow ends.
        leave_signal: what tells one to end when it is to come back.
        held_signals: signals that are blocked when it starts, so that none is lost and none kills
            it before it can act on them; it unblocks them itself.
        stop_timeout: how long it has for that, if motoko.yaml does not say.
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
    stop_signal: int = signal.SIGTERM
    leave_signal: int = signal.SIGTERM
    held_signals: tuple[int, ...] = ()
    stop_timeout: float = 5.0

    def daemon(self, study: str | None = None) -> str:
        """The name of its daemon; of a study's, if there is one for each."""
        return daemon_of(self.name, study or "") if self.scope is Scope.STUDY else self.name

    def daemons(self, studies: Iterable[str]) -> list[str]:
        """The names of its daemons in a workflow with these local studies."""
        if self.scope is Scope.REQUEST:
            return []
        return [self.daemon(s) for s in studies] if self.scope is Scope.STUDY else [self.daemon()]


ZEO, BUS, WATCHER, LAUNCHER, GATE = "zeo", "bus", "watcher", "launcher", "gate"
ORCHESTRATOR, RELAY = "orchestrator", "relay"

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
    # Commands on other hosts follow the workflow's end through it.
    DaemonKind(
        GATE,
        Scope.WORKFLOW,
        "motoko.workers.gate",
        stop_turn=45,
        needs=(BUS,),
        beats=True,
        for_other_hosts=True,
    ),
    # SIGUSR1 tells it to end its local runs and to mark them FAILED, which takes the databases and
    # the bus. At SIGTERM it leaves them to its successor.
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
    # SIGUSR1 tells it that the workflow is being stopped.
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
    """The name of a study's daemon of a kind: ``zeo:mult``."""
    return f"{kind}:{study}"


def kind_of(daemon: str) -> str:
    """The kind of a daemon, by its name."""
    return daemon.partition(":")[0]


def subject_of(daemon: str) -> str:
    """The study or run_name that a daemon is for, by its name; empty if it is the workflow's."""
    return daemon.partition(":")[2]


def kinds() -> dict[str, DaemonKind]:
    """All kinds by name."""
    return {kind.name: kind for kind in KINDS}


def named(name: str) -> DaemonKind:
    """The kind of a name; ``MotokoError`` if there is none."""
    kind = kinds().get(name)
    if kind is None:
        raise MotokoError(f"there is no kind of daemon {name!r}: {', '.join(kinds())} are")
    return kind


def of_workflow() -> tuple[str, ...]:
    """The names of the kinds that a workflow has by itself, which have settings in motoko.yaml."""
    return tuple(kind.name for kind in KINDS if kind.scope is not Scope.REQUEST)


def in_stop_order() -> list[DaemonKind]:
    """All kinds, in the order in which their daemons end."""
    return sorted(KINDS, key=lambda kind: kind.stop_turn)


def needed_daemons(kind: DaemonKind, study: str | None) -> list[str]:
    """The daemons without which one of a kind is of no use; who is needed by others comes first."""
    known = kinds()
    pending, reached = [kind], set[str]()
    while pending:
        needs = set(pending.pop().needs) - reached
        reached |= needs
        pending += [known[name] for name in needs]
    return [needed.daemon(study) for needed in KINDS if needed.name in reached]
