"""A host of the lab: processes with their own network, address, name, boot, /tmp, /run and /etc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from slurm_programs import SYSTEM_PATH
from support import motoko_command, wait_until

from motoko.host.identity import Identity
from motoko.host.living_processes import session_members
from motoko.host.proc_files import fields_in

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Who is no user of ours: no account has this number.
STRANGER = 61234
MASK = 24


@dataclass(frozen=True)
class Process:
    """A process of a host, as it is seen from outside."""

    identity: Identity
    inner_pid: int  # what it is called on its host
    uid: int
    command: str


class Running:
    """A process that was started on a host; its pid and identity are those seen from outside."""

    def __init__(self, host: Host, entering: subprocess.Popen[str]) -> None:
        self.host = host
        self.entering = entering
        self.stdin, self.stdout = entering.stdin, entering.stdout
        self.identity = wait_until(self._entered, "a process has entered its host")

    def _entered(self) -> Identity | None:
        """Who is in the namespaces: the child of the one that is not."""
        if self.entering.poll() is not None:
            return Identity(0, 0, "", "")  # it has ended already
        for pid in children(self.entering.pid):
            return Identity.of(pid)
        return None

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def returncode(self) -> int | None:
        """As of ``Popen``, after a look."""
        return self.entering.poll()

    def signal(self, number: int = signal.SIGTERM) -> bool:
        """Signal that very process; whether it was alive."""
        return self.identity.signal(number)

    def kill(self) -> None:
        """kill -9 of it and of its session, and wait."""
        self.signal(signal.SIGKILL)
        for member, _ in session_members(self.pid) if self.pid else ():
            member.signal(signal.SIGKILL)
        self.entering.wait(timeout=30)
        for stream in (self.entering.stdin, self.entering.stdout, self.entering.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def communicate(self, text: str | None = None, timeout: float = 60) -> str:
        """Wait for its end; what it has printed, from where it has been read so far."""
        output, _ = self.entering.communicate(text, timeout=timeout)
        return output or ""


@dataclass
class Host:
    """One host; the lab makes and connects it.

    Attributes:
        name: by which the lab knows it; what it is called now is :attr:`hostname`.
        address: at which the others reach it now.
        top: the lab's directory, which all hosts share.
        switch: the process whose network holds the other ends of all cables.
        started: what tests have started there; the lab ends it after each.
        services: what ends with the host alone.
    """

    name: str
    address: str
    top: Path
    switch: Callable[[], int]
    hostname: str = ""
    started: list[Running] = field(default_factory=list)
    services: list[Running] = field(default_factory=list)
    _first: Identity | None = None
    _parent: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.hostname = self.hostname or self.name

    # Processes there

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 60,
        user: int = 0,
        cwd: Path | None = None,
        stdin: str | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end.

        Args:
            check: whether it has to succeed; else ``AssertionError`` with what it has printed.
            user: the uid that it runs as.
            cwd: where; the lab's shared directory by default.
            environment: further variables; of the caller's it has those that begin with MOTOKO.
        """
        process = self.popen(
            *command, user=user, cwd=cwd, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            **environment,
        )  # fmt: skip
        self.started.remove(process)
        try:
            out, err = process.entering.communicate(stdin or "", timeout=timeout)
        except BaseException:
            process.kill()
            raise
        code = process.entering.returncode
        done = subprocess.CompletedProcess(list(command), code, out, err)
        assert not (check and code), f"{self.name}: {' '.join(command)}: exit {code}\n{out}{err}"
        return done

    def popen(
        self,
        *command: str,
        user: int = 0,
        cwd: Path | None = None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.STDOUT,
        **environment: str,
    ) -> Running:
        """Start a command there, in a session of its own; the lab ends it after the test."""
        assert self._first is not None, f"{self.name} is off"
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        entering = subprocess.Popen(
            [
                *("nsenter", "-t", str(self._first.pid), "-n", "-m", "-u", "-p", "-i"),
                *(f"--wdns={cwd or self.top / 'shared'}", "--", "setsid", "--wait"),
                *become,
                *command,
            ],
            env=surroundings(user) | environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
        process = Running(self, entering)
        self.started.append(process)
        return process

    def motoko(
        self, *arguments: str, cwd: Path | None = None, timeout: float = 90, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A command of Motoko's there, to its end, whatever its exit code."""
        command = motoko_command(*arguments)
        return self.run(*command, check=False, cwd=cwd, timeout=timeout, **environment)

    def python(self, code: str, *arguments: str, **options: Any) -> str:
        """Python code there, which has to succeed; what it prints. ``options``: see :meth:`run`."""
        return str(self.run(sys.executable, "-P", "-c", code, *arguments, **options).stdout)

    def processes(self, word: str = "", user: int | None = None) -> list[Process]:
        """The living processes there whose command line has a word; not the first one."""
        return [
            process
            for process in living(self.namespace)
            if word in process.command and user in (None, process.uid)
        ]

    @property
    def namespace(self) -> str:
        """What its pids count in; empty if it is off."""
        if self._first is None:
            return ""
        return str(Path(f"/proc/{self._first.pid}/ns/pid").readlink())

    def path(self, path: str | Path) -> Path:
        """A path there as one that can be used outside of it: of /tmp, /run, /dev/shm, /etc."""
        assert self._first is not None, f"{self.name} is off"
        return Path(f"/proc/{self._first.pid}/root/{str(path).lstrip('/')}")

    @property
    def boot_id(self) -> str:
        """The kernel's identifier of its present boot, as its processes see it."""
        return self.path("/proc/sys/kernel/random/boot_id").read_text().strip()

    # What happens to it

    @property
    def is_on(self) -> bool:
        return self._first is not None

    def power_on(self) -> None:
        """Start it: another boot id, empty /tmp and /run, its cable plugged in."""
        assert self._first is None, f"{self.name} is on"
        kept = [str(ROOT), sys.prefix, sys.base_prefix]
        self._parent = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "-n", "-m", "-u", "-i", "-p", "--fork", "--mount-proc"),
                *("--kill-child", sys.executable, "-I", "-S", str(HERE / "first_process.py")),
                *(self.hostname, str(self.top / self.name), *kept),
            ],
            env=surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._parent.stdout is not None and self._parent.stderr is not None
        if self._parent.stdout.readline() != b"up\n":
            raise OSError(self._parent.stderr.read().decode())
        (pid,) = children(self._parent.pid)
        self._first = Identity.of(pid)
        self._plug_in()

    def power_off(self) -> None:
        """Power cut: all of its processes are gone."""
        assert self._first is not None and self._parent is not None
        before = self.processes()
        self._first.signal(signal.SIGKILL)
        self._parent.communicate()
        self._first = self._parent = None
        # Numbers of namespaces are used again: what lived is known by who it was.
        wait_until(lambda: not any(p.identity.alive for p in before), f"{self.name} is off")
        for process in [*self.started, *self.services]:
            process.kill()
        self.started.clear()
        self.services.clear()

    def cut(self) -> None:
        """Pull its cable out."""
        in_network(self.switch(), "ip", "link", "set", f"v-{self.name}", "down")

    def mend(self) -> None:
        """Plug its cable in again."""
        in_network(self.switch(), "ip", "link", "set", f"v-{self.name}", "up")

    def clean_tmp(self) -> None:
        """What a cleaner of /tmp does to all that it finds there: files and sockets are gone."""
        self.run("find", "/tmp", "-mindepth", "1", "-delete")

    def _plug_in(self) -> None:
        assert self._first is not None
        cable = f"v-{self.name}"
        switch, first = self.switch(), self._first.pid
        peer = ["type", "veth", "peer", "name", "eth0", "netns", str(first)]
        in_network(switch, "ip", "link", "add", cable, *peer)
        in_network(switch, "ip", "link", "set", cable, "master", "br0", "up")
        self.set_address(self.address)

    def set_address(self, address: str) -> None:
        """Give its network card an address; the others do not know of it by that."""
        assert self._first is not None
        first = self._first.pid
        in_network(first, "ip", "addr", "flush", "dev", "eth0")
        in_network(first, "ip", "addr", "add", f"{address}/{MASK}", "dev", "eth0")
        in_network(first, "ip", "link", "set", "eth0", "up")
        self.address = address


