"""Relays of a host that is not the head: an end of the channel that tells what it was greeted with,
and processes that serve, or connect to, a workflow's sockets elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support import wait_until

from motoko.channel import greeting as greetings
from motoko.channel import keys
from motoko.channel.endpoint import Endpoint
from motoko.channel.relaying import PROGRAM
from motoko.channel.tls import Contexts
from motoko.host.identity import Identity, gone

NAMES = ("control", "zeo-mult")


def echo(connection: ssl.SSLSocket) -> None:
    while data := connection.recv(1 << 16):
        connection.sendall(data)


@dataclass
class Gate:
    """A gate behind which everything is said again, for hosts whose sockets are at ``sockets``."""

    directory: Path
    sockets: Path
    names: tuple[str, ...] = NAMES
    answer: bytes = greetings.WELCOME
    serve: Callable[[ssl.SSLSocket], None] = echo
    patience: Mapping[str, float] = field(default_factory=dict)
    greeted: list[greetings.Greeting] = field(default_factory=list)
    ends: list[threading.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys.ensure(self.directory)
        self._contexts = Contexts(self.directory, server=True)
        self.listen()

    def listen(self) -> None:
        """At another port, which is recorded."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        self.record()

    def record(self, boot_id: str = "another-boot") -> None:
        port = self._listener.getsockname()[1]
        hosts, sockets = ("127.0.0.1",), str(self.sockets)
        gate = Endpoint(hosts, port, "head", boot_id, sockets, self.names, self.patience)
        gate.write(self.directory)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        end = threading.Event()
        self.ends.append(end)
        with contextlib.suppress(OSError, greetings.BadGreeting), raw:
            self._greeted(self._contexts.current().wrap_socket(raw, server_side=True))
        end.set()

    def _greeted(self, connection: ssl.SSLSocket) -> None:
        with connection:
            line = b""
            while not line.endswith(b"\n") and (data := connection.recv(1)):
                line += data
            self.greeted.append(greetings.read_greeting(line))
            connection.sendall(self.answer)
            self.serve(connection)


def relay_command(gate: Gate, token: str, *options: str) -> list[str]:
    log = f"--log={gate.directory / 'relay.log'}"
    words = [str(PROGRAM), str(gate.directory), f"--token={token}", log, *options]
    return [sys.executable, "-I", "-S", *words]


def child_of(pid: int) -> int:
    """The only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def keeper_pid(directory: Path) -> int | None:
    """Of what keeps the sockets of a relay of a channel; its child serves. ``None`` without one."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if os.fsencode(directory) in words and b"-I" in words:
                stat = (path.parent / "stat").read_text()
                found[int(path.parent.name)] = int(stat.rpartition(")")[2].split()[1])
    return next((pid for pid in found if pid in found.values()), None)


@dataclass
class Relay:
    """A relay's process, and what it has said."""

    process: subprocess.Popen[bytes]
    answer: str

    @property
    def name(self) -> str:
        word, _, name = self.answer.partition(" ")
        assert word == "ready", self.answer
        return name

    @property
    def reason(self) -> str:
        word, _, reason = self.answer.partition(" ")
        assert word == "failed", self.answer
        return str(json.loads(reason))

    @property
    def pid(self) -> int:
        """Of the one that serves now; the process that was started keeps its sockets."""
        return child_of(self.process.pid)

    def kill(self) -> None:
        """Both of them, so that there is no other one, and wait for that."""
        relay = Identity.of(self.pid)
        self.process.kill()
        relay.signal(signal.SIGKILL)
        assert gone([relay], 20)
        self.process.communicate()

    def end(self) -> int:
        self.process.stdin.close()
        return self.process.wait(20)


def start_relay(gate: Gate, token: str = "7", *options: str) -> Relay:
    process = subprocess.Popen(
        relay_command(gate, token, *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=gate.directory,
    )
    assert select.select([process.stdout], [], [], 20)[0], "the relay says nothing"
    return Relay(process, process.stdout.readline().decode().strip())


@contextlib.contextmanager
def relay(gate: Gate, token: str = "7", *options: str) -> Iterator[Relay]:
    started = start_relay(gate, token, *options)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.end()
        started.process.stdout.close()


def connect(gate: Gate, name: str = "zeo-mult") -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(gate.sockets / name))
    return client


def says_again(client: socket.socket, data: bytes = b"a word") -> bool:
    client.sendall(data)
    return received(client, len(data)) == data


def received(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (part := client.recv(min(size - len(data), 1 << 20))):
        data += part
    return bytes(data)


CLIENT = """\
import socket, sys
path, *times = sys.argv[1:]
for count in range(int(times[0]) if times else 1):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        try:
            client.sendall(b"word")
            answer = client.recv(4)
        except ConnectionError:
            answer = b""
        print(answer.decode() or "cut", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def client_of(gate: Gate, name: str, times: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A process of a relay's job, which says what it is answered, and ends with its input."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(gate.sockets / "zeo-mult"), str(times)],
        env={**os.environ, "MOTOKO_RELAY": name},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=gate.directory,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def all_ended(gate: Gate, least: int = 0) -> None:
    wait_until(
        lambda: len(gate.ends) >= least and all(end.is_set() for end in gate.ends),
        "the gate's connections have ended",
    )
