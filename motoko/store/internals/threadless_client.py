"""Into ZEO's client: its networking done by the thread that uses it, without a thread of its own.

A call to another thread costs two switches of threads, with the interpreter's lock each time. That
is a third of a call's CPU time, and several times its duration on a busy machine. A process that
only waits in one event loop needs no such thread: here ZEO's own loop runs within each call, until
the answer has come, and between calls whenever its socket has something to read.

A user's program may keep that event loop busy, or have none: then messages wait in the socket until
somebody asks what the server has announced, or calls. It may also call from another thread: from
the first such call on, ZEO's loop has a thread of its own, as it always has in ZEO.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import ZEO.asyncio.client
from ZEO.asyncio.futures import AsyncTask, run_coroutine_threadsafe

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_messages import together

_RUNNER = "ZEO.asyncio.client:ClientRunner"
_IO = "ZEO.asyncio.client:ClientIO"
relies_on(
    "ZEO",
    Need(_RUNNER, "set_options", ("self", "addrs", "wrapper", "cache", "storage_key", "read_only")),
    Need(_RUNNER, "setup_delegation", ("self", "loop")),
    Need(_RUNNER, "async_", ("self", "method")),
    Need(_RUNNER, "async_iter", ("self", "it")),
    Need(_IO, "call_async", ("self", "method", "args")),
    Need(_IO, "call_async_iter", ("self", "it")),
    Need(_IO, "close_co", ("self",)),
    Need(_IO, "operational"),
    Need(_IO, "protocol"),
    Need(_IO, "disconnected", ("self", "protocol")),
    Need("ZEO.asyncio.client:Protocol", "close", ("self",)),
    Need("ZEO.asyncio.futures:AsyncTask", "__init__", ("self", "coro")),
    Need("ZEO.asyncio.futures", "run_coroutine_threadsafe", ("coro", "loop")),
)

CALM_S = 20.0  # between turns that only look after timers: ZEO sends a heartbeat each minute
CONNECTING_S = 0.05  # the same while there is no connection
ENDING_S = 9.0  # for a thread, until it has ended


class _Loop(asyncio.SelectorEventLoop):
    """A loop that knows whether it has something to do at once, when it is stopped."""

    has_work = False

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        self._owner = os.getpid()

    def __del__(self) -> None:
        if os.getpid() == self._owner:  # a forked child's copy shares the kernel's list of sockets
            super().__del__()

    def call_soon(  # type: ignore[override]  # the same, said shorter
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        self.has_work = True
        return super().call_soon(callback, *args, context=context)


class ThreadlessClient(ZEO.asyncio.client.ClientRunner):  # type: ignore[misc]  # ZEO has no types
    """Takes the place of ``ClientThread``, with the same arguments.

    The thread that makes it does the networking, until another thread uses it.
    """

    def __init__(
        self,
        addresses: Any,
        storage: Any,
        cache: Any,
        storage_key: str = "1",
        read_only: bool = False,
        timeout: float = 30,
        **options: Any,
    ) -> None:
        self.set_options(addresses, storage, cache, storage_key, read_only, timeout, **options)
        self._name = f"{storage.__name__} zeo client networking thread"
        self._selector = selectors.EpollSelector()
        self.loop = _Loop(self._selector)
        self._outer: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._held: list[tuple[str, tuple[Any, ...]]] = []  # messages without answers
        self._process, self._user = os.getpid(), threading.get_ident()
        self._using = threading.RLock()  # the loop, while it has no thread
        self._thread: threading.Thread | None = None
        self.setup_delegation(self.loop)
        self.io_call: Callable[..., Any] = self._called

    def join(self, loop: asyncio.AbstractEventLoop) -> None:
        """Receive what the server sends between calls, too: in the event loop of the thread."""
        with self._used() as has_thread:
            if has_thread or loop is self._outer:
                return
            self._leave()
            self._outer = loop
            loop.add_reader(self._selector.fileno(), self._turn)
            self._tend()

    def catch_up(self) -> None:
        """Handle what the server has sent: its announcements, above all. Waits for nothing."""
        if os.getpid() != self._process or self.loop.is_running() or self._is_closed:
            return
        with self._used() as has_thread:
            if not has_thread and (self.loop.has_work or self._selector.select(0)):
                self._turn()

    def async_(self, method: str, *args: Any) -> None:
        """Send a message that has no answer."""
        self._check_connected()
        with self._used() as has_thread:
            if has_thread:
                super().async_(method, *args)
                return
            self._held.append((method, args))
            if len(self._held) == 1:
                self._look_ahead()

    def async_iter(self, it: Iterator[tuple[str, tuple[Any, ...]]]) -> None:
        """Send messages that have no answers."""
        self._check_connected()
        with self._used() as has_thread:
            if has_thread:
                super().async_iter(it)
                return
            self._let_go()
            with self._as_running():
                self.client.call_async_iter(it)
            self._look_ahead()

    def close(self) -> None:
        """Disconnect."""
        if self._is_closed:
            return
        with self._used() as has_thread:
            self._is_closed = True
            if not has_thread:
                self._leave()
                try:
                    self._called(self.client.close_co())
                finally:
                    self.io_call = self._io_call_after_closure
                    self.loop.close()
                return
        thread = self._thread
        assert thread is not None
        try:
            self._called(self.client.close_co())
        finally:
            self.io_call = self._io_call_after_closure
            self.loop.call_soon_threadsafe(self.loop.stop)
            thread.join(ENDING_S)

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def _check_connected(self) -> None:
        if not self.client.operational or os.getpid() != self._process:
            raise ZEO.asyncio.client.ClientDisconnected

    @contextlib.contextmanager
    def _used(self) -> Iterator[bool]:
        """Use the loop, unless it has a thread of its own; gives whether it has."""
        with self._using:
            if self._thread is None and threading.get_ident() != self._user:
                self._begin_thread()
            if self._thread is None:
                yield False
                return
        yield True

    def _begin_thread(self) -> None:
        self._let_go()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        if self._outer is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._outer.call_soon_threadsafe(self._leave)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _called(self, call: Coroutine[Any, Any, Any], wait: bool = True) -> Any:
        """Begin a call and, with ``wait``, go on until it has been answered."""
        with self._used() as has_thread:
            if not has_thread:
                return self._called_here(call, wait)
        future = run_coroutine_threadsafe(call, self.loop)
        return future.result() if wait else future

    def _called_here(self, call: Coroutine[Any, Any, Any], wait: bool) -> Any:
        with self._letting_go():
            task = AsyncTask(call, self.loop)
        if wait and not task.done():
            task.add_done_callback(lambda _: self.loop.stop())
            while not task.done():  # a call that was interrupted stops the loop as well
                self._run_loop()
        self._look_ahead()
        return task.result() if wait else task

    def _run_loop(self) -> None:
        """Run the loop until it is stopped."""
        with self._as_only_loop():
            try:
                self.loop.run_forever()
            except BaseException:
                # A signal's handler has raised this, perhaps between a message and what it means.
                if (protocol := self.client.protocol) is not None:
                    with self._as_running():
                        protocol.close()
                        self.client.disconnected(protocol)
                raise

    def _turn(self) -> None:
        """Handle what has come, and what follows from it, without waiting for more."""
        if os.getpid() != self._process:
            return  # a forked child goes on in its copy of the event loop
        with self._used() as has_thread:
            if has_thread or self._is_closed:
                return
            self._let_go()
            self.loop.has_work = True
            while self.loop.has_work:
                self.loop.call_soon(self.loop.stop)
                self.loop.has_work = False
                self._run_loop()
            self._look_ahead()

    def _tend(self) -> None:
        self._timer = None
        self._turn()

    def _leave(self) -> None:
        """Take no more turns in the event loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._outer is not None and not self._outer.is_closed():
            self._outer.remove_reader(self._selector.fileno())
        self._outer = None

    def _look_ahead(self) -> None:
        """See to it that there is a turn when there is something to do, or a timer is over."""
        if self._outer is None or self._is_closed:
            return
        if self._outer.is_closed():
            self._outer = self._timer = None
            return
        pause = CALM_S if self.client.operational else CONNECTING_S
        if self.loop.has_work or self._held:
            pause = 0.0
        if self._timer is not None and self._timer.when() > self._outer.time() + pause:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._outer.call_later(pause, self._tend)

    @contextlib.contextmanager
    def _letting_go(self) -> Iterator[None]:
        """Send messages that have no answers, together with what is sent in the block."""
        held, self._held = self._held, []
        with self._as_running(), together(self.client.protocol):
            if self.client.operational:  # else the connection is lost, and the transaction with it
                for message in held:
                    self.client.call_async(*message)
            yield

    def _let_go(self) -> None:
        if self._held:
            with self._letting_go():
                pass

    @contextlib.contextmanager
    def _as_running(self) -> Iterator[None]:
        """Have ZEO's code believe that its loop runs."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(outer)

    @contextlib.contextmanager
    def _as_only_loop(self) -> Iterator[None]:
        """Have ZEO's loop believe that it is the thread's only one, while a task of another runs.

        These functions are there for implementers of loops.
        """
        outer = asyncio._get_running_loop()
        task = None if outer is None else asyncio.current_task(outer)
        if outer is not None and task is not None:
            asyncio._leave_task(outer, task)
        asyncio._set_running_loop(None)
        try:
            yield
        finally:
            asyncio._set_running_loop(outer)
            if outer is not None and task is not None:
                asyncio._enter_task(outer, task)
