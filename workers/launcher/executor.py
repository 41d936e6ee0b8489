"""The interface between a launcher and what executes runs: this host's slots, or a batch system.

There is one protocol for all executors. The launcher gives and takes runs by a few calls; events
tell it what becomes of the runs. This module only has declarations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from motoko.runs.ends import End
from motoko.workers.launcher.ahead import Ahead
from motoko.workers.launcher.preparing import Prepared
from motoko.workers.launcher.recovery import Situation


@dataclass(frozen=True)
class Ended:
    """A run's attempt has ended: the executor has dropped the run."""

    run_id: int
    end: End


@dataclass(frozen=True)
class Changed:
    """More is known of a run, and must be written to its entries."""

    run_id: int
    entries: Mapping[str, Any]


@dataclass(frozen=True)
class HandedOver:
    """A run's launch.sh has ended well; other processes go on with its work and set its state."""

    run_id: int


@dataclass(frozen=True)
class Claimed:
    """Nothing was started: another process has claimed the run's attempt."""

    run_id: int


@dataclass(frozen=True)
class Unstarted:
    """Nothing was started, because of the machine: the run must become CREATED again."""

    run_id: int
    reason: str


Event = Ended | HandedOver | Changed | Claimed | Unstarted

Place = list[int]
"""Room for one run: the descriptors that hold its slots. A job needs no slots: it is empty then."""


class Start(Protocol):
    """A run that starts as soon as the entries that say so are committed."""

    def mark(self, entries: MutableMapping[str, Any]) -> None:
        """Write into its entries what its executor needs there. May be repeated."""

    def begin(self) -> None:
        """The entries are committed: start the run; its executor has it from now on."""

    def abandon(self) -> None:
        """Do not start the run after all, and undo what was done for it."""


class Executor(Protocol):
    """Executes runs of one study. Iterating over it gives the numbers of the runs that it has.

    Attributes:
        name: the generator's name: ``bash``, or that of a batch system.
        widest: how many slots a run may take at most; ``None``: any number.
        reach: how many of the runs that can start are worth looking at, at present.
        is_short: whether runs wait for room.
        ahead: runs that are prepared, and start when there is room. They do not count as runs that
            the executor has.
        is_ending: whether runs are still being ended by :meth:`stop`.
        trouble: what keeps it from working now; empty if nothing does.
        detail: a few words for ``motoko ps``, with a comma before them; may be empty.
        counts: figures for ``motoko ps``.
    """

    @property
    def name(self) -> str: ...

    @property
    def widest(self) -> int | None: ...

    @property
    def reach(self) -> int: ...

    @property
    def is_short(self) -> bool: ...

    @property
    def ahead(self) -> Ahead: ...

    @property
    def is_ending(self) -> bool: ...

    @property
    def trouble(self) -> str: ...

    @property
    def detail(self) -> str: ...

    @property
    def counts(self) -> Mapping[str, int]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[int]: ...

    def __contains__(self, run_id: object) -> bool: ...

    def room(self, widths: Sequence[int]) -> list[Place]:
        """Places for runs that want these numbers of slots: for as many of the first as have room.

        The caller has to release the places. Asking for none gives up the launcher's turn in the
        queue for slots. Raises ``Hindered`` if nothing can be started.
        """

    def release(self, places: Sequence[Place]) -> None:
        """Give places back: runs that have started in them hold the slots themselves."""

    def proceed(self) -> None:
        """Start the prepared runs for which there is room. Raises ``Hindered``."""

    def expect(self, *, more: bool, next_at: float) -> None:
        """Note whether more runs will be started at once, and when (``time.monotonic``) the next.

        ``next_at`` is of a run that is tried again; ``inf`` without.
        """

    def attend(self) -> None:
        """Do so at once where runs have ended, of which the event loop has not told yet.

        For the middle of work that takes longer than short runs do. What keeps runs from being
        started is left for :meth:`proceed` to find.
        """

    def start(self, prepared: Prepared, place: Place) -> Start:
        """Get ready to start a prepared run in a place; it starts when the caller has committed.

        Raises ``Hindered`` if that is impossible now.
        """

    def adopt(self, situation: Situation) -> None:
        """Follow a run that an earlier launcher has started."""

    def end(self, run_id: int, reason: str, *, final: bool = False) -> None:
        """End a run; ``final``: without another attempt."""

    def stop(self, reason: str) -> None:
        """End the runs that do not outlive the workflow, as interrupted. Jobs go on."""

    async def watch(self) -> None:
        """Do the executor's regular work, for ever."""
