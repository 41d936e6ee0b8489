"""A warm run's ZEO client: without a thread at first, since most runs make a few calls and end.

A part of warm_template.py and of packed_template.py. It stands alone, as they do.

ZEO's client does its networking in a thread of its own, with an event loop: to start them, and to
switch threads for each call, is a third of what a short run costs. Here ZEO's own code is executed
by the calling thread: it sends, waits for the answer, and handles it. Its thread takes over, and
everything goes on as ever, a second later (the server's announcements have to be read, even if the
run does not call it), or at once when there is something unusual: another thread makes a call, the
run handles signals (in the middle of a call, its handlers might make one), an answer takes long,
much is sent, or the connection is lost.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

VERSIONS = ("6.2",)  # of ZEO, whose insides this relies on
ALONE_S = 1.0  # for how long ZEO's thread is not needed
ANSWER_S = 0.25  # how long an answer may take before it takes over
HANDLED = [
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
    *(signal.SIGTERM, signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP, signal.SIGXCPU),
    *(signal.SIGVTALRM, signal.SIGPROF, signal.SIGWINCH),
]

_getsignal: Any = importlib.import_module("_signal").getsignal  # its public twin takes long
_client: Any = sys.modules.get("ZEO.asyncio.client")
_futures: Any = sys.modules.get("ZEO.asyncio.futures")
_storage: Any = sys.modules.get("ZEO.ClientStorage")
_parts, _rehearsal = (
    runpy.run_path(f"{os.path.dirname(__file__)}/{name}.py")
    for name in ("warm_line", "warm_rehearsal")
)
Loop, Unusual = _parts["Loop"], _parts["Unusual"]
KEPT: list[Any] = []  # what runs find made
_ClientThread: Any = getattr(_client, "ClientThread", object)


class Unawaited(threading.Event):
    """That a thread has begun."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


