"""Finders of a study's runs, which need not look at each run; a study's base may be given one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from motoko.store.predicates import Predicate


class CannotFind(Exception):
    """A finder can find nothing just now; the message says why."""


class FoundRun(NamedTuple):
    """A run, by number, with its record and its job's; ``None`` if the job is not certain."""

    number: int
    record: bytes
    job: bytes | None


class Candidates(NamedTuple):
    """Runs that may meet a predicate; if ``are_exact``, all of them with a known job do."""

    runs: Iterator[FoundRun]
    are_exact: bool


@dataclass(frozen=True)
class Owners:
    """The owners of records.

    Attributes:
        runs: the numbers of runs, by record.
        jobs: the numbers of jobs, by record.
        nodes: records of the tree of all runs.
        job_nodes: records of the tree of all jobs.
    """

    runs: dict[bytes, int]
    jobs: dict[bytes, int]
    nodes: set[bytes]
    job_nodes: set[bytes]


class Node(NamedTuple):
    """A node of the tree of all runs, or jobs: the nodes below, and the objects by number."""

    below: Collection[Any]
    members: Mapping[int, bytes | None]


class FoundMoment(Protocol):
    """All runs at one transaction. All methods raise ``CannotFind``.

    Attributes:
        changed: the records that differ in the caller's view.
        is_ahead: whether it has commits that the view does not see yet.
    """

    changed: frozenset[bytes]
    is_ahead: bool

    def candidates(self, predicate: Predicate) -> Candidates:
        """The runs that may meet a predicate, or for which it raises an error, in order."""

    def owners(self, records: Iterable[bytes]) -> Owners:
        """The owners of those records that belong to a run or job, or to the trees of all."""

    def node(self, record: bytes) -> Node | None:
        """What a node of the trees of all runs or jobs holds."""

    def runs_of(self, jobs: Collection[int]) -> list[int]:
        """The runs that name one of these jobs as theirs."""

    def carried(self, names: Collection[str], but: Collection[int]) -> set[str]:
        """The names under which any run, except those in ``but``, has an entry or attribute."""


class View(Protocol):
    """The caller's view: the transactions that the caller sees."""

    connection: Any

    @property
    def tid(self) -> bytes:
        """The newest transaction that the server has announced to this process."""

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
        """Release what the finder holds: it is not asked any more."""
