"""Serves the web site at a private socket or a loopback port, until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from motoko.cli.render.web.application import Site
from motoko.cli.render.web.guard import Guard
from motoko.config import WorkflowConfig
from motoko.errors import CannotWrite

NEAR_PORT = 8000  # at the near end of `ssh -L`
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEAVE_S = 2  # how long open pages may keep the server from ending


def serve(
    config: WorkflowConfig, port: int | None, say: Callable[[str], None], *, has_control: bool
) -> None:
    """Serve a workflow's site until SIGINT or SIGTERM.

    Args:
        config: the workflow.
        port: a port of 127.0.0.1, 0 for a free one; ``None``: a Unix socket in a private directory.
        say: gets lines for the user: the address, and a new one whenever it was used.
        has_control: whether runs may be cancelled and retried.

    Raises ``CannotWrite`` if the port is taken.
    """
    with _listening(port) as (listener, path):
        url = f"http://127.0.0.1:{NEAR_PORT if path else listener.getsockname()[1]}"
        if path is not None:
            where = f"{getpass.getuser()}@{socket.getfqdn()}"
            say("on your own computer, type this, and leave it open:")
            say(f"  ssh -N -L {NEAR_PORT}:{path} {where}")
        guard = Guard(lambda token: say(f"open this address in a browser: {url}/#{token}"))
        site = Site(config, guard, has_control=has_control)
        asyncio.run(_run(site, listener))


class _Server(uvicorn.Server):
    """Ends at signals without dying of them, and lets the site's streams end first."""

    def __init__(self, settings: uvicorn.Config, site: Site) -> None:
        super().__init__(settings)
        self._site = site

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _ENDING:
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.close()
        await super().shutdown(sockets)


async def _run(site: Site, listener: socket.socket) -> None:
    settings = uvicorn.Config(
        site.application,
        access_log=False,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=LEAVE_S,
    )
    server = _Server(settings, site)
    feeding = asyncio.create_task(site.feed.run())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.wait({feeding, serving}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        if feeding.done():
            feeding.result()
    finally:
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding


@contextlib.contextmanager
def _listening(port: int | None) -> Iterator[tuple[socket.socket, Path | None]]:
    """A listening socket, and its path if it is a Unix socket."""
    if port is not None:
        with socket.socket(socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotWrite(
                    f"port {port} of 127.0.0.1 cannot be used: {error.strerror}",
                    hint="give another --port, or 0 for a free one",
                ) from error
            listener.listen()
            yield listener, None
        return
    directory = Path(tempfile.mkdtemp(prefix="motoko-web-"))  # only this account enters it
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            path = directory / "web"
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            listener.listen()
            yield listener, path
    finally:
        shutil.rmtree(directory, ignore_errors=True)