def surroundings(user: int = 0) -> dict[str, str]:
    """The environment of what is started on a host."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("MOTOKO")}
    path = os.pathsep.join([str(Path(sys.executable).parent), SYSTEM_PATH])
    home = os.environ.get("HOME", "/root") if not user else "/tmp"
    return {"PATH": path, "HOME": home, "LANG": "C.UTF-8"} | ours


def in_network(pid: int, *command: str) -> None:
    """Run a command in a process's network, and nothing else of its surroundings."""
    full = ["nsenter", "-t", str(pid), "-n", "--", *command]
    done = subprocess.run(full, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr}")


def children(pid: int) -> Sequence[int]:
    """The living children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def living(namespace: str) -> Iterator[Process]:
    """The processes of a pid namespace but its first one; zombies do not live."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if str((entry / "ns" / "pid").readlink()) != namespace:
                continue
            fields = (entry / "status").read_text()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if fields_in((entry / "stat").read_bytes())[0] == b"Z":
                continue
        except OSError:
            continue
        lines = dict(line.split(":", 1) for line in fields.splitlines())
        inner = int(lines["NSpid"].split()[-1])
        identity = Identity.of(int(entry.name))
        if inner != 1 and identity is not None:
            yield Process(identity, inner, int(lines["Uid"].split()[0]), command.strip())
