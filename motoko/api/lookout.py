"""One look at what has changed in a study, shared by all who await selections of its runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from motoko.bus.dispatcher import Dispatcher
from motoko.bus.messages import Transition
from motoko.bus.waiters import Interest, Waiter
from motoko.store.base import StudyBase
from motoko.store.session import session
from motoko.store.standing_predicates import Standing, StandingPredicates

log = logging.getLogger(__name__)


class Lookout:
    """Tells waiters for selections of a study of its changes; active while there are waiters.

    Args:
        base: the study's base.
        dispatcher: tells the lookout that something has happened in the study.
    """

    def __init__(self, base: StudyBase, dispatcher: Dispatcher) -> None:
        self.base = base
        self.dispatcher = dispatcher
        self._standing = StandingPredicates(base)
        self._interest = Interest(studies=[base.study.name], accepts=self._accepts)
        self._work = contextlib.ExitStack()

    @contextlib.contextmanager
    def waiting(
        self, constraints: list[str], tell: Callable[[], None], *, states_only: bool | None = None
    ) -> Iterator[Standing]:
        """Wait for runs that meet constraints, while the block runs.

        ``tell`` is called when ``found()`` of the returned object may find something, or a run that
        it was told to ``keep()`` has changed. ``states_only``: whether commits that change no state
        do not count; by default, as the constraints are.
        """
        if self._standing.is_empty:
            waiter = self._work.enter_context(self.dispatcher.waiting(self._interest))
            self._work.callback(self.dispatcher.start(self._look_out(waiter)).cancel)
        try:
            with self._standing.waiting(constraints, tell, states_only=states_only) as standing:
                self._interest.states_only = self._standing.states_only
                yield standing
        finally:
            self._interest.states_only = self._standing.states_only
            if self._standing.is_empty:
                self._work.close()

    def _accepts(self, event: Transition) -> bool:
        known = {"id": event.run_id, "state": event.new}
        known |= {"run_name": event.run_name} if event.run_name is not None else {}
        return event.new is not None and self._standing.admit(known)

    async def _look_out(self, waiter: Waiter) -> None:
        study = self.base.study.name
        while True:
            news = await waiter.wait()
            waiter.read_again = False  # the connection knows what has changed in any case
            while session().pending:  # pending changes are saved at the loop's next turn
                await asyncio.sleep(0)
            tids = [bytes.fromhex(change.tid) for change in news]
            try:
                session().look(self.base, max(tids, default=self.dispatcher.tid(study)))
                self._standing.look([change.run_id for change in news])
            except Exception as error:  # noqa: BLE001 (each waiter will get the error itself)
                log.info("%s: all who wait search anew, after %r", study, error)
                self._standing.look_anew()
