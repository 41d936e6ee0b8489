"""Connections to the control socket and the bus: TLS ends here, and their bytes are passed on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from motoko.channel.greeting import LINE_MAX, WELCOME, BadGreeting, Greeting, read_greeting, refusal

HANDSHAKE_S = 10.0  # for the handshake, and again for the greeting
_BLOCK = 1 << 16

# Why a client that greets is not served, and whether its run is fenced; None if it is served.
Refusal = Callable[[Greeting], "tuple[str, bool] | None"]
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def splice(
    connection: socket.socket, context: ssl.SSLContext, target: Path, refused: Refusal
) -> None:
    """Serve a connection until either side ends it.

    Raises ``OSError`` if the handshake fails, and ``BadGreeting`` if no greeting follows.
    """
    reader, writer = await _secured(connection, context)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            try:
                greeting = read_greeting(await reader.readline())
            except ValueError:  # longer than the stream's limit
                raise BadGreeting("it does not greet") from None
        if (no := refused(greeting)) is not None:
            writer.write(refusal(no[0], fenced=no[1]))
            return
        try:
            inner = await asyncio.open_unix_connection(target)
        except OSError:
            writer.write(refusal(f"nobody answers at {target.name} now", fenced=False))
            return
        writer.write(WELCOME)
        with contextlib.suppress(OSError):
            await _pass_on((reader, writer), inner)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _secured(connection: socket.socket, context: ssl.SSLContext) -> _Streams:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_MAX)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, connection, ssl=context, ssl_handshake_timeout=HANDSHAKE_S
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _pass_on(outer: _Streams, inner: _Streams) -> None:
    try:
        directions = [
            asyncio.ensure_future(_pour(outer[0], inner[1])),
            asyncio.ensure_future(_pour(inner[0], outer[1])),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
    finally:
        inner[1].close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
