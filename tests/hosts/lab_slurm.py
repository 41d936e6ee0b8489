"""A real Slurm on the hosts of a lab: slurmctld on ``ctl``, slurmd on n1, n2, ..., munged on all.

No systemd, cgroups or accounting. Jobs may be those of any user.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
from pathlib import Path

from host import Host, Running
from lab import CONTROL, Lab
from slurm_programs import PACKAGES, PROGRAMS, Unavailable, install
from support import wait_until

CPUS = 8
LIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING"
CONF = """\
ClusterName=hosts
SlurmctldHost={control}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool/%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile={top}/log/slurmctld.log
SlurmdLogFile={top}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=defer,bf_interval=1,sched_interval=1,batch_sched_delay=0
ReturnToService=2
MailProg=/bin/true
MpiDefault=none
MessageTimeout=5
SlurmdTimeout={slurmd_timeout}
SlurmctldTimeout=10
KillWait=5
MinJobAge=300
MaxJobCount=10000
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """The scheduler of a lab.

    Attributes:
        cpus: of each node.
        slurmd_timeout: seconds after which a node that does not answer is down, its jobs failed.
    """

    def __init__(self, lab: Lab, cpus: int = CPUS, slurmd_timeout: int = 10) -> None:
        self.lab, self.cpus, self.slurmd_timeout = lab, cpus, slurmd_timeout
        self.top = lab.top / "slurm"
        self.daemons: dict[tuple[str, str], Running] = {}

    def start(self) -> None:
        """Start all daemons; returns when all nodes are idle. Raises ``Unavailable``."""
        install(PROGRAMS, PACKAGES)
        for name in ("state", "spool", "log"):
            (self.top / name).mkdir(parents=True)
        self.top.chmod(0o755)
        self._key.write_bytes(secrets.token_bytes(1024))
        self._key.chmod(0o400)
        try:
            for host in self.lab.hosts.values():
                self._configure(host)
                self._start_munge(host)
            for host in (self.lab.control, *self.lab.nodes):
                self._start_daemon(host)
            wait_until(self.all_idle, "all nodes are idle", timeout=40)
        except AssertionError as error:
            raise Unavailable(f"{error}\n{self.last_words()}") from error
        self.lab.on_boot.append(self.start_on)

    def start_on(self, host: Host) -> None:
        """Start what a host has of it; after its start.

        A node's jobs of before are NODE_FAIL. Real nodes are away for minutes, so that the
        controller has missed them, or finds by their uptime that they were rebooted.
        """
        self._configure(host)
        self._start_munge(host)
        if host in self.lab.nodes:
            self._update(host, "State=DOWN", "Reason=rebooted")
        self._start_daemon(host)
        if host in self.lab.nodes:
            self._update(host, "State=RESUME")
            wait_until(lambda: self.answers(host), f"{host.name} is back", timeout=40)

    def stop(self) -> None:
        """End all of it, and what it has executed: with their hosts. Nothing to do here."""
        self.lab.on_boot.remove(self.start_on)

    # What the scheduler says

    def run(self, *command: str, check: bool = True) -> str:
        """One of its commands, on the host of its controller; what it prints."""
        return self.lab.control.run(*command, check=check, timeout=30).stdout.strip()

    def all_idle(self) -> bool:
        """Whether nothing runs, and all nodes answer."""
        states = self.run("sinfo", "-hN", "-o", "%T").split()
        assert states == ["idle"] * len(self.lab.nodes), states
        return True

    def answers(self, host: Host) -> bool:
        """Whether a node may be given jobs."""
        state = self.run("sinfo", "-hN", "-n", host.name, "-o", "%T")
        assert state in ("idle", "mixed", "allocated", "completing"), state
        return True

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """The jobs in the queue: id, number, name, state, reason, node, directory.

        ``number`` is what a node knows as an element's id, other than its id in the array.
        """
        table = self.run("squeue", "-h", "--array", "-t", states, "-o", "%i|%A|%j|%T|%r|%N|%Z")
        names = ("id", "number", "name", "state", "reason", "node", "directory")
        return [dict(zip(names, line.split("|"), strict=True)) for line in table.splitlines()]

    def node_of(self, job: object) -> Host:
        """The node on which a job runs, or ran."""
        (name,) = {each["node"] for each in self.jobs() if each["id"] == str(job)}
        return self.lab.hosts[name]

    # Between tests

    def clear(self) -> None:
        """Cancel all jobs, wait for their end, and see that all is well again."""
        if self.cpus != CPUS:
            self.set_cpus(CPUS)
        for host in self.lab.hosts.values():
            if (host.name, "munged") not in self.daemons or not self._alive(host, "munged"):
                self._start_munge(host)
            self._start_daemon(host)
        self.run("scancel", "--state=PENDING", "--user=root", check=False)
        with contextlib.suppress(AssertionError):  # those whose runs have just finished
            wait_until(lambda: not self.jobs(LIVE), "jobs have ended", timeout=10)
        self.run("scancel", "--full", "--signal=KILL", "--user=root", check=False)
        self.run("scancel", "--user=root", check=False)
        wait_until(lambda: not self.jobs(LIVE), "no job is left", timeout=60)
        for host in self.lab.nodes:
            self._update(host, "State=RESUME")
        wait_until(self.all_idle, "all nodes are idle", timeout=60)

    def set_cpus(self, cpus: int) -> None:
        """Let each node execute so many jobs at once, until the end of the test."""
        self.cpus = cpus
        for host in self.lab.hosts.values():
            self._configure(host)
        for host in (self.lab.control, *self.lab.nodes):
            self.kill(host)
            self._start_daemon(host)
        wait_until(self.all_idle, "all nodes are idle", timeout=60)

    def kill(self, host: Host) -> None:
        """kill -9 of a host's slurmctld or slurmd; what it has executed lives on."""
        self.daemons[host.name, self._program(host)].kill()

    def last_words(self) -> str:
        """The ends of all logs."""
        texts = []
        for path in sorted((self.top / "log").iterdir()):
            lines = path.read_text(errors="replace").splitlines()
            texts.append(f"{path.name}:\n    " + "\n    ".join(lines[-5:]))
        return "\n".join(texts)

    def _update(self, host: Host, *fields: str) -> None:
        """As an administrator; it refuses what is so already."""
        self.run("scontrol", "update", f"NodeName={host.name}", *fields, check=False)

    # Its daemons

    @property
    def _key(self) -> Path:
        return self.top / "munge.key"

    def _program(self, host: Host) -> str:
        return "slurmctld" if host.name == CONTROL else "slurmd"

    def _alive(self, host: Host, name: str) -> bool:
        process = self.daemons.get((host.name, name))
        return process is not None and process.returncode is None

    def _start_munge(self, host: Host) -> None:
        place = host.path("/run/munge")
        place.mkdir(mode=0o755, exist_ok=True)
        files = {"socket": "munge.socket.2", "pid-file": "pid", "log-file": "log", "seed-file": "s"}
        flags = [f"--{name}=/run/munge/{file}" for name, file in files.items()]
        self._start(host, "munged", "-F", "--force", f"--key-file={self._key}", *flags)
        wait_until(lambda: host.run("munge", "-n"), f"munged of {host.name} answers")

    def _start_daemon(self, host: Host) -> None:
        if host.name == "head" or self._alive(host, self._program(host)):
            return
        if host.name == CONTROL:
            self._start(host, "slurmctld", "-D", "-i")
            wait_until(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld answers")
        else:
            (self.top / "spool" / host.name).mkdir(exist_ok=True)
            self._start(host, "slurmd", "-D", "-N", host.name)

    def _start(self, host: Host, program: str, *arguments: str) -> None:
        with open(self.top / "log" / f"{host.name}-{program}.out", "a") as out:
            process = host.popen(program, *arguments, cwd=Path("/"), stdout=out, stderr=out)
        host.started.remove(process)  # it outlives tests
        host.services.append(process)
        self.daemons[host.name, program] = process

    def _configure(self, host: Host) -> None:
        place = host.path("/etc/slurm")
        place.mkdir(exist_ok=True)
        node = "NodeName={} NodeAddr={} CPUs={} RealMemory=2000 State=UNKNOWN"
        nodes = [node.format(each.name, each.address, self.cpus) for each in self.lab.nodes]
        text = CONF.format(
            control=CONTROL,
            top=self.top,
            slurmd_timeout=self.slurmd_timeout,
            nodes="\n".join(nodes),
            names=",".join(each.name for each in self.lab.nodes),
        )
        (place / "slurm.conf").write_text(text)

    def freeze(self) -> None:
        """The controller takes connections, and says nothing."""
        self.daemons[CONTROL, "slurmctld"].signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.daemons[CONTROL, "slurmctld"].signal(signal.SIGCONT)
