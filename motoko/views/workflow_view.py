"""A workflow as live views show it, whatever draws them. Pure logic.

The feed writes it; a view reads it, and draws anew what has other ``changes`` than before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from motoko.bus.messages import Transition
from motoko.config.daemon_kinds import BUS, LAUNCHER, WATCHER
from motoko.host.durations import counted
from motoko.reports.run_facts import Holder
from motoko.reports.status import NOT_RUNNING, WorkflowStatus
from motoko.views.study_view import StudyView

EVENTS = 1_000  # that are kept
# A watcher beats every 4 s.
SILENT_S = 10.0
LOOK_S = 2.0


@dataclass(frozen=True)
class SlotsView:
    """The slots of this host, their holders, and the launchers that wait for some.

    Attributes:
        at: when they were looked at (seconds since 1970).
        count: how many there are.
        holders: runs, named STUDY.ID, and processes.
        queue: the studies whose launchers wait for slots.
    """

    at: float
    count: int
    holders: tuple[Holder, ...] = ()
    queue: tuple[str, ...] = ()


@dataclass
class WorkflowView:
    """All that is known of a workflow now.

    Attributes:
        studies: the studies, by name.
        status: the processes; ``None``: they are not known yet.
        status_at: when these were looked at (seconds since 1970).
        is_told: whether the bus tells of changes.
        heard: when it did so last (seconds since 1970).
        silent: the studies of which nothing has been heard for ``SILENT_S``.
        owner: whose workflow it is, if this account may only look at it.
        why_untold: why the bus cannot be heard, if it runs.
        events: the last transitions, the oldest first.
        events_since: since when they were collected (seconds since 1970).
        event_count: how many there have been.
        slots: ``None``: not looked at yet.
        changes: grows with each change of what is above, studies excepted.
    """

    studies: dict[str, StudyView]
    status: WorkflowStatus | None = None
    status_at: float = 0.0
    is_told: bool = False
    heard: float = 0.0
    silent: frozenset[str] = frozenset()
    owner: str | None = None
    why_untold: str = ""
    events: deque[Transition] = field(default_factory=lambda: deque(maxlen=EVENTS))
    events_since: float = 0.0
    event_count: int = 0
    slots: SlotsView | None = None
    changes: int = 0

    @classmethod
    def of(cls, studies: Iterable[str]) -> WorkflowView:
        """A view in which nothing is known yet."""
        return cls({name: StudyView(name) for name in studies})

    def take(self, change: Transition, now: float) -> None:
        """A run's state has changed."""
        self.events.append(change)
        self.event_count += 1
        self.heard = now
        self.studies[change.study].take(change, now)

    def changed_since(self, count: int) -> frozenset[tuple[str, int]] | None:
        """The runs (study, number) that have changed since there were ``count`` events.

        ``None``: so many that it is not known any more. Changes of which nobody has told are
        not among them: then their study was read once more.
        """
        new = self.event_count - count
        if new > len(self.events):
            return None
        return frozenset((one.study, one.run_id) for one in islice(reversed(self.events), new))

    def see(self, status: WorkflowStatus, now: float, owner: str | None = None) -> None:
        """The processes have been looked at."""
        self.status, self.status_at, self.owner = status, now, owner
        self.changes += 1

    @property
    def is_supervised(self) -> bool:
        """Whether a supervisor answers. Only then it is known who awaits runs."""
        return self.status is not None and self.status.answers

    def has(self, kind: str) -> bool:
        """Whether a daemon of a kind lives."""
        return self.status is not None and self.status.has(kind)

    def stands_at(self, study: StudyView) -> float | None:
        """The moment (seconds since 1970) up to which all changes of a study are known."""
        if study.read_at is None:
            return None
        is_told = self.is_told and study.name not in self.silent
        return max(study.read_at, self.heard) if is_told else study.read_at

    def unknown(self) -> Iterator[str]:
        """What this view cannot know, and what does not work; a line each, for people."""
        if self.status is None:
            yield "the workflow's processes are not known yet"
            return
        yield from self._of_processes(self.status)
        if self.why_untold:
            yield f"{self.why_untold}; the files are looked at every 2 s"
        elif not self.is_told and self.is_supervised:
            yield "the bus is not heard yet: the files are looked at every 2 s"
        silent = sorted(self.silent) if self.is_told else []
        if silent:
            yield (
                f"no word from the watcher of {', '.join(silent)}: the files are looked at "
                "every 2 s"
            )
        for study in self.studies.values():
            if study.problem:
                yield f"{study.name}: {study.problem}"

    def _of_processes(self, status: WorkflowStatus) -> Iterator[str]:
        if status.note:
            yield status.note
        elif status.supervisor.state == NOT_RUNNING:
            own = self.owner is None
            if self.has(BUS):
                then = ", and `motoko supervise` takes them over" if own else ""
                yield f"the supervisor has died: its daemons go on{then}"
            else:
                lives = "lives" if len(status.daemons) == 1 else "live"
                living = counted(len(status.daemons), "daemon")
                rest = f"; {living} {lives}" if status.daemons else ""
                then = "`motoko supervise` starts one" if own else f"the workflow is {self.owner}'s"
                yield f"no supervisor: the last state, from the files, every 2 s{rest}; {then}"
        elif not self.is_supervised:
            yield f"the supervisor is {status.supervisor.state}: what its daemons do is not known"
        for daemon in status.daemons:
            if daemon.state == "failed":
                yield f"{daemon.name} was given up: `motoko logs {daemon.name}` tells why"
            elif daemon.trouble:
                yield f"{daemon.name}: {daemon.trouble}"
        if self.is_supervised and not self.has(LAUNCHER):
            yield "no launcher: created runs are not started"
        if self.is_supervised and not self.has(WATCHER):
            yield "no watcher: changes are not told"
