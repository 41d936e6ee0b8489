"""Whether a workflow lives on the host that has supervised it last, as far as another one can tell.

Its locks tell it where hosts share these, its heartbeat where they share files, its gate where
there is one. What they do not tell nobody knows from here: then it is for a person to say.
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
    LEFT = "left"  # its supervisor does not, others do
    NONE = "none"


@dataclass(frozen=True)
class Signs:
    """What can be seen of a workflow that another host has supervised last.

    Attributes:
        supervisor: who that was, as it has noted.
        answers: whether it does, through the channel.
        no_way: why nothing could be asked; ``None`` if the gate has let us through.
        locked: the locks that somebody holds, by what they stand for.
        is_beating: whether its heartbeat was seen.
        has_rebooted: whether its host says that it was started again since.
    """

    supervisor: Identity
    answers: bool = False
    no_way: NoWay | None = None
    locked: tuple[str, ...] = ()
    is_beating: bool = False
    has_rebooted: bool = False

    @property
    def life(self) -> Life:
        """What they come to."""
        if self.answers or self.is_beating or SUPERVISOR in self.locked:
            return Life.SUPERVISED
        if self.locked or self.no_way is None:
            return Life.LEFT
        return Life.NONE

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it was in another container of this machine: then its locks are seen for sure."""
        return self.supervisor.boot_id == boot_id()

    @property
    def who(self) -> str:
        """The supervisor, in words."""
        return f"{self.supervisor.host} (pid {self.supervisor.pid})"


def signs(config: WorkflowConfig, *, watching: bool = False) -> Signs | None:
    """What can be seen of the host that has supervised last; ``None`` if it is this one, or none.

    Args:
        config: the workflow.
        watching: whether to watch the heartbeat for some seconds, if nothing else tells.
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
    """The locks that somebody holds: as little as needed is tried, since that takes them a moment.

    Orchestrators on further hosts attach to whoever supervises, and are in nobody's way.
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
