"""What the parts of one workflow object share: its connections, and its subscription to the bus.

The engine is passed to the task managers, and to the run lists, selections and actions that they
make. The engine knows none of them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from motoko.api.lacking_daemons import LackingDaemons
from motoko.api.serving import served, warn_without_launchers
from motoko.bus.dispatcher import Dispatcher
from motoko.bus.messages import Lacking, Message, OrchestratorStatus, Transition, VarChanged
from motoko.bus.waiters import Waiter
from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.control import daemon_records
from motoko.errors import LauncherGivenUp, NoSupervisor, WrongUse
from motoko.host.identity import Identity
from motoko.layout import Runtime

if TYPE_CHECKING:
    from motoko.api.lookout import Lookout
    from motoko.store.base import StudyBase
    from motoko.store.session import Session

AWAITS_SHOWN = 5
RUNS_NAMED = 1000
OnFailure = Literal["raise", "wait"]


class Driver(Protocol):
    """An execution that is under way."""

    def finish(self) -> None:
        """End it. May be called by a signal's handler, and by other threads."""

    async def handle_failure(self) -> None:
        """Have error handlers, and perhaps actions, act on failed runs."""


@dataclass(frozen=True)
class _Connection:
    """A study's base, its session and its thread: each thread commits its own changes."""

    base: StudyBase
    session: Session
    thread: int


