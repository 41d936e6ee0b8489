"""A cluster with accounting: its own MariaDB on a Unix socket, and slurmdbd on the loopback."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster
from slurm_programs import Unavailable
from this_host import free_ports, host_name, user_name

PROGRAMS = ("mariadbd", "slurmdbd", "sacct", "sacctmgr")
PACKAGES = ("mariadb-server-core", "slurmdbd", "slurm-client")
CONF = """\
AuthType=auth/munge
AuthInfo=socket={top}/munge/sock
CommunicationParameters=NoInAddrAny
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
LogFile={top}/log/slurmdbd.log
PidFile={top}/state/slurmdbd.pid
"""
ACCOUNTS = """\
SelectTypeParameters=CR_Core_Memory
DefMemPerNode=100
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={top}/munge/sock
AccountingStorageEnforce=limits
"""


def _stored_procedures() -> str:
    """What lets MariaDB keep stored procedures: without that limits are read as 0."""
    files = Path("/usr/share").glob("m*/m*_system_tables.sql")  # mysql or mariadb
    lines = [line for path in files for line in path.read_text().splitlines()]
    proc = next((line for line in lines if " EXISTS proc (" in line), None)
    if proc is None:
        raise Unavailable("MariaDB's own tables are not described in /usr/share/mysql")
    return f"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n{proc}\n"


@dataclass
class AccountedCluster(Cluster):
    """As ``Cluster``; ``sacct`` tells of jobs that the controller has forgotten.

    Jobs may use 100 MB, unless they ask for more; what they use is looked at every second.
    """

    def start(self) -> None:
        *self._ports, self._accounting_port = free_ports(self.nodes + 2)
        self.accounts = ACCOUNTS.format(top=self.top, port=self._accounting_port)
        super().start()

    def start_controller(self, *options: str) -> None:
        if "slurmdbd" not in self._daemons:
            self._start_accounting()
        super().start_controller(*options)

    def accounted(self, job: object) -> str:
        """The state of a job in accounting; nothing if it is not known there."""
        return self.run("sacct", "-X", "-n", "-P", "-o", "State", "-j", str(job))

    def let_submit(self, jobs: int) -> None:
        """Let this user have so many jobs in the queue; any number if it is -1."""
        self.run(
            *("sacctmgr", "--immediate", "modify", "user", user_name()),
            *("set", f"MaxSubmitJobs={jobs}"),
        )

    def _start_accounting(self) -> None:
        data = self.top / "db"
        data.mkdir(mode=0o700)
        socket = data / "sock"
        init = self.top / "etc" / "init.sql"
        init.write_text(_stored_procedures())
        options = ["--no-defaults", f"--datadir={data}", f"--socket={socket}"]
        options.append(f"--init-file={init}")
        if os.geteuid() == 0:
            options.append("--user=root")
        # Nobody else gets into that directory: so there is no need for accounts.
        self._start("mariadbd", "mariadbd", *options, "--skip-grant-tables", "--skip-networking")
        self._wait(socket.is_socket, "MariaDB listens", timeout=60)
        conf = self.conf.with_name("slurmdbd.conf")
        conf.write_text(
            CONF.format(
                top=self.top, host=host_name(), port=self._accounting_port, user=user_name()
            )
        )
        conf.chmod(0o600)
        self._start("slurmdbd", "env", f"MYSQL_UNIX_PORT={socket}", "slurmdbd", "-D")
        self._wait(self._answers, "slurmdbd answers", timeout=60)
        self.run("sacctmgr", "--immediate", "add", "cluster", "motoko")

    def _answers(self) -> bool:
        try:
            self.run("sacctmgr", "--noheader", "show", "cluster")
        except OSError:
            return False
        return True
