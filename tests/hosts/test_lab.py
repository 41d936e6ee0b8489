"""The lab by itself: it does what the other tests expect of hosts."""

import signal
import socket
import time
from pathlib import Path

import pytest
from host import STRANGER
from lab import Lab
from slurm_programs import Unavailable
from support import wait_until

HEAR = "import socket; s = socket.create_server(('', 9000)); print('up', flush=True); s.accept()"
REACH = "import socket; socket.create_connection(('head', 9000), 5); print('reached')"

TOLD = """\
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("up", flush=True)
print("told", signal.sigwait([signal.SIGTERM]))
sys.exit(3)
"""


def test_hosts_are_apart(lab):
    boots = {host.boot_id for host in lab.hosts.values()}
    assert len(boots) == len(lab.hosts)
    for host in lab.hosts.values():
        assert host.run("hostname").stdout.strip() == host.name
        assert host.python("import os; print(os.listdir('/tmp'))").strip() == "[]"
    lab.head.path("/tmp/mark").touch()
    lab.head.path("/etc/mark").touch()
    (lab.shared / "mark").mkdir()
    node = lab.nodes[0]
    assert not node.path("/tmp/mark").exists() and not node.path("/etc/mark").exists()
    assert node.run("ls", str(lab.shared)).stdout.split() == ["mark"]
    lab.head.path("/tmp/mark").unlink()
    assert socket.gethostname() != "head" and not Path("/etc/mark").exists()


def test_a_reboot(lab):
    node = lab.nodes[0]
    before, process = node.boot_id, node.popen("sleep", "1000")
    node.path("/tmp/mark").touch()
    assert [found.identity for found in node.processes("sleep 1000")] == [process.identity]
    lab.reboot(node)
    assert node.boot_id != before and not node.processes("sleep 1000")
    assert not process.identity.alive and not node.path("/tmp/mark").exists()


def test_another_name_and_address(lab):
    before = lab.head.address
    lab.reboot(lab.head, name="login7", address="10.231.7.77")
    assert lab.head.run("hostname").stdout.strip() == "login7"
    found = lab.nodes[0].python("import socket; print(socket.gethostbyname('login7'))").strip()
    assert found == "10.231.7.77" != before


def test_a_cable(lab):
    hearing = lab.head.popen("python", "-c", HEAR)
    assert hearing.stdout.readline() == "up\n"
    lab.head.cut()
    with pytest.raises(AssertionError, match=r"No route|timed out|unreachable"):
        lab.nodes[0].python(REACH)
    lab.head.mend()
    assert lab.nodes[0].python(REACH) == "reached\n"
    assert hearing.communicate() == ""


def test_a_wrong_clock(lab):
    try:
        lab.shift_clock(lab.nodes[0], 3600)
    except Unavailable as error:
        pytest.skip(str(error))
    now = float(lab.nodes[0].python("import time; print(time.time())"))
    assert 3500 < now - time.time() < 3700
    assert abs(float(lab.nodes[1].python("import time; print(time.time())")) - time.time()) < 100
    lab.shift_clock(lab.nodes[0], 0)
    assert abs(int(lab.nodes[0].run("date", "+%s").stdout) - time.time()) < 100


def test_a_stranger(lab):
    """Another user may use our interpreter there, and not see our files."""
    secret = lab.shared / "secret"
    secret.mkdir(mode=0o700)
    found = lab.nodes[0].python("import os, motoko; print(os.getuid())", user=STRANGER)
    assert found.strip() == str(STRANGER)
    done = lab.nodes[0].run("ls", str(secret), user=STRANGER, check=False)
    assert done.returncode and "Permission denied" in done.stderr


def test_a_process_is_signalled(lab):
    process = lab.head.popen("python", "-c", TOLD)
    assert process.stdout.readline() == "up\n"
    assert process.signal(signal.SIGTERM)
    assert process.communicate() == "told 15\n" and process.returncode == 3


def test_two_labs(lab):
    """Beside each other, with the same names and addresses."""
    other = Lab(nodes=1)
    try:
        other.up()
        assert other.head.boot_id != lab.head.boot_id
        assert other.head.address == lab.head.address
    finally:
        other.down()
    assert lab.head.is_on and not other.top.exists()


def test_jobs(lab, slurm):
    names = lab.head.run("srun", "-N3", "hostname").stdout.split()
    assert sorted(names) == ["n1", "n2", "n3"]
    job = lab.head.run("sbatch", "--parsable", "--no-requeue", "--wrap=sleep 1000").stdout.strip()
    wait_until(lambda: slurm.jobs("RUNNING"), "the job runs")
    node = slurm.node_of(job)
    assert wait_until(lambda: node.processes("sleep 1000"), "the job's process is there")
    lab.reboot(node)
    wait_until(
        lambda: [j["state"] for j in slurm.jobs() if j["id"] == job] == ["NODE_FAIL"], "it fails"
    )
