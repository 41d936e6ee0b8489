"""`motoko supervise`, `ps` and `kill` with real daemons."""

import contextlib
import socket

from support import wait_until

from motoko.config import load
from motoko.control import client
from motoko.layout import locate
from motoko.operations import starting


def ask_raw(flow, request):
    """What the control socket answers to some bytes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15)
        connection.connect(str(locate(load(flow.path)).control))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(1 << 16).decode()


class TestControlSocket:
    def test_garbage_and_silence(self, supervised):
        runtime = locate(load(supervised.path))
        with contextlib.ExitStack() as stack:
            for _ in range(50):
                silent = stack.enter_context(socket.socket(socket.AF_UNIX))
                silent.connect(str(runtime.control))
            for request in (
                b"\n",
                b"hello\n",
                b"\xff\xfe\n",
                b"[]\n",
                b"{}\n",
                b'{"command": 3}\n',
                b'{"command": "explode"}\n',
                b'{"command": "add_launchers", "slots": "many"}\n',
                b'{"command"',
                b"[" * 5000 + b"\n",
                b"x" * 200_000,
            ):
                with contextlib.suppress(ConnectionError, BrokenPipeError):
                    assert '"error"' in ask_raw(supervised, request), request[:40]
            assert supervised.state() == "ready"

    def test_is_private(self, supervised):
        runtime = locate(load(supervised.path))
        assert runtime.control.stat().st_mode & 0o777 == 0o600
        assert runtime.sockets.stat().st_mode & 0o777 == 0o700

    def test_client_functions(self, supervised):
        config = load(supervised.path)
        assert client.is_supervised(config)
        assert client.supervisor_status(config).supervisor.state == "ready"
        assert supervised.ask("nonsense") == {"error": "unknown command: nonsense"}
        starting.start_detached(supervised.path)  # is content with the one that runs
        assert supervised.ask("stop") == {"stopping": True}
        wait_until(lambda: not client.is_supervised(config), "the supervisor has gone")
        assert client.supervisor_status(config) is None
