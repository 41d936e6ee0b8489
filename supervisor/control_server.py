"""The control socket: a request is one line of JSON, and so is an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import msgspec

from motoko.control.protocol import (
    AnyRequest,
    Refusal,
    RequestRefused,
    StatusRequest,
    WatchRequest,
    addressee,
    decoded_request,
    encoded,
)
from motoko.host.directories import DirectoryIdentity
from motoko.supervisor.status_changes import StatusChanges

log = logging.getLogger(__name__)

# A client has this long to ask and to read its answer; then it is disconnected.
PATIENCE_S = 10.0

Answer = Callable[[AnyRequest], msgspec.Struct]


class ControlServer:
    """Answers the clients of the control socket; refuses those that mean another workflow.

    Nothing that a client sends disturbs the server: garbage is refused, silence ends the
    connection.
    """

    def __init__(
        self, path: Path, workflow: DirectoryIdentity, answer: Answer, changes: StatusChanges
    ) -> None:
        self._path = path
        self._workflow = workflow
        self._answer = answer
        self._changes = changes
        self._server: asyncio.Server | None = None

    async def serve(self) -> None:
        """Make a new socket at the path and answer there; close the previous one."""
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._client, self._path)
        self._path.chmod(0o600)
        self.close()
        self._server = server

    def close(self) -> None:
        """Accept no more connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await _line(reader)
            try:
                if line is None:
                    raise RequestRefused("the request is too long")
                meant = addressee(line)
                if meant is not None and not meant.is_same(self._workflow):
                    text = f"this is the supervisor of {self._workflow.path}"
                    await _send(writer, Refusal(text, is_other=True))
                    return
                request = decoded_request(line)
            except RequestRefused as refused:
                await _send(writer, Refusal(str(refused)))
                return
            if isinstance(request, WatchRequest):
                await self._stream(writer)
            else:
                await _send(writer, self._answered(request))
        except OSError as error:  # TimeoutError is one
            log.debug("a client went away: %s", error)
        finally:
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        async with aclosing(self._changes.turns()) as turns:
            async for _ in turns:
                await _send(writer, self._answered(StatusRequest()))

    def _answered(self, request: AnyRequest) -> msgspec.Struct:
        try:
            return self._answer(request)
        except RequestRefused as refused:
            return Refusal(str(refused))
        except Exception as error:  # a fault of ours: the client is told, and it is logged
            log.exception("the request %r has failed", request)
            return Refusal(f"the supervisor has failed to do it: {error!r}")


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readline()
    except ValueError:  # longer than the stream's limit
        return None


async def _send(writer: asyncio.StreamWriter, answer: msgspec.Struct) -> None:
    async with asyncio.timeout(PATIENCE_S):
        writer.write(encoded(answer))
        await writer.drain()
