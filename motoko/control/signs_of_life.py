"""Whether a workflow lives on the host that supervised it last, as far as this host can tell.

Its locks tell where hosts share locks, its heartbeat where they share files, and its gate where it
has one. If none of them tells, it cannot be known from here, and the user must decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from motoko.config import WorkflowConfig
from motoko.control import client
from motoko.control.daemon_records import (
    SUPERVISOR,
    living_orchestrators,
    records,
    supervisor_elsewhere,
)
from motoko.control.heartbeat import is_beating
from motoko.control.other_hosts import NoWay, connect_control
from motoko.control.protocol import StatusRequest
from motoko.host.identity import Identity
from motoko.host.locks import is_locked
from motoko.host.proc_files import boot_id
from motoko.layout import Runtime
from motoko.runs.boots import has_rebooted, note_boot

ANSWER_S = 5.0


class Life(Enum):
    """How much of a workflow lives on another host."""

    SUPERVISED = "supervised"
    LEFT = "left"  # its supervisor is dead, other processes of it live
    NONE = "none"


@dataclass(frozen=True)
class Signs:
    """What can be seen of a workflow that another host supervised last.

    Attributes:
        supervisor: the supervisor, as it has recorded itself.
        answers: whether the supervisor answers through the channel.
        no_way: why the supervisor could not be asked; ``None`` if the gate let us through.
        locked: what the locks that are held stand for.
        is_beating: whether its heartbeat was seen.
        has_rebooted: whether its host has recorded a later boot.
    """

    supervisor: Identity
    answers: bool = False
    no_way: NoWay | None = None
    locked: tuple[str, ...] = ()
    is_beating: bool = False
    has_rebooted: bool = False

    @property
    def life(self) -> Life:
        """The conclusion from these signs."""
        if self.answers or self.is_beating or SUPERVISOR in self.locked:
            return Life.SUPERVISED
        if self.locked or self.no_way is None:
            return Life.LEFT
        return Life.NONE

    @property
    def is_of_this_machine(self) -> bool:
        """Whether the supervisor was on this machine, in another container: its locks are seen."""
        return self.supervisor.boot_id == boot_id()

    @property
    def who(self) -> str:
        """The supervisor, in words."""
        return f"{self.supervisor.host} (pid {self.supervisor.pid})"


def signs(config: WorkflowConfig, *, watching: bool = False) -> Signs | None:
    """What can be seen of the host that supervised last; ``None`` if it is this one, or none.

    Args:
        config: the workflow.
        watching: whether to watch the heartbeat for some seconds, if no other sign is seen.
    """
    supervisor = supervisor_elsewhere(config)
    if supervisor is None:
        return None
    note_boot(config.directory)
    runtime = records(config)
    no_way: NoWay | None = None
    try:
        connect_control(config.directory, ANSWER_S).close()
        if client.ask(runtime, StatusRequest(), ANSWER_S) is not None:
            return Signs(supervisor, answers=True)
    except NoWay as error:
        no_way = error
    seen = Signs(
        supervisor,
        no_way=no_way,
        locked=_locked(config, runtime, supervisor),
        has_rebooted=has_rebooted(config.directory, supervisor),
    )
    if not watching or seen.life is not Life.NONE or seen.has_rebooted:
        return seen
    return Signs(supervisor, no_way=no_way, is_beating=is_beating(runtime))


def _locked(config: WorkflowConfig, runtime: Runtime, supervisor: Identity) -> tuple[str, ...]:
    """What the held locks stand for. Few are tried, because a try takes the lock for a moment.

    Orchestrators on further hosts do not count: they attach to any supervisor.
    """
    if is_locked(runtime.lock(SUPERVISOR)):
        return (SUPERVISOR,)
    names = config.daemons
    locked = [name for name in names if is_locked(runtime.lock(name))]
    locked += [
        f"orchestrator {name}"
        for name, who in living_orchestrators(runtime)
        if who.boot_id == supervisor.boot_id
    ]
    slots = (runtime.wf / "locks" / "slots").glob("[0-9]*")
    if any(is_locked(slot) for slot in slots):
        locked.append("runs")
    return tuple(locked)
