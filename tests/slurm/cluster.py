"""A private Slurm on this host: several nodes, own ports, own munge, all of it in one directory.

No systemd, no cgroups, no accounting database. It belongs to whoever runs the tests, and so do its
jobs. Every daemon is ended by its identity (pid and start ticks), and so is what it leaves.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from slurm_configuration import CONF, COUNTED, COUNTER, NO_ACCOUNTS
from slurm_programs import PACKAGES, PROGRAMS, SYSTEM_PATH, Unavailable, install
from support import wait_until
from this_host import free_ports, host_name, processes, user_name

from motoko.batch.job_names import of_element, parts
from motoko.host.identity import Identity
from motoko.host.living_processes import session_members

LOGS = Path(__file__).parents[2] / "test-logs"


@dataclass
class Cluster:
    """A cluster of ``nodes`` nodes, n1, n2, ..., with ``cpus`` CPUs each, below ``top``.

    ``top`` is a directory of this cluster's alone, with a short path: a socket is in it.
    """

    top: Path
    nodes: int = 3
    cpus: int = 8
    min_job_age: int = 300  # seconds that an ended job is known for; 2 is the least
    more: str = ""  # further lines of slurm.conf
    accounts: str = NO_ACCOUNTS  # what is limited and recorded, in lines of slurm.conf
    _has_forgotten: bool = False
    _daemons: dict[str, Identity] = field(default_factory=dict)
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """Its slurm.conf."""
        return self.top / "etc" / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use this cluster, and to have its calls counted."""
        return {"SLURM_CONF": str(self.conf), "PATH": f"{self.top}/bin{os.pathsep}{SYSTEM_PATH}"}

    def start(self) -> None:
        """Start all daemons; returns when all nodes are idle. Raises ``Unavailable``."""
        self._write()
        munge = self.top / "munge"
        options = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log"}
        flags = [f"--{name}={munge / file}" for name, file in options.items()]
        self._start("munged", "munged", "-F", f"--seed-file={munge / 'seed'}", *flags)
        self._wait(lambda: (munge / "sock").is_socket(), "munged listens")
        self.start_controller()
        for name in self.node_names:
            self.start_node(name)
        self._wait(self.all_idle, "all nodes are idle")

    def stop(self) -> None:
        """End all of it, jobs first. Nothing is left but the directory."""
        for name in reversed(list(self._daemons)):
            self._kill(name)

    def run(self, *command: str, check: bool = True) -> str:
        """A command of the scheduler's, not counted; returns what it prints."""
        done = subprocess.run(
            command,
            env={**os.environ, "SLURM_CONF": str(self.conf), "PATH": SYSTEM_PATH},
            cwd=self.top,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if check and done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()

    def version(self) -> str:
        """Such as ``slurm-wlm 22.05.8``."""
        return self.run("sinfo", "--version")

    def all_idle(self) -> bool:
        """Whether nothing runs, and all of its nodes answer."""
        states = self.run("sinfo", "-hN", "-n", f"n[1-{self.nodes}]", "-o", "%T").split()
        return states == ["idle"] * self.nodes

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """The jobs in the queue, elements of arrays each: id, name, state, reason, node, directory.

        ``number`` is what the programs of a job know as its id, other than its id in an array. An
        element has the name and directory of its run.
        """
        table = self.run("squeue", "-h", "--array", "-t", states, "-o", "%i|%A|%j|%T|%r|%N|%Z")
        names = ("id", "number", "name", "state", "reason", "node", "directory")
        found = [dict(zip(names, line.split("|"), strict=True)) for line in table.splitlines()]
        for job in found:
            _, underscore, index = job["id"].partition("_")
            if underscore and (own := parts(of_element(job["name"], int(index)))):
                job["name"] = "".join(map(str, own))
                job["directory"] += f"/run-{own[1]}"
        return found

    def job(self, number: object) -> dict[str, str]:
        """One job of the queue, ended ones included; raises ``LookupError``."""
        found = {job["id"]: job for job in self.jobs()}
        return found[str(number)]

    def knows_none_of(self, *numbers: str) -> bool:
        """Whether no job of these is in the queue; raises ``AssertionError`` naming those."""
        known = {job["id"] for job in self.jobs()}
        assert not known & set(numbers), known
        return True

    def clear(self) -> None:
        """Cancel all jobs, wait for their processes to end, and see that all is well again."""
        self.thaw_controller()
        if not self._daemons["slurmctld"].alive:
            self.start_controller()
        for name in self.node_names:
            if not self._daemons[name].alive:
                self.start_node(name)
        mine = f"--user={user_name()}"
        self.run("scancel", mine, "--state=PENDING")
        self.run("scancel", mine, "--full", "--signal=KILL")  # the polite way takes KillWait
        self.run("scancel", mine)
        live = "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING"
        # The controller asks again after 80 s when a node was killed with its last word of a job.
        self._wait(lambda: not self.jobs(live), "no job is left", timeout=120)
        self._kill_strays()
        self.resume_nodes()
        self._wait(self.all_idle, "all nodes are idle", timeout=40)

    def _kill_strays(self) -> None:
        """Kill what the controller has forgotten when it was killed, and have nodes forget it.

        It gives the numbers of such jobs to others, which nodes refuse that remember them.
        """
        strays = {
            identity
            for pid, command, environment in processes()
            if f"SLURM_CONF={self.conf}" in environment
            if command.startswith("slurmstepd: ") or "SLURMD_NODENAME" in str(environment)
            if (identity := Identity.of(pid))
        }
        for identity in strays:
            identity.signal(signal.SIGKILL)
        if strays or self._has_forgotten:
            self._has_forgotten = False
            for name in self.node_names:
                self._kill(name)
                self.start_node(name, "-c")

    @property
    def node_names(self) -> list[str]:
        """n1, n2, ..."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    # What happens to jobs

    def show(self, job: object) -> dict[str, str]:
        """All that ``scontrol show job`` says."""
        words = self.run("scontrol", "--oneliner", "show", "job", str(job)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def expire(self, job: object, after: int = 1) -> None:
        """Have a running job reach its time limit in some s; the controller looks every 30 s."""
        self.run("scontrol", "update", f"JobId={job}", f"EndTime=now+{after}")

    def requeue(self, job: object) -> None:
        """Have a running job run again from its begin, at once."""
        self.run("scontrol", "requeue", str(job))
        self.start_at_once(job)

    def start_at_once(self, job: object) -> None:
        """Of a requeued job: without the two minutes that it usually has to wait."""

        self._wait(lambda: self.job(job)["state"] == "PENDING", f"job {job} is requeued", 40)
        # Its node refuses it in the second in which it was killed.
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now+2")
        self._wait(lambda: self.job(job)["state"] != "PENDING", f"job {job} runs again", 40)

    def clients(self, program: str) -> list[Identity]:
        """The living processes of a command of the scheduler's that use this cluster."""
        return [
            identity
            for pid, command, environment in processes()
            if Path(command.partition(" ")[0]).name == program
            and f"SLURM_CONF={self.conf}" in environment
            if (identity := Identity.of(pid))
        ]

    # The controller

    def start_controller(self, *options: str) -> None:
        """Start slurmctld, with what it knew; returns when it answers."""
        self._start("slurmctld", "slurmctld", "-D", *options)
        self._wait(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld answers")

    def kill_controller(self) -> None:
        """kill -9: it forgets what happened in its last seconds."""
        self._has_forgotten = True
        self._kill("slurmctld")

    def stop_controller(self) -> None:
        """Have it end, as when it is upgraded: it saves all that it knows."""
        self._daemons["slurmctld"].signal(signal.SIGTERM)
        self._gone("slurmctld")

    def forget_all(self) -> None:
        """Kill slurmctld, and start one that knows nothing of any job; nor do the nodes."""
        self.kill_controller()
        self.start_controller("-c")
        for name in self.node_names:
            self._kill(name)
            self.start_node(name, "-c")

    def freeze_controller(self) -> None:
        """It takes connections, and says nothing."""
        self._daemons["slurmctld"].signal(signal.SIGSTOP)

    def thaw_controller(self) -> None:
        """Let it go on; returns when it answers, if it was alive."""
        if self._daemons["slurmctld"].signal(signal.SIGCONT):
            self._wait(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld answers")

    def reconfigure(self, **settings: object) -> None:
        """Change some settings of slurm.conf."""
        for name, value in settings.items():
            setattr(self, name, value)
        self._configure()
        self.run("scontrol", "reconfigure")

    # Nodes

    def start_node(self, name: str, *options: str) -> None:
        """Start a node's slurmd."""
        (self.top / "spool" / name).mkdir(parents=True, exist_ok=True)
        self._start(name, "slurmd", "-D", "-N", name, *options)

    def kill_node(self, name: str, *, started: bool = True) -> None:
        """kill -9 of a node's slurmd and its jobs' processes; ``started``: once all have some."""
        jobs = [job["number"] for job in self.jobs("RUNNING") if job["node"] == name]
        for job in jobs if started else ():
            wait_until(lambda job=job: self.processes(job), f"job {job} has been started")
        self._kill(name)
        self.kill_processes(*jobs)

    def kill_processes(self, *jobs: str) -> None:
        """kill -9 of all that lives of some jobs, their slurmstepd included."""

        def dead() -> bool:
            left = self.processes(*jobs)
            for identity in left:
                identity.signal(signal.SIGKILL)
            return not left

        wait_until(dead, f"nothing lives of {jobs}")

    def wake_node(self, name: str) -> None:
        """Start a killed node again; returns when it may be given jobs."""
        self.start_node(name)

        def is_back() -> bool:
            return "down" not in self.run("sinfo", "-hN", "-n", name, "-o", "%T")

        self._wait(is_back, f"{name} is back", timeout=30)

    def resume_nodes(self) -> None:
        """Let all nodes have jobs again: as an administrator does who finds them drained."""
        for name in self.node_names:
            self.run("scontrol", "update", f"NodeName={name}", "State=RESUME", check=False)

    def processes(self, *jobs: object) -> list[Identity]:
        """The living processes of jobs: slurmstepd, the script, and what that has started."""
        known = {job["id"]: job["number"] for job in self.jobs()} if "_" in str(jobs) else {}
        numbers = [known.get(str(job), str(job)) for job in jobs]
        ids = {f"SLURM_JOB_ID={number}" for number in numbers}
        steps = {f"slurmstepd: [{number}" for number in numbers}
        return [
            identity
            for pid, command, environment in processes()
            if (f"SLURM_CONF={self.conf}" in environment and ids & set(environment))
            or command.partition(".")[0] in steps
            if (identity := Identity.of(pid))
        ]

    # Files and processes

    def _write(self) -> None:
        for name in ("bin", "etc", "log", "munge", "spool", "state"):
            (self.top / name).mkdir(parents=True)
        self.top.chmod(0o755)  # munged insists on a socket that all can reach
        key = self.top / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        self._configure()
        for name in COUNTED:
            path = self.top / "bin" / name
            path.write_text(COUNTER.format(name=name, true=shutil.which(name, path=SYSTEM_PATH)))
            path.chmod(0o755)

    def _configure(self) -> None:
        if not hasattr(self, "_ports"):
            self._ports = free_ports(self.nodes + 1)
        self.conf.write_text(
            CONF.format(
                host=host_name(),
                user=user_name(),
                top=self.top,
                port=self._ports[0],
                first=self._ports[1],
                last=self._ports[-1],
                nodes=self.nodes,
                cpus=self.cpus,
                min_job_age=self.min_job_age,
                more=self.accounts + self.more,
            )
        )

    def _start(self, name: str, program: str, *arguments: str) -> None:
        path = shutil.which(program, path=SYSTEM_PATH)
        assert path is not None, program
        with open(self.top / "log" / f"{name}.out", "ab") as out:
            child = subprocess.Popen(
                [path, *arguments],
                env={**os.environ, "SLURM_CONF": str(self.conf), "PATH": SYSTEM_PATH},
                cwd=self.top,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        identity = Identity.of(child.pid)
        assert identity is not None
        self._daemons[name], self._children[name] = identity, child

    def _kill(self, name: str) -> None:
        """Kill a daemon and its helpers (slurmscriptd): all that is in its session."""
        for identity, _ in session_members(self._daemons[name].pid):
            identity.signal(signal.SIGKILL)
        self._gone(name)

    def _gone(self, name: str) -> None:
        self._children[name].wait(timeout=30)
        session = self._daemons[name].pid
        wait_until(lambda: not session_members(session), f"{name} has ended")

    def _wait(self, condition: object, what: str, timeout: float = 20.0) -> None:
        try:
            wait_until(condition, what, timeout)  # type: ignore[arg-type]
        except AssertionError as error:
            raise Unavailable(f"{error}\n{self._last_words()}") from None

    def _last_words(self) -> str:
        said = []
        for path in [*sorted((self.top / "log").iterdir()), self.top / "munge" / "log"]:
            if path.exists() and (lines := path.read_text(errors="replace").splitlines()):
                said.append(f"{path.name}: " + "\n    ".join(lines[-5:]))
        return "\n".join(said)


@contextmanager
def running(
    cluster: Cluster, session: pytest.Session, logs: str, *more: tuple[Sequence[str], Sequence[str]]
) -> Iterator[Cluster]:
    """A cluster while it runs; skips what needs it if there can be none.

    Args:
        cluster: not started yet; nothing is left of it afterwards.
        session: if one of its tests has failed, the cluster's logs are kept.
        logs: where, below ``test-logs``.
        more: further programs that it needs, and their packages.
    """
    try:
        try:
            for needed in ((PROGRAMS, PACKAGES), *more):
                install(*needed)
            cluster.start()
        except Unavailable as error:
            pytest.skip(f"no Slurm: {error}")
        yield cluster
    finally:
        cluster.stop()
        if session.testsfailed:
            shutil.copytree(cluster.top / "log", LOGS / logs, dirs_exist_ok=True)
        shutil.rmtree(cluster.top)
