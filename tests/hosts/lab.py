"""Several hosts on this machine, made of namespaces; no container engine is needed, but root is.

They share the file system, apart from /tmp, /dev/shm, /run and /etc, as nodes share a home. Their
network exists inside of their namespaces alone: this machine's own is not touched, labs do not see
each other, and nothing in them reaches the outside. All of it ends with the process that has made
the lab, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from first_process import OWN
from host import HERE, Host, in_network
from slurm_programs import Unavailable, install
from support import sockets_in, wait_until

from motoko.host.identity import Identity

PLACE = Path("/var/tmp")  # not /tmp: hosts have one of their own
PREFIX = "motoko-lab-"
NETWORK = "10.231.7"
CONTROL = "ctl"


class Lab:
    """A head, nodes n1, n2, ..., and ``ctl``, where Slurm's controller is.

    Attributes:
        top: the lab's directory, the same on all hosts; ``shared`` in it is for workflows.
        head: the login node on which workflows are supervised.
        nodes: where jobs run; any of them serves as another login node.
        control: the host of the scheduler.
        on_boot: what a host does by itself when it has been started.
    """

    def __init__(self, nodes: int = 3) -> None:
        self.top = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
        self.top.chmod(0o755)
        (self.top / "owner.json").write_text(json.dumps(Identity.mine().to_dict()))
        self.shared.mkdir()
        self._switch: subprocess.Popen[bytes] | None = None
        self.on_boot: list[Callable[[Host], None]] = []
        addresses = {"head": f"{NETWORK}.1", CONTROL: f"{NETWORK}.2"}
        addresses |= {f"n{number}": f"{NETWORK}.{10 + number}" for number in range(1, nodes + 1)}
        self.hosts = {
            name: Host(name, address, self.top, self._switch_pid)
            for name, address in addresses.items()
        }
        self._addresses = addresses

    @property
    def head(self) -> Host:
        return self.hosts["head"]

    @property
    def control(self) -> Host:
        return self.hosts[CONTROL]

    @property
    def nodes(self) -> list[Host]:
        return [host for name, host in self.hosts.items() if name not in ("head", CONTROL)]

    @property
    def shared(self) -> Path:
        """For workflows: a directory that all hosts see."""
        return self.top / "shared"

    def up(self) -> None:
        """Start all hosts. Raises ``Unavailable`` with the reason where there can be none."""
        if os.geteuid() != 0:
            raise Unavailable("only root can make hosts of namespaces")
        for place in OWN:
            # It would be mounted there, and a test cleans the hosts' /tmp.
            if Path(__file__).resolve().is_relative_to(place):
                raise Unavailable(f"the checkout is in {place}, and hosts have one of their own")
        install(("ip", "nsenter", "unshare", "setpriv"), ("iproute2", "util-linux"))
        sweep()
        try:
            self._start_switch()
            for host in self.hosts.values():
                host.power_on()
            self._name_all()
        except (OSError, AssertionError) as error:
            raise Unavailable(f"no namespaces here: {str(error).strip()}") from error
        for host in self.hosts.values():
            self.head.run("ping", "-c1", "-W5", host.name) if shutil.which("ping") else None

    def down(self) -> None:
        """End all hosts; nothing is left."""
        for host in self.hosts.values():
            if host.is_on:
                host.power_off()
        if self._switch is not None:
            self._switch.kill()
            self._switch.communicate()
        shutil.rmtree(self.top)

    # What happens to hosts

    def reboot(self, host: Host, *, name: str = "", address: str = "") -> None:
        """Power cut and restart: no process, /tmp and /run empty, another boot id.

        It comes back with another name or address if these are given, and the others know of it.
        """
        host.power_off()
        self.power_on(host, name=name, address=address)

    def power_on(self, host: Host, *, name: str = "", address: str = "") -> None:
        """Start a host that is off; it starts what it starts by itself (Slurm's daemons)."""
        host.hostname, host.address = name or host.hostname, address or host.address
        host.power_on()
        self._name_all()
        for act in self.on_boot:
            act(host)

    def shift_clock(self, host: Host, seconds: int) -> None:
        """Set a host's clock wrong, for what is started there from now on; 0 sets it right.

        By a library in ``/etc/ld.so.preload`` (``shifted_clock.c``), which needs a C compiler:
        raises ``Unavailable`` if there is none. The kernel's own times (of files) stay right, as
        those of a file server do.
        """
        preload = host.path("/etc/ld.so.preload")
        if not seconds:
            preload.unlink(missing_ok=True)
            return
        library = self.top / f"clock{seconds:+d}.so"
        if not library.exists():
            compiler = shutil.which("cc")
            if compiler is None:
                raise Unavailable("a wrong clock needs a C compiler")
            source, define = str(HERE / "shifted_clock.c"), f"-DSHIFT={seconds}"
            command = [compiler, "-shared", "-fPIC", "-O1", define, "-o", str(library), source]
            subprocess.run(command, check=True, timeout=60)
        preload.write_text(f"{library}\n")

    # Between tests

    def tidy(self) -> list[str]:
        """Make all as it was at first; what tests have left of processes, sockets, directories.

        A host on which something is left is rebooted.
        """
        left = []
        for name, host in self.hosts.items():
            if not host.is_on:
                self.power_on(host, name=name, address=self._addresses[name])
            host.mend()
            self.shift_clock(host, 0)
            for process in list(host.started):
                process.kill()
                host.started.remove(process)
            found = self._left_on(host)
            left += found
            for path in host.path("/tmp").glob("motoko-*"):
                shutil.rmtree(path)  # what is left by right: it is empty
            renamed = (host.hostname, host.address) != (name, self._addresses[name])
            if found or renamed:
                self.reboot(host, name=name, address=self._addresses[name])
        return left

    def _left_on(self, host: Host) -> list[str]:
        def motokos() -> list[str]:
            return [
                f"{host.name}: {process.command}"
                for process in host.processes()
                if "motoko" in process.command.replace(PREFIX, "")
                or str(self.shared) in process.command
            ]

        with contextlib.suppress(AssertionError):
            wait_until(lambda: not motokos(), "processes have ended", timeout=5)
        own = [host.path(place) for place in ("/tmp", "/run", "/dev/shm")]
        sockets = [path for path in sockets_in(own[0]) if "motoko" in str(path)]
        places = [path for place in own for path in place.glob("motoko-*/*")]
        return motokos() + [
            f"{host.name}: {str(path).partition('/root')[2]}" for path in [*sockets, *places]
        ]

    # The network

    def _start_switch(self) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "-n", "sleep", "infinity"]
        self._switch = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        mine = Path("/proc/self/ns/net").readlink()

        def is_apart() -> bool:
            assert self._switch is not None and self._switch.stderr is not None
            if self._switch.poll() is not None:
                raise AssertionError(self._switch.stderr.read().decode())
            network = Path(f"/proc/{self._switch.pid}/ns/net").readlink()
            return network != mine

        wait_until(is_apart, "there is a network of its own", timeout=5)
        for command in (["link", "set", "lo", "up"], ["link", "add", "br0", "type", "bridge"]):
            in_network(self._switch_pid(), "ip", *command)
        in_network(self._switch_pid(), "ip", "link", "set", "br0", "up")

    def _switch_pid(self) -> int:
        assert self._switch is not None
        return self._switch.pid

    def _name_all(self) -> None:
        """Have all hosts know all by name."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{host.address} {host.hostname}" for host in self.hosts.values()]
        for host in self.hosts.values():
            if host.is_on:
                host.path("/etc/hosts").write_text("\n".join(lines) + "\n")
                host.path("/etc/hostname").write_text(f"{host.hostname}\n")


def sweep() -> None:
    """Remove the directories of labs whose makers have ended: their processes have, too."""
    for place in PLACE.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            owner = Identity.from_dict(json.loads((place / "owner.json").read_text()))
            if not owner.alive:
                shutil.rmtree(place, ignore_errors=True)
