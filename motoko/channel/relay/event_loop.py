"""One thread that waits for sockets, for timers and for calls from other threads.

asyncio would take longer to import than all of a relay, and longer for each message than its
encryption.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Timer:
    """A call that is due later, unless :meth:`cancel` was called before."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Cancel the call. Has no effect after the call was made."""
        self.call = None


class EventLoop:
    """Makes the calls for ready descriptors, for due timers and from other threads.

    All methods but :meth:`soon` may be called only by the thread that runs the loop.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._handed: deque[Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_stopped = False
        self.watch(self._bell, READ, self._rung)

    def watch(self, descriptor: int, events: int, call: Callable[[int], None]) -> None:
        """Have a call made with the events of a descriptor, again as long as there are any."""
        self._epoll.register(descriptor, events)
        self._calls[descriptor] = call

    def change(self, descriptor: int, events: int) -> None:
        """Watch a descriptor for other events from now on; 0: only for its end."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching a descriptor. Must be called before the descriptor is closed."""
        if self._calls.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Have a call made after this many seconds."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def soon(self, call: Callable[[], None]) -> None:
        """Have a call made by the loop's thread. May be called from any thread."""
        self._handed.append(call)
        os.eventfd_write(self._bell, 1)

    def stop(self) -> None:
        """Have :meth:`run` return."""
        self._is_stopped = True

    def run(self) -> None:
        """Wait and make calls until :meth:`stop` is called, or a call raises an exception."""
        while not self._is_stopped:
            pause = self._pause()
            for descriptor, events in self._epoll.poll(pause):
                # An earlier call of this round may have stopped watching the descriptor.
                call = self._calls.get(descriptor)
                if call is not None:
                    call(events)
            self._call_due()

    def _pause(self) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(self._timers[0][0] - time.monotonic(), 0.0)

    def _call_due(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()

    def _rung(self, events: int) -> None:
        os.eventfd_read(self._bell)
        while self._handed:
            self._handed.popleft()()
