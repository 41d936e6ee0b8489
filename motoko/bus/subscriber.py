"""Listening to the bus from an asyncio loop.

The order that loses nothing is: subscribe, be welcomed, read, wait. A welcome is the bus's answer
to the subscription to a topic that only this subscriber knows; since the bus handles a
subscriber's subscriptions in order, a welcome proves that all earlier ones are live.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

import zmq

from motoko.bus.contexts import new_context
from motoko.bus.messages import BadMessage, Message, UnknownType, decode

log = logging.getLogger(__name__)

# Sorts after every other topic: a new connection sends its subscriptions in that order.
WELCOME = b"~welcome."
# Messages that a busy subscriber may leave unread; then the bus drops its messages (it resyncs).
RECEIVE_HIGH_WATER_MARK = 100_000
RECONNECT_MS = 50
UNKNOWN_MAX = 20  # types that are named in the log


class Decoder:
    """Decodes what comes over the bus. Bad messages are counted and dropped; the first is logged.

    Attributes:
        bad_messages: how many were not messages of Motoko.
    """

    def __init__(self) -> None:
        self.bad_messages = 0
        self._unknown_types: set[str] = set()

    def message(self, frames: list[bytes]) -> Message | None:
        """The message in the frames; ``None`` if they hold none that is known here."""
        try:
            return decode(frames)
        except UnknownType as error:
            if error.type not in self._unknown_types and len(self._unknown_types) < UNKNOWN_MAX:
                self._unknown_types.add(error.type)
                log.warning("%s: all of them are ignored", error)
        except BadMessage as error:
            self.bad_messages += 1
            if self.bad_messages == 1:
                log.warning("dropped a bad message (further ones are counted): %s", error)
        return None


class Subscriber:
    """One SUB socket, feeding a callback from the running loop.

    Args:
        address: the bus's subscribe address.
        on_message: called in the loop with each message, in the order of arrival.
        on_live: called in the loop each time all subscriptions are live: once after the start,
            after every later :meth:`subscribe`, and again after each reconnection (messages may
            have been missed then, so the owner reads again what it waits for).
        on_error: called with what either callback raises; further messages are read all the same.
            Without it the first such error is raised in the loop, for its exception handler, once
            nothing is left to read, and further ones are logged.

    Belongs to the loop that was running when it was made; not thread-safe.
    """

    def __init__(
        self,
        address: str,
        on_message: Callable[[Message], None],
        on_live: Callable[[], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_live = on_live
        self._on_error = on_error
        self._live = asyncio.Event()
        self._decoder = Decoder()
        self._context = new_context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set_hwm(RECEIVE_HIGH_WATER_MARK)
        self._socket.linger = 0
        self._socket.reconnect_ivl = RECONNECT_MS
        self._topics: set[bytes] = set()
        self._welcome = b""
        self._ask_welcome()
        self._socket.connect(address)
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self._drain)
        self._loop.call_soon(self._drain)

    @property
    def bad_messages(self) -> int:
        """How many messages were not messages of Motoko."""
        return self._decoder.bad_messages

    def subscribe(self, *topics: bytes) -> None:
        """Add topics (prefixes). They are live when :meth:`live` returns."""
        new = [topic for topic in topics if topic not in self._topics]
        if not new:
            return
        for topic in new:
            self._topics.add(topic)
            self._socket.subscribe(topic)
        self._live.clear()
        self._ask_welcome()
        # Socket calls may consume the readiness that the descriptor has signalled.
        self._loop.call_soon(self._drain)

    async def live(self, timeout: float | None = None) -> None:
        """Wait until the bus has confirmed all subscriptions; ``TimeoutError`` if it does not."""
        async with asyncio.timeout(timeout):
            await self._live.wait()

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if not self._socket.closed:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._fd)
            self._socket.close()
            self._context.term()

    def _ask_welcome(self) -> None:
        old, self._welcome = self._welcome, WELCOME + secrets.token_hex(8).encode()
        self._socket.subscribe(self._welcome)
        if old:
            self._socket.unsubscribe(old)

    def _drain(self) -> None:
        # The descriptor is edge-triggered: read until nothing is left, even if a callback raises.
        raised: Exception | None = None
        while not self._socket.closed:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                self._take(frames)
            except Exception as error:
                if self._on_error is not None:
                    self._on_error(error)
                elif raised is None:
                    raised = error
                else:
                    log.error("another message was not handled", exc_info=error)
        if raised is not None:
            raise raised

    def _take(self, frames: list[bytes]) -> None:
        if frames[0].startswith(WELCOME):
            self._welcomed(frames[0])
            return
        message = self._decoder.message(frames)
        if message is not None:
            self._on_message(message)

    def _welcomed(self, topic: bytes) -> None:
        if topic != self._welcome:
            return  # a later subscription is still on its way
        if self._live.is_set():
            # The connection was lost and is back. ZeroMQ then sends all subscriptions again, in no
            # promised order: only the answer to a fresh one proves that all have arrived.
            self._live.clear()
            self._ask_welcome()
            return
        self._live.set()
        if self._on_live:
            self._on_live()
