"""The gate: clients with the workflow's key come in, whatever is killed meanwhile."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from arrivals import (
    AS_NOBODY,
    answers,
    bare,
    come_in,
    contexts,
    gate,
    is_serving,
    let_in,
    message,
    wait_until_serving,
)
from support import Flow, kill9, supervised, wait_until, write_workflow

from motoko.channel import keys
from motoko.channel.connecting import Unreachable, connect
from motoko.channel.greeting import Greeting, NotWelcome
from motoko.config import load
from motoko.layout import channel_directory, locate
from motoko.runs.fences import fence, fences


@pytest.fixture
def flow(workflow):
    made = let_in(workflow())
    made.supervise()
    return made


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same, for tests that leave all daemons ready."""
    place = tmp_path_factory.mktemp("gate")
    yield from supervised(place, let_in(write_workflow(place / "wf")))


def listening_ports(pids):
    """The TCP ports at which some processes listen."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(str(entry.readlink()))
            except FileNotFoundError:
                continue
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def sockets(flow):
    runtime = locate(load(flow.path))
    return {path.name for path in runtime.sockets.iterdir() if path.is_socket()}


def test_off(workflow):
    """Nothing runs, listens or lies there."""
    flow = workflow()
    flow.supervise()
    assert "gate" not in flow.daemons()
    assert not channel_directory(flow.directory).exists()
    assert sockets(flow) == {"control", "bus-in", "bus-out", "zeo-mult"}
    assert listening_ports(flow.pids().values()) == set()
    done = flow.motoko("start", "gate")
    assert done.returncode == 1 and "other hosts do not reach this workflow" in done.stderr


def test_coming_in(workflow):
    flow = let_in(workflow())
    printed = flow.supervise()
    where = gate(flow)
    assert f"ready: listens at 127.0.0.1:{where.port} " in printed
    assert flow.daemons()["gate"]["detail"] == f"listens at 127.0.0.1:{where.port}"
    assert set(where.names) == {"control", "bus-in", "bus-out", "zeo-mult"}
    assert is_serving(flow)
    with come_in(flow, "control", host="n1") as control:
        control.sendall(b'{"command": "status"}\n')
        assert json.loads(control.makefile("rb").readline())["supervisor"]["state"] == "ready"
    with come_in(flow, "bus-out") as bus:
        assert bus.recv(1) == b"\xff"  # as ZMTP greets
    # One port, of the gate alone.
    pids = flow.pids()
    assert listening_ports([pids["gate"]]) == {where.port}
    assert listening_ports(pids.values()) == {where.port}


def test_modes(shared):
    channel = channel_directory(shared.directory)
    assert stat.S_IMODE(channel.stat().st_mode) == 0o700
    assert stat.S_IMODE((channel / "key.pem").stat().st_mode) == 0o600
    runtime = locate(load(shared.path))
    assert stat.S_IMODE(runtime.accepted("mult").stat().st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_reads_no_key(shared):
    for path in ("key.pem", "gate.json", "."):
        target = channel_directory(shared.directory) / path
        done = subprocess.run(
            [*AS_NOBODY, "ls" if path == "." else "cat", target],
            capture_output=True,
            text=True,
        )
        assert done.returncode != 0 and "ermission denied" in done.stderr, done
        assert not done.stdout


def test_a_killed_gate_cuts_nobody(shared):
    """Who is connected to a database stays so; the next gate is at the same port."""
    before = gate(shared)
    with come_in(shared) as connection:
        assert message(connection)
        pid = shared.pids()["gate"]
        kill9(pid)
        wait_until(lambda: shared.pids().get("gate", pid) != pid, "another gate is there")
        wait_until(lambda: shared.state() == "ready", "all is ready again")
        assert gate(shared) == before
        connection.sendall(b"\0\0\0\4ruok")
        assert b"calls" in message(connection)
    assert is_serving(shared)


def test_a_frozen_gate_is_replaced(shared):
    pid = shared.pids()["gate"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: shared.pids().get("gate", pid) != pid, "another gate is there", 60)
    wait_until_serving(shared)
    assert "no heartbeat" in str(shared.daemons()["gate"]["last_exit"])


def test_a_killed_supervisor(shared):
    before = shared.pids()["gate"]
    kill9(shared.ps()["supervisor"]["pid"])
    assert is_serving(shared)
    shared.supervise()
    assert shared.pids()["gate"] == before
    assert is_serving(shared)


def test_a_restarted_gate(shared):
    before = gate(shared)
    pid = shared.pids()["gate"]
    done = shared.motoko("restart", "gate")
    assert done.returncode == 0 and f"restarted gate (pid {shared.pids()['gate']})" in done.stdout
    assert shared.pids()["gate"] != pid
    assert gate(shared) == before and is_serving(shared)


def test_after_a_stop(flow):
    """The same port, another one if somebody has it, and none when it is switched off again."""
    before = gate(flow)
    assert flow.motoko("kill", "--wait").returncode == 0
    with pytest.raises(Unreachable, match="cannot be reached"):
        come_in(flow)
    flow.supervise()
    assert gate(flow) == before and is_serving(flow)

    assert flow.motoko("kill", "--wait").returncode == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", before.port))
        other.listen()
        flow.supervise()
        assert gate(flow).port != before.port
        assert is_serving(flow)

    assert flow.motoko("kill", "--wait").returncode == 0
    flow.path.write_text(flow.path.read_text().replace("remote: {", "remote: false  # {"))
    flow.supervise()
    assert "gate" not in flow.daemons()
    assert not (channel_directory(flow.directory) / "key.pem").exists()
    assert not (channel_directory(flow.directory) / "gate.json").exists()
    assert "tls-mult" not in sockets(flow)


def test_a_port_that_is_taken(workflow):
    """The user wants this one: said before anything starts."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        flow = let_in(workflow(), f"remote: {{address: 127.0.0.1, port: {port}}}\n")
        done = flow.motoko("supervise", "--detach")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"the gate cannot listen at 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "choose another" in done.stderr
    assert flow.state() == "not running" and not flow.daemons()


