"""What a launcher asks of whatever executes runs: the slots of this host, or a batch system.

There is one protocol for all of them. Runs come and go by a few calls; what becomes of them comes
back as events. Nothing here does anything.
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
    """A run's attempt has ended: its executor has it no more."""

    run_id: int
    end: End


@dataclass(frozen=True)
class Changed:
    """More is known of a run, which its entries are to say."""

    run_id: int
    entries: Mapping[str, Any]


@dataclass(frozen=True)
class HandedOver:
    """A run's launch.sh has ended well, and others go on with its work: they say how it ends."""

    run_id: int


@dataclass(frozen=True)
class Claimed:
    """Nothing was started: somebody else has claimed a run's attempt."""

    run_id: int


@dataclass(frozen=True)
class Unstarted:
    """Nothing was started, for a reason that is the machine's: the run is to wait like others."""

    run_id: int
    reason: str


Event = Ended | HandedOver | Changed | Claimed | Unstarted

Place = list[int]
"""Room for one run: the descriptors that hold its slots. A job's place has none."""


class Start(Protocol):
    """A run that starts as soon as its entries, which say so, are committed."""

    def mark(self, entries: MutableMapping[str, Any]) -> None:
        """Write into its entries what its executor needs there. Repeatable."""

    def begin(self) -> None:
        """The entries are committed: its executor has it from now on."""

    def abandon(self) -> None:
        """It is not to start after all: nothing has happened."""


class Executor(Protocol):
    """Executes runs of one study. It iterates over the numbers of those that it has.

    Attributes:
        name: the generator's: ``bash``, or a batch system's.
        widest: how many slots a run may want at most; ``None``: any number.
        reach: how many of the runs that can start are worth looking at, at present.
        is_short: whether runs wait for room.
        ahead: the runs that are prepared, and start when there is room: not among those it has.
        is_ending: whether runs are still being ended by :meth:`stop`.
        trouble: what keeps it from getting on now; empty if nothing does.
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
        """Places for the first ones of some runs that want so many slots, to be released.

        Whoever asks for none waits for none any more: others may have its turn. Raises
        ``Hindered`` if nothing can be started.
        """

    def release(self, places: Sequence[Place]) -> None:
        """Give places back: what has started in them holds them itself."""

    def proceed(self) -> None:
        """Start what is prepared, as far as there is room. Raises ``Hindered``."""

    def start(self, prepared: Prepared, place: Place) -> Start:
        """Have a run start that is prepared, in its place, once that is committed.

        Raises ``Hindered`` if that cannot be now.
        """

    def adopt(self, situation: Situation) -> None:
        """Follow a run that an earlier launcher has started."""

    def end(self, run_id: int, reason: str, *, final: bool = False) -> None:
        """End a run; ``final``: without another attempt."""

    def stop(self, reason: str) -> None:
        """End all that does not outlive the workflow: it is interrupted. Jobs go on."""

    async def watch(self) -> None:
        """Do what is to be done from time to time, for ever."""
