"""Predicates that are waited for: each run that changes is tested once for all of them.

So the cost of a change depends neither on the number of waiters, nor on the number of runs. A
waiter is told when a changed run meets its predicate, and looks at no other run.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from motoko.errors import ConstraintError
from motoko.runs.entries import DocumentedEntries
from motoko.store.matches import NEVER, Matches, Searched
from motoko.store.predicate_index import PredicateIndex
from motoko.store.predicates import FieldTest, Predicate

# What a transition tells of a run, and how many different questions about it are looked through.
TOLD = ("id", "state", "run_name")
QUESTIONS_MAX = 20
SEARCHES_MAX = 8  # up to this many search separately; more search together
AT_ONCE = 500  # runs that are loaded together

K = TypeVar("K")
V = TypeVar("V")


class Declaring(Searched, Protocol):
    """A study's base: what is searched, and the types that its names are declared with."""

    matches: Matches

    def types(self, which: str) -> dict[str, type]:
        """The parameters of ``"job"`` or ``"run"``."""

    def load_with_jobs(self, numbers: Iterable[int]) -> None:
        """Load these runs and their jobs."""

    def predicate(self, constraints: Any) -> Predicate:
        """The predicate that constraints compile to."""


class Standing:
    """Constraints that are waited for.

    Attributes:
        numbers: runs that have met the constraints since :meth:`found` was called.
        anew: whether any run may meet them, so that all runs must be searched.
    """

    def __init__(
        self,
        among: StandingPredicates,
        constraints: list[str],
        tell: Callable[[], None],
        states_only: bool | None = None,
    ) -> None:
        self._among = among
        self._states_only = states_only
        self.constraints = constraints
        self.tell = tell
        self.predicate = among.base.predicate(constraints)
        self.declared = among.declared  # the declarations that it was compiled with
        self.numbers: set[int] = set()
        self.anew = False
        self.kept: frozenset[int] = frozenset()

    @property
    def reads_states_only(self) -> bool:
        """Whether commits that change no run's state do not concern the waiter."""
        if self._states_only is None:
            return self.predicate.reads_states_only
        return self._states_only

    def keep(self, search: Callable[[], list[Any]]) -> None:
        """Have the waiter told of all changes of the runs that meet the constraints now.

        Use either this or :meth:`found`.

        Args:
            search: searches all runs.
        """
        self._among.look()
        if self.declared is not self._among.declared:
            self._among.refile(self, self._among.base.predicate(self.constraints))
        pairs = []
        with contextlib.suppress(ConstraintError):  # whoever waits gets it in another way
            pairs = search()
        self._among.keep(self, frozenset(run.entries["id"] for run, _ in pairs))
        self._among.mark()

    def found(self, search: Callable[[], list[Any]]) -> list[Any]:
        """The pairs that meet the constraints in the connection's present view.

        Call it again only if there were none, and after ``tell`` was called.

        Args:
            search: searches all runs.
        """
        base = self._among.base
        self._among.look()
        if self.declared is not self._among.declared:
            self._among.refile(self, base.predicate(self.constraints))
        if self.anew:
            self._among.search_together(self)
        numbers, self.numbers = self.numbers, set()
        if not self.anew:
            return base.matches.among(numbers, self.predicate) if numbers else []
        self._among.searched(self)
        pairs = search()
        self._among.mark()
        return pairs


