"""TLS 1.3, both sides with the workflow's one certificate. Uses only the standard library."""

from __future__ import annotations

import hmac
import os
import socket
import ssl
from pathlib import Path

from motoko.channel.key_file import UnsafeKey, check_private, key_path

# An idle peer is probed after 5 s, then every 5 s, and counts as gone after 4 missing answers. Data
# that is not acknowledged for 25,000 ms ends the connection as well.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


def keep_alive(connection: socket.socket) -> None:
    """Have a TCP connection end within 25 s when its other host is gone, and send at once."""
    for level, option, value in _KEEP_ALIVE:
        connection.setsockopt(level, option, value)


class Contexts:
    """The TLS context of one side, made anew when the key's file was replaced.

    Args:
        directory: the channel's directory.
        server: whether the side is the server's.
    """

    def __init__(self, directory: str | os.PathLike[str], *, server: bool) -> None:
        self._path = key_path(Path(directory))
        self._side = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        self._context: ssl.SSLContext | None = None
        self._secret = b""
        self._stamp: tuple[int, ...] = ()

    def current(self) -> ssl.SSLContext:
        """The context for the next connection. Raises ``UnsafeKey`` if there is no key for it."""
        for _ in range(3):
            stamp = self._stat()
            if self._context is not None and stamp == self._stamp:
                return self._context
            context, secret = self._made(), self._path.read_bytes()
            if self._stat() == stamp:  # it was not replaced while it was read
                self._context, self._secret, self._stamp = context, secret, stamp
                return context
        raise UnsafeKey(f"{self._path} keeps being replaced")

    def server_name(self, socket_name: str) -> str:
        """The TLS server name that asks for one of the workflow's sockets, by its file's name.

        A client without the key does not know it: the gate turns strangers away by their first
        bytes, before any handshake. The name changes with the key. Raises ``UnsafeKey`` if there is
        no key.
        """
        self.current()
        return hmac.digest(self._secret, f"motoko {socket_name}".encode(), "sha256").hex()[:32]

    def _stat(self) -> tuple[int, ...]:
        info = check_private(self._path)
        return info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(self._side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the key alone identifies the other side
        context.verify_mode = ssl.CERT_REQUIRED
        if self._side == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # no session outlasts the key by resumption
        try:
            context.load_verify_locations(self._path)
            context.load_cert_chain(self._path)
        except (OSError, ssl.SSLError) as error:
            raise UnsafeKey(
                f"{self._path} cannot be used: {error}",
                hint="`motoko keys renew` makes another key",
            ) from error
        return context