def test_an_address_of_another_host(workflow):
    flow = let_in(workflow(), "remote: {address: 192.0.2.99}\n")
    done = flow.motoko("supervise", "--detach")
    assert done.returncode == 2 and "192.0.2.99 is no address of this host" in done.stderr
    assert flow.state() == "not running"


def test_at_all_addresses(workflow):
    flow = let_in(workflow(), "remote: {address: '::'}\n")
    flow.supervise()
    port = gate(flow).port
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as connection:
            connection.connect((address, port))
    assert not any(host.startswith(("127.", "::1")) for host in gate(flow).hosts)


def test_by_ipv6(workflow):
    flow = let_in(workflow(), "remote: {address: '::1'}\n")
    assert "listens at [::1]:" in flow.supervise()
    assert gate(flow).hosts == ("::1",) and is_serving(flow)


def test_a_copy_comes_in_nowhere(flow, tmp_path):
    """It has a key and a gate of its own, and none of the original's."""
    copy = shutil.copytree(flow.directory, tmp_path / "copy", ignore=lambda *_: ["locks"])
    other = Flow(copy, flow.studies)
    other.supervise()
    try:
        assert keys.read(channel_directory(copy)) != keys.read(channel_directory(flow.directory))
        assert gate(other).port != gate(flow).port
        assert is_serving(other) and is_serving(flow)
        with pytest.raises(Unreachable):
            connect(gate(flow), contexts(other), "zeo-mult", Greeting(), 10)
    finally:
        assert other.motoko("kill", "--now").returncode == 0


def test_a_killed_server(shared):
    """The next one takes connections over as well, without another gate."""
    pids = shared.pids()
    kill9(pids["zeo:mult"])
    wait_until_serving(shared)
    assert shared.pids()["zeo:mult"] != pids["zeo:mult"]
    assert shared.pids()["gate"] == pids["gate"]


def test_a_removed_socket(shared):
    """A cleaner of temporary files takes it: it is made again, and the server goes on."""
    pid = shared.pids()["zeo:mult"]
    path = locate(load(shared.path)).accepted("mult")
    path.unlink()
    wait_until(path.exists, "the socket is there again")
    assert is_serving(shared)
    assert shared.pids()["zeo:mult"] == pid


def test_a_fenced_attempt(shared):
    with come_in(shared, run=1, study="mult", attempt=1) as connection:
        assert answers(connection)
    fence(shared.directory, "mult", 1, 1, "lost: node n1 is gone")
    for name in ("zeo-mult", "control"):
        with pytest.raises(NotWelcome, match="lost: node n1 is gone") as caught:
            come_in(shared, name, run=1, study="mult", attempt=1)
        assert caught.value.fenced
    with come_in(shared, run=1, study="mult", attempt=2) as connection:
        assert answers(connection)


def test_a_study_that_is_made_again(workflow):
    """Its next runs have the same numbers, and are not those that were declared dead."""
    flow = workflow()
    channel_directory(flow.directory).mkdir(parents=True)
    fence(flow.directory, "mult", 1, 1, "lost: node n1 is gone")
    assert fences(flow.directory, "mult")
    flow.create()
    assert not fences(flow.directory, "mult")


def test_launchers_for_nodes_elsewhere(workflow, tmp_path, monkeypatch):
    """Added later, with another generator: the gate comes with them."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
    (programs / "sinfo").write_text("#!/bin/sh\necho far 192.0.2.77\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    flow = workflow()
    flow.supervise("--no-launchers")
    assert "gate" not in flow.daemons()
    done = flow.motoko("launcher", "--generator", "slurm")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: flow.daemons()["gate"]["state"] == "ready", "the gate is there")
    wait_until_serving(flow)


def test_bare_connections_get_nothing(shared):
    with bare(shared) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
