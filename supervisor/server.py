"""The control socket: one JSON line in, one JSON line out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# A client has this long to ask and to read its answer; silent ones are sent away.
PATIENCE_S = 10.0

Answer = Callable[[dict[str, Any]], dict[str, Any]]


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Answer requests until the server is closed. Replaces a dead supervisor's socket.

    What a client sends cannot disturb: garbage gets an ``{"error": ...}``, silence ends the
    connection.
    """

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                reply = _reply(await _request(reader), answer)
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except OSError as error:  # TimeoutError is one
            log.debug("a client went away: %s", error)
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(client, path)
    path.chmod(0o600)
    return server


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readline()
    except ValueError:  # longer than the stream's limit
        return None


def _reply(request: bytes | None, answer: Answer) -> dict[str, Any]:
    if request is None:
        return {"error": "the request is too long"}
    try:
        asked = json.loads(request)
    except ValueError as error:  # UnicodeDecodeError is one
        return {"error": f"the request is no JSON: {error}"}
    except RecursionError:
        return {"error": "the request is nested too deeply"}
    if not isinstance(asked, dict) or not isinstance(asked.get("command"), str):
        return {"error": 'the request has to be an object with a "command"'}
    return answer(asked)