class Engine:
    """What the parts of one workflow object share. Motoko's own commands use it, too.

    Args:
        definition: the workflow, as its motoko.yaml describes it.

    Attributes:
        definition: the workflow, as its motoko.yaml describes it.
        run_name: names the execution, and scopes selections.
        params: the parameters of the execution.
        on_failure: what awaiting runs does when one has failed.
        starts_supervisor: whether to start a supervisor if none is running.
        noticed: the failed runs that an await or an error handler was told of.
        listeners: called with every transition from the next :meth:`attached` on.
    """

    def __init__(self, definition: WorkflowConfig) -> None:
        self.definition = definition
        self.run_name: str | None = None
        self.params: dict[str, Any] = {}
        self.on_failure: OnFailure = "raise"
        self.starts_supervisor = True
        self.noticed: set[tuple[str, int]] = set()
        self.listeners: list[Callable[[Transition], None]] = []
        self._connections: dict[str, _Connection] = {}
        self._dispatcher: Dispatcher | None = None
        self._executing = False
        self._driver: Driver | None = None
        self._finished = False
        self._stopped = False
        self._leaves_at_exit = False
        self._lookouts: dict[str, Lookout] = {}
        self._lacking = LackingDaemons()
        self._read: dict[str, tuple[int, ...]] = {}  # studies, and what had been lost by then

    def check_writable(self, what: str) -> None:
        """Raise ``ReadOnly`` if the workflow is only read; ``what`` is the caller."""

    def served(self) -> Runtime | None:
        """Where the servers listen; see :func:`motoko.api.serving.served`."""
        return served(self.definition, starts_supervisor=self.starts_supervisor)

    def base(self, study: str) -> StudyBase:
        """A study's base, connected at the first use, and again after it was closed.

        Raises ``NotCreated``, ``NoSupervisor`` or ``StudyUnavailable`` if it cannot be connected.
        """
        connection = self._connections.get(study)
        if connection is None:
            from motoko.store.session import session

            base = self.connected(study)
            base.engine = self
            connection = _Connection(base, session(), threading.get_ident())
            connection.session.attach(base)
            self._connections[study] = connection
            if self._dispatcher is not None:
                base.join(self._dispatcher.loop)
        return connection.base

    def connected(self, study: str) -> StudyBase:
        """A new connection to a study's server; raises what :meth:`base` raises."""
        from motoko.mirror.run_finder import MirrorFinder, WatchedMirror
        from motoko.store.base import connect

        base = connect(self.definition.studies[study], self.served(), threadless=True)
        base.finder = MirrorFinder(base.study, WatchedMirror(self.definition, base.study))
        return base

    def is_connected(self, study: str) -> bool:
        """Whether a study's base is connected: used, and not closed since then."""
        return study in self._connections

    def is_another_threads(self, study: str) -> bool:
        """Whether a study was connected by another thread."""
        connection = self._connections.get(study)
        return connection is not None and connection.thread != threading.get_ident()

    def own_tid(self, study: str) -> bytes | None:
        """The newest transaction this process has been told of, if it is connected."""
        connection = self._connections.get(study)
        return None if connection is None else connection.base.tid

    def disconnect(self, study: str) -> None:
        """Close a study's base; uncommitted changes are lost."""
        connection = self._connections.pop(study, None)
        if connection is not None:
            connection.session.detach(connection.base)
            connection.base.close()

    async def attached(self) -> Dispatcher:
        """The dispatcher of the running loop, made at the first use and subscribed to the bus."""
        current = self._dispatcher
        if current is None or current.loop is not asyncio.get_running_loop():
            self.detach()
            runtime = self.served()
            if runtime is None:
                raise NoSupervisor(
                    f"no supervisor runs for {self.definition.path}", hint="run `motoko supervise`"
                )
            self._lacking = LackingDaemons()
            current = Dispatcher(
                runtime,
                self.definition.studies,
                self.own_tid,
                supervisor=daemon_records.supervisor_identity(self.definition),
                status=self._status,
                on_other=self._heard,
            )
            self._dispatcher = current
            for connection in self._connections.values():
                connection.base.join(current.loop)
            if not self._leaves_at_exit:
                self._leaves_at_exit = True
                atexit.register(_leave, weakref.ref(self), os.getpid())
            current.listeners += self.listeners
            if warn_without_launchers(self.definition):
                studies = self.definition.studies
                self._lacking.note_absent(daemon_of(LAUNCHER, study) for study in studies)
        await current.live()
        return current

    def told(self, study: str, dispatcher: Dispatcher) -> bytes | None:
        """How new a view has to be at the beginning of an await that is registered already.

        The bus tells of all that comes later than what it has told. So it need not be as new as the
        server's (``None``), but for the first time, and when messages may have been lost since.
        """
        counters = dispatcher.counters
        lost = id(dispatcher), counters.gaps, counters.resyncs, counters.holes
        if self._read.get(study) == lost:
            return dispatcher.tid(study)
        self._read[study] = lost
        return None

    @property
    def dispatcher(self) -> Dispatcher | None:
        """The dispatcher that listens to the bus now, if any; :meth:`attached` makes it."""
        return self._dispatcher

    @property
    def awaits(self) -> list[Waiter]:
        """The current waiters, the longest-waiting first."""
        return [] if self._dispatcher is None else self._dispatcher.awaits

    def _heard(self, message: Message) -> None:
        if self._dispatcher is not None and isinstance(message, Lacking):
            self._lacking.heard(message, self._dispatcher.awaits)

    def launcher_given_up(self, study: str) -> LauncherGivenUp | None:
        """The error to raise if a study's waiting runs will not be started, else ``None``."""
        why = self._lacking.is_never_started(study)
        if not why or self.on_failure != "raise":
            return None
        return LauncherGivenUp(
            f"runs of study {study} wait, and nobody starts them: {why}",
            hint="start the orchestrator again afterwards: it goes on where it was",
        )

    def lookout(self, base: StudyBase, dispatcher: Dispatcher) -> Lookout:
        """The lookout that examines a study's changes for all waiters for its selections."""
        lookout = self._lookouts.get(base.study.name)
        if lookout is None or lookout.base is not base or lookout.dispatcher is not dispatcher:
            from motoko.api.lookout import Lookout

            lookout = self._lookouts[base.study.name] = Lookout(base, dispatcher)
        return lookout

    def detach(self) -> None:
        """Stop listening to the bus."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
            self._read.clear()
            self._lookouts.clear()

    def close(self) -> None:
        """Disconnect from everything; uncommitted changes are lost."""
        self.detach()
        for study in list(self._connections):
            self.disconnect(study)

    def publish_var(self, name: str) -> None:
        """Tell all waiters that a value of ``workflow.vars`` has changed."""
        if self._dispatcher is not None:
            who = Identity.mine()
            self._dispatcher.publish(VarChanged(name, who.pid, who.host))

    @property
    def finished(self) -> bool:
        """Whether the execution has been told to end."""
        return self._finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._finished = bool(value)
        if self._finished and self._driver is not None:
            self._driver.finish()

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called since the last execution."""
        return self._stopped

    def stop(self) -> None:
        """Make the current execution, or the next one, raise ``WorkflowStopped``.

        May be called by a signal's handler.
        """
        self._stopped = True
        if self._driver is not None:
            self._driver.finish()

    @contextlib.contextmanager
    def executing(self, params: dict[str, Any]) -> Iterator[None]:
        """Allow one execution at a time; ``MotokoError`` if one is already running."""
        self.check_writable("execute()")
        if self._executing:
            raise WrongUse(
                "this Workflow object is being executed already",
                hint="make a Workflow of its own for each execution",
            )
        self._executing, self._finished, self.params = True, False, params
        try:
            yield
        finally:
            self._executing = False

    @contextlib.contextmanager
    def driven_by(self, driver: Driver) -> Iterator[None]:
        """Pass the end of the execution, and failures, on to a driver while the block runs."""
        self._driver = driver
        if self._finished or self._stopped:
            driver.finish()
        try:
            yield
        finally:
            self._driver, self._stopped = None, False

    async def handle_failure(self) -> None:
        """Called before an await raises: error handlers first, then, for ``main``, one round.

        Without an execution only the caller can act.
        """
        if self._driver is not None:
            await self._driver.handle_failure()

    def _status(self, dispatcher: Dispatcher) -> OrchestratorStatus:
        """What ``motoko ps`` shows of this process."""
        awaits = dispatcher.awaits
        names = (f"{study}.{number}" for waiter in awaits for study, number in waiter.runs)
        return OrchestratorStatus(
            self.run_name or "",
            os.getpid(),
            socket.gethostname(),
            waiting=[waiter.what for waiter in awaits[:AWAITS_SHOWN]],
            awaits=len(awaits),
            since=awaits[0].since if awaits else None,
            counts=asdict(dispatcher.counters),
            runs=list(itertools.islice(names, RUNS_NAMED)),
        )


def _leave(reference: weakref.ref[Engine], pid: int) -> None:
    """At the interpreter's exit: close the connections to the servers properly."""
    engine = reference()
    if engine is not None and pid == os.getpid():  # a forked child must not close its parent's
        engine.close()