class StandingPredicates:
    """The constraints that are waited for in one study's connection."""

    def __init__(self, base: Declaring) -> None:
        self.base = base
        self._index = PredicateIndex()
        self._standing: dict[Predicate, dict[Standing, None]] = {}
        self._questions: dict[tuple[FieldTest, ...], dict[Predicate, None]] = {}
        self._of_run: dict[int, dict[Predicate, None]] = {}  # those that name the runs they want
        self._searching: dict[tuple[FieldTest, ...], dict[Standing, None]] = {}  # that must search
        self._keeping: dict[int, dict[Standing, None]] = {}  # runs all whose changes count
        self._reading_more = 0  # how many must also see commits that change no state
        self._mark = NEVER
        self.declared = self._declarations()

    def __len__(self) -> int:
        return sum(map(len, self._standing.values()))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is waited for."""
        return not self._standing

    @property
    def states_only(self) -> bool:
        """Whether commits that change no run's state concern no waiter."""
        return not self._reading_more

    def admit(self, known: Mapping[str, Any]) -> bool:
        """Whether a run may meet constraints that are waited for.

        Args:
            known: what a transition tells of the run: those entries of ``TOLD`` that have a value.
        """
        number = known["id"]
        if number in self._keeping or len(self._questions) > QUESTIONS_MAX:
            return True  # in the latter case, looking at the run is cheaper
        those = (next(iter(asking)) for asking in self._questions.values())
        return any(
            one.admits(known) for one in itertools.chain(those, self._of_run.get(number, ()))
        )

    @contextlib.contextmanager
    def waiting(
        self, constraints: list[str], tell: Callable[[], None], *, states_only: bool | None = None
    ) -> Iterator[Standing]:
        """Constraints that are waited for while the block runs.

        Args:
            constraints: all of them must hold.
            tell: called when :meth:`Standing.found` may find something, or a kept run has changed.
            states_only: whether commits that change no state do not count; by default, as the
                constraints are.
        """
        standing = Standing(self, constraints, tell, states_only)
        self._add(standing)
        try:
            yield standing
        finally:
            self._remove(standing)

    def look(self, numbers: Collection[int] = ()) -> None:
        """Test the runs that have changed, in the connection's present view.

        The connection must have no uncommitted changes. Waiters are told of runs that match.

        Args:
            numbers: runs that are known to have changed.
        """
        changed, self._mark = self.base.matches.changed_since(self._mark)
        declared = self._declarations()
        if declared != self.declared:
            self.declared, changed = declared, None
        if changed is None:
            self.look_anew()
            return
        changed.update(numbers)
        if not changed:
            return
        try:
            self.base.load_with_jobs(changed)
            for number in changed:
                self._judge(number)
        except BaseException:
            self._mark = NEVER  # runs that were not tested now are tested later
            raise

    def look_anew(self) -> None:
        """Have all waiters search all runs."""
        for standing in self._all():
            self._search(standing)
            standing.tell()

    def search_together(self, standing: Standing) -> None:
        """If many waiters must search with the same tests as this one, test the runs for them all.

        Only runs that meet these common tests are looked at: few, as waiters wait for runs to come.
        """
        question = standing.predicate.asks_of(TOLD)
        those = [one for one in self._searching[question] if one.declared is self.declared]
        if len(those) <= SEARCHES_MAX or standing.predicate.run_ids is not None:
            return
        for one in those:
            self.searched(one)
        common = [f"{'.'.join(test.where)} {test.op} {test.operand}" for test in question]
        try:
            pairs = self.base.matches.found(self.base.predicate(common))
            numbers = iter([run.entries["id"] for run, _ in pairs])
            while batch := list(itertools.islice(numbers, AT_ONCE)):
                self.base.load_with_jobs(batch)
                for number in batch:
                    self._judge(number)
        except BaseException:
            self.look_anew()
            raise
        self.mark()

    def searched(self, standing: Standing) -> None:
        """Note that a waiter has searched all runs, or does so now."""
        if standing.anew:
            standing.anew = False
            question = standing.predicate.asks_of(TOLD)
            _take_out(self._searching, question, standing)

    def _search(self, standing: Standing) -> None:
        standing.anew = True
        question = standing.predicate.asks_of(TOLD)
        self._searching.setdefault(question, {})[standing] = None

    def keep(self, standing: Standing, numbers: frozenset[int]) -> None:
        """Note the runs of a waiter that has searched: see :meth:`Standing.keep`."""
        for number in standing.kept - numbers:
            _take_out(self._keeping, number, standing)
        for number in numbers - standing.kept:
            self._keeping.setdefault(number, {})[standing] = None
        standing.kept = numbers
        standing.numbers.clear()
        self.searched(standing)

    def mark(self) -> None:
        """Note that a search in the same view has changed nothing since the last look."""
        _, self._mark = self.base.matches.changed_since(self._mark)

    def refile(self, standing: Standing, predicate: Predicate) -> None:
        """File constraints again: their meaning has changed with the declarations."""
        self._remove(standing)
        standing.predicate, standing.declared = predicate, self.declared
        self._add(standing)

    def _judge(self, number: int) -> None:
        pair = self.base.matches.pair(number)
        for standing in self._keeping.get(number, ()):
            standing.tell()
        met: set[Predicate] = set()
        if pair is not None:
            run, job = pair
            documented = DocumentedEntries(run.entries, vars(run))
            for predicate in self._index.candidates(run.entries, documented, lambda: job.entries):
                try:
                    if self.base.matches.meets(predicate, run, job.entries):
                        met.add(predicate)
                except ConstraintError:  # the waiters for it search themselves, and raise it
                    for standing in self._standing[predicate]:
                        self._search(standing)
                        standing.tell()
        for predicate in met:
            for standing in self._standing[predicate]:
                standing.numbers.add(number)
                standing.tell()

    def _all(self) -> Iterable[Standing]:
        return [standing for some in self._standing.values() for standing in some]

    def _declarations(self) -> tuple[dict[str, type], dict[str, type]]:
        return self.base.types("job"), self.base.types("run")

    def _add(self, standing: Standing) -> None:
        predicate = standing.predicate
        self._index.add(predicate)
        self._standing.setdefault(predicate, {})[standing] = None
        self._search(standing)
        if predicate.run_ids is None:
            self._questions.setdefault(predicate.asks_of(TOLD), {})[predicate] = None
        for number in predicate.run_ids or ():
            self._of_run.setdefault(number, {})[predicate] = None
        self._reading_more += not standing.reads_states_only

    def _remove(self, standing: Standing) -> None:
        predicate = standing.predicate
        self.keep(standing, frozenset())
        self._reading_more -= not standing.reads_states_only
        del self._standing[predicate][standing]
        if not self._standing[predicate]:
            del self._standing[predicate]
            self._index.discard(predicate)
            if predicate.run_ids is None:
                _take_out(self._questions, predicate.asks_of(TOLD), predicate)
            for number in predicate.run_ids or ():
                _take_out(self._of_run, number, predicate)


def _take_out(index: dict[K, dict[V, None]], key: K, value: V) -> None:
    del index[key][value]
    if not index[key]:
        del index[key]
