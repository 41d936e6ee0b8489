"""What finds a study's runs without looking at each: who has it hands it to the study's base."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from motoko.store.predicates import Predicate


class CannotFind(Exception):
    """Nothing can be found this way just now; says why."""


class FoundRun(NamedTuple):
    """A run, by number; where it and its job are in the database, ``None`` if that is not sure."""

    number: int
    record: bytes
    job: bytes | None


class Candidates(NamedTuple):
    """Runs that may meet a predicate; if they are exact, all those do whose job is known."""

    runs: Iterator[FoundRun]
    are_exact: bool


@dataclass(frozen=True)
class Owners:
    """Whose records are.

    Attributes:
        runs: numbers, by record.
        jobs: likewise.
        nodes: those of the tree of all runs.
        job_nodes: those of the tree of all jobs.
    """

    runs: dict[bytes, int]
    jobs: dict[bytes, int]
    nodes: set[bytes]
    job_nodes: set[bytes]


class Node(NamedTuple):
    """What a node of the tree of all runs, or jobs, holds: nodes below, and objects by number."""

    below: Collection[Any]
    members: Mapping[int, bytes | None]


class FoundMoment(Protocol):
    """All runs at one transaction. Everything raises ``CannotFind``.

    Attributes:
        changed: the records that are others in the view of who asks.
        is_ahead: what the view does not know yet is in it.
    """

    changed: frozenset[bytes]
    is_ahead: bool

    def candidates(self, predicate: Predicate) -> Candidates:
        """The runs that may meet a predicate, or that it raises an error for, in order."""

    def owners(self, records: Iterable[bytes]) -> Owners:
        """Whose records are that belong to a run or job, or to the trees of all."""

    def node(self, record: bytes) -> Node | None:
        """What a node of the trees of all runs or jobs holds."""

    def runs_of(self, jobs: Collection[int]) -> list[int]:
        """The runs that name one of these jobs as theirs."""

    def carried(self, names: Collection[str], but: Collection[int]) -> set[str]:
        """The names under which some run but these has an entry, or an attribute."""


class View(Protocol):
    """Who asks, and which transactions he sees."""

    connection: Any

    @property
    def tid(self) -> bytes:
        """The newest transaction that this process has been told of."""

    def ask_tid(self) -> bytes:
        """The server's newest transaction."""

    @property
    def witness(self) -> bytes:
        """What tells the database from another."""


class RunFinder(Protocol):
    """Finds the runs of a study."""

    def moment(self, view: View) -> AbstractContextManager[FoundMoment]:
        """What is known of the study while the block runs. Raises ``CannotFind``."""

    def close(self) -> None:
        """It is not asked any more."""