class WarmClient(_ClientThread):  # type: ignore[misc]  # ZEO has no types
    """Takes the place of ZEO's ``ClientThread``, and becomes one."""

    _begun: Any = None  # its stand-in, as long as there is no event loop
    _line: Any  # the connection
    loop: Any
    io_call: Any

    def __init__(self, addrs: Any, client: Any, cache: Any, *args: Any, **options: Any) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        is_plain = len(addrs) == 1 and not len(cache) and options.get("ssl") is None
        loop = Loop(self._soon, self._connected)
        self.set_options(addrs, client, cache, *args, **options)
        try:
            if not is_main or not is_plain or handles_signals():
                raise Unusual
            self.setup_delegation(loop)
        except Unusual:
            self.loop = None
            super().__init__(addrs, client, cache, *args, **options)
            return
        self._begun, self._line, self._cache = loop, loop.line, cache
        self._owner, self._process = threading.get_ident(), os.getpid()
        self._lock, self._wake = threading.Lock(), threading.Lock()
        self._wake.acquire()
        self._is_within = False  # whether the owner has the lock
        self._threads_call, self.io_call = self.io_call, self._called
        cache.getLastTid = self._last_tid
        client._server = self  # it is asked for when the connection is lost
        self.started = threading.Event()
        self._begin_thread(f"{client.__name__} zeo client networking thread")
        while not (self.client.operational or self._turn(ANSWER_S)):
            pass

    _connected = staticmethod(_parts["connected"])

    def _begin_thread(self, name: str) -> None:
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread._started = Unawaited()  # type: ignore[attr-defined]
        self.thread.start()

    # What the thread does that has made this, as long as there is no event loop

    def _check(self) -> None:
        if self._begun is not None:
            if os.getpid() != self._process:
                raise _client.ClientDisconnected("the connection is that of another process")
            if self._is_within and threading.get_ident() == self._owner:
                raise _client.ClientDisconnected("called while it handles what has come")

    def _enter(self) -> bool:
        """Take the lock, or else have ZEO's thread take over."""
        usual = threading.get_ident() == self._owner and not self._line.is_over
        if usual and not handles_signals() and self._lock.acquire(blocking=False):
            self._is_within = True
            if self._begun is not None:
                return True
            self._release()
        self._hand_over()
        return False

    def _release(self) -> None:
        self._is_within = False
        self._lock.release()

    def _leave(self) -> bool:
        """Send what is to be sent, and release the lock. Whether ZEO's thread has taken over."""
        line, begun = self._line, self._begun
        has_sent = line.send()
        self._release()
        if has_sent and not line.is_over and begun is not None and not begun.has_tasks:
            return False
        self._hand_over()
        return True

    def _break(self) -> None:
        """It was interrupted while it handled something: who knows what was done."""
        if self._is_within:
            self._line.end(None)
            self._release()

    def _turn(self, duration_s: float) -> bool:
        """Handle what comes in a while. Whether ZEO's thread has taken over."""
        if self._begun is None:
            return True
        if not (self._line.is_over or self._line.wait(duration_s)):
            if duration_s:
                self._hand_over()
            return bool(duration_s)
        try:
            if self._enter():
                self._line.receive()
                return self._leave()
        except BaseException:
            self._break()
            raise
        return True

    def _called(self, call: Coroutine[Any, Any, Any], wait: bool = True) -> Any:
        """In place of ``io_call``."""
        task = None
        try:
            self._check()
            if threading.get_ident() != self._owner or not wait:
                self._hand_over()
            elif not self._turn(0) and self._enter():
                task = _futures.AsyncTask(call, self._begun)
                self._leave()
        except BaseException:
            call.close()
            self._break()
            raise
        if task is None:
            return self._threads_call(call, wait)
        while not task.done():
            if self._turn(ANSWER_S):
                self._await(task)
        return task.result()

    def _await(self, task: Any) -> None:
        done = threading.Event()
        self.loop.call_soon_threadsafe(task.add_done_callback, lambda _: done.set())
        done.wait()

    def _soon(self, callback: Callable[..., None], *args: Any) -> None:
        """In place of the event loop's ``call_soon_threadsafe``: messages without an answer."""
        self._check()
        if callback.__name__ != "call_async":  # it may be much
            self._hand_over()
        try:
            if self._begun is not None and self._enter():
                callback(*args)
                if self._line.is_long:
                    self._leave()
                else:
                    self._release()
                return
        except BaseException:
            self._break()
            raise
        self.loop.call_soon_threadsafe(callback, *args)

    def _last_tid(self) -> Any:
        """In place of the cache's: the last transaction that the server has announced."""
        own = threading.get_ident() == self._owner and os.getpid() == self._process
        if own and not self._is_within:
            self._turn(0)
        return type(self._cache).getLastTid(self._cache)

    def close(self) -> None:
        if self._begun is not None:
            if os.getpid() != self._process:
                return
            self._hand_over()
        super().close()

    # ZEO's thread takes over

    def _hand_over(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._wake.release()
        self.started.wait()

    def _serve(self) -> None:
        self._wake.acquire(timeout=ALONE_S)
        with self._lock:
            try:
                self._join(_client.new_event_loop())
            except Exception as error:
                self._line.end(error)
                self.exception, self.client.operational = error, False
                self._begun, self.io_call = None, self._io_call_after_closure
                self.started.set()
                raise
        self.run_io_thread()

    def _join(self, loop: Any) -> None:
        begun, client, line = self._begun, self.client, self._line
        assert begun is not None
        self.loop = client.loop = loop
        for protocol in (line.protocol, *client.protocols):
            protocol.loop = loop
        begun.call_soon_threadsafe = loop.call_soon_threadsafe
        self.io_call = self._threads_call
        del self._cache.getLastTid
        for later in begun.later:
            later.begin(loop)
        if not line.is_over:
            try:
                loop.run_until_complete(line.join(loop))
            except Exception as error:  # noqa: BLE001 (whatever it is, ZEO connects again)
                line.end(error)
        self._begun = None
        if line.is_over:
            line.protocol.connection_lost(line.error)

    def setup_delegation(self, loop: Any) -> None:
        if self.loop is not loop:  # it is not that which it has joined
            super().setup_delegation(loop)


def handles_signals() -> bool:
    """Whether Python code is called when a signal comes, other than for Control-C as usual."""
    handlers = map(_getsignal, HANDLED)
    return any(callable(one) and one is not signal.default_int_handler for one in handlers)


def install() -> None:
    """Have ZEO's storages use it, if this is the ZEO that it is made for."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if _client is None or _storage is None:
            return
        if importlib.metadata.version("ZEO") in VERSIONS and not _client.uvloop_used:
            init = _storage.ClientStorage.__init__
            init.__defaults__ = tuple(
                WarmClient if default is _ClientThread else default for default in init.__defaults__
            )
            with contextlib.suppress(Exception):  # of another BlackDynamite
                KEPT.extend(rehearse())


def rehearse() -> list[Any]:
    """Do what runs do first with their study; returns what is to be kept for them."""
    kept: list[Any] = _rehearsal["rehearse"](WarmClient)
    return kept
