"""The runs that are seen of a study's many: read page by page, as they come into sight."""

from __future__ import annotations

from collections.abc import Sequence

from motoko.bus.messages import Transition
from motoko.cli.render.top import listings
from motoko.cli.render.top.cells import Cell
from motoko.reports.run_pages import PagedRun, RunPage, RunQuery

PAGE = 100
PAGES_MAX = 40  # that are remembered


class RunWindow:
    """The pages of one query.

    Attributes:
        study: the study.
        query: which of its runs.
        total: how many these are; ``None``: not known yet.
        names: the names of their parameters and results.
        tid: the transaction that was read last.
        problem: why they cannot be read; empty if they can. They are not read again until
            :meth:`outdate`.
    """

    def __init__(self, study: str, query: RunQuery) -> None:
        self.study = study
        self.query = query
        self.total: int | None = None
        self.names: tuple[str, ...] = ()
        self.tid = ""
        self.problem = ""
        self._pages: dict[int, Sequence[PagedRun]] = {}
        self._states: dict[int, tuple[str, str]] = {}  # newer than the pages: (tid, state)
        self._stale: set[int] = set()

    def run(self, row: int) -> PagedRun | None:
        """The run in a row, if it was read."""
        page = self._pages.get(row // PAGE, ())
        return page[row % PAGE] if row % PAGE < len(page) else None

    def knows(self, page: int) -> bool:
        """Whether a page was read before."""
        return page in self._pages

    def row(self, row: int) -> list[Cell] | None:
        """The cells of a row, if it was read."""
        run = self.run(row)
        if run is None:
            return None
        state = self._states.get(run.run_id, ("", run.state))[1]
        return listings.run_row(run, state, listings.now())

    def take(self, change: Transition) -> None:
        """A run's state has changed: it is shown at once, and its page read again later."""
        if change.study == self.study:
            if change.new is not None:
                self._states[change.run_id] = change.tid, change.new
            self.outdate()

    def outdate(self) -> None:
        """All pages have to be read again."""
        self.problem = ""
        self._stale.update(self._pages)

    def needed(self, first: int, count: int) -> int | None:
        """The next page to be read, so that these rows are up to date; ``None``: they are."""
        if self.problem:
            return None
        last = max(first + count - 1, first)
        if self.total is not None:
            last = min(last, max(self.total - 1, 0))
        for page in range(first // PAGE, last // PAGE + 1):
            if page not in self._pages or page in self._stale:
                return page
        return None

    def read(self, number: int, page: RunPage) -> None:
        """A page has been read."""
        if self.total != page.total:
            self._stale.update(self._pages)  # rows have moved
        self.total, self.names, self.tid = page.total, page.names, page.tid
        self._pages.pop(number, None)
        self._pages[number] = page.runs
        while len(self._pages) > PAGES_MAX:
            self._pages.pop(next(iter(self._pages)))
        self._states = {
            run: (tid, state) for run, (tid, state) in self._states.items() if tid > page.tid
        }
        if not self._states:
            self._stale.discard(number)
