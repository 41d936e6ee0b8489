"""A workflow that is only read: it needs no daemon, and starts none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from motoko.api.engine import Engine
from motoko.bus.dispatcher import Counters
from motoko.bus.messages import Message, Transition
from motoko.bus.waiters import Interest, Waiter, Waiters
from motoko.errors import ReadOnly
from motoko.layout import Runtime

if TYPE_CHECKING:
    from motoko.config import WorkflowConfig
    from motoko.store.base import StudyBase


class ReadingEngine(Engine):
    """Reads each study from its server if one runs, and from its file otherwise."""

    def __init__(self, definition: WorkflowConfig) -> None:
        super().__init__(definition)
        self.starts_supervisor = False
        self._earlier: list[StudyBase] = []
        self._files: dict[str, int] = {}  # the sizes of the files that are read, by study

    def served(self) -> Runtime | None:
        """Nobody tells this process of changes."""
        return None

    def base(self, study: str) -> StudyBase:
        """A study's base as it is now: read again if its file has grown since the last call."""
        if self._files.get(study) not in (None, self._size(study)):
            connection = self._connections.pop(study)
            connection.session.detach(connection.base)
            self._earlier.append(connection.base)  # runs that the caller has belong to it
        return super().base(study)

    def connected(self, study: str) -> StudyBase:
        """A new connection that cannot change anything; raises what :meth:`Engine.base` does."""
        from motoko.control.study_access import is_served, open_base

        config = self.definition.studies[study]
        if not config.is_local or is_served(self.definition, config):
            self._files.pop(study, None)
        else:
            self._files[study] = self._size(study)
        return open_base(self.definition, config, read_only=True)

    def _size(self, study: str) -> int:
        try:
            return self.definition.studies[study].database.transactions.stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close all connections."""
        super().close()
        while self._earlier:
            self._earlier.pop().close()

    async def attached(self) -> Any:
        """A stand-in for a dispatcher: awaits of what has happened already return at once."""
        return _Silence(asyncio.get_running_loop())

    def told(self, study: str, dispatcher: Any) -> None:
        """Nobody tells this process of anything."""

    def check_writable(self, what: str) -> None:
        """Raise ``ReadOnly``."""
        raise ReadOnly(
            f"{what}: this workflow was opened with read_only=True",
            hint="Workflow(path) without it creates, changes and awaits",
        )


class _Silence:
    """Takes the place of a dispatcher to which nothing is ever told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.counters = Counters()
        self.waiters = Waiters()
        self.awaits: list[Waiter] = []
        self.listeners: list[Callable[[Transition], None]] = []

    @contextlib.contextmanager
    def waiting(self, interest: Interest, *, what: str = "") -> Iterator[Waiter]:
        """See ``Dispatcher``; the waiter's first wait raises ``ReadOnly``."""
        with self.waiters.waiting(interest, what) as waiter:
            waiter.error = ReadOnly(
                f"cannot wait for {what or 'runs'}: this workflow was opened with read_only=True, "
                "so no daemon tells it of changes",
                hint="Workflow(path) without it awaits runs that have not ended",
            )
            waiter.event.set()
            yield waiter

    def tid(self, study: str) -> bytes:
        """See ``Dispatcher``."""
        return bytes(8)

    def publish(self, message: Message) -> None:
        """Do nothing: no other process listens."""

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Future[None]:
        """Do nothing: there is no news to be looked at."""
        work.close()
        return self.loop.create_future()

    def close(self) -> None:
        """See ``Dispatcher``."""
