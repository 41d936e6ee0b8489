"""A study's ZEO server.

Writes ``.bd/zeo.conf``, through which every BlackDynamite client finds the server, and serves the
study's database from a socket in the runtime directory: clients that find it dead wait or fail
there, whereas at BlackDynamite's default place they would start a server of their own.

With a TCP ``host:`` it listens there as well, and zeo.conf says so: for the nodes of a cluster.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from ZEO.asyncio.server import ServerProtocol
from ZEO.runzeo import ZEOOptions, ZEOServer

from motoko.bd.zeo_conf import render
from motoko.config import StudyConfig
from motoko.errors import MotokoError, NotCreated
from motoko.runtime import write_atomically
from motoko.workers.daemon import Daemon, arguments, running

KEEP_ALIVE_MAX = 64  # bytes: longer messages are something else


class CountingServer(ZEOServer):  # type: ignore[misc]  # ZEO has no types
    """A ZEO server whose answer to ``ruok`` also counts the calls of its clients."""

    calls = 0
    tcp: tuple[str, int] | None = None  # where to listen besides

    def create_server(self) -> None:
        super().create_server()
        ask = self.server.ruok

        def ruok() -> dict[str, Any]:
            return {**ask(), "motoko": {"calls": self.calls}}

        self.server.ruok = ruok

        received = ServerProtocol.message_received

        def message_received(protocol: Any, message: bytes) -> None:
            # A client without news says so once a minute: that is no call.
            self.calls += len(message) > KEEP_ALIVE_MAX or message != protocol.encode(
                -1, 0, ".reply", None
            )
            received(protocol, message)

        ServerProtocol.message_received = message_received
        if self.tcp is not None:
            self._listen(*self.tcp)
        logging.info("ready")

    def _listen(self, host: str, port: int) -> None:
        acceptor = self.server.acceptor
        loop = acceptor.event_loop
        listening = loop.create_server(acceptor.factory, host.strip("[]"), port)
        try:
            loop.run_until_complete(listening)
        except OSError as error:
            raise MotokoError(
                f"the ZEO server cannot listen at {host}:{port}: {error.strerror or error}",
                hint="choose another port in the study's `host:`",
            ) from error
        logging.warning(
            "listening at %s:%d: whoever reaches this port can run code in your processes",
            *(host, port),
        )


def serve(study: StudyConfig, daemon: Daemon) -> None:
    """Serve a study's database until the process is told to stop."""
    runtime = daemon.runtime
    if not study.created:
        raise NotCreated(
            f"study {study.name} has no database in {study.directory / '.bd'}",
            hint="run `motoko create`",
        )
    conf = study.directory / ".bd" / "zeo.conf"
    unix = runtime.zeo(study.name)
    write_atomically(conf, render(study.directory / ".bd", study.tcp_address or unix))
    options = ZEOOptions()
    options.realize(["-C", str(conf)], doc="")
    options.family, options.address = socket.AF_UNIX, str(unix)
    daemon.log()  # zeo.conf has logging of its own, for servers that others start from it
    server = CountingServer(options)
    server.tcp = study.tcp_address
    server.main()


def main() -> None:
    """Entry point of ``python -m motoko.workers.zeo``."""
    options = arguments("The ZEO server of a study.", study=True)
    with running(f"zeo:{options.study}", options.workflow) as daemon:
        serve(daemon.config.studies[options.study], daemon)


if __name__ == "__main__":
    main()
