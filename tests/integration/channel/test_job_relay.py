"""The relay of a job, which its script starts, keeps and ends: executed by the shell of this host,
for a workflow whose head is another."""

import os
import signal
import subprocess
import sys

import pytest
from relays import CLIENT, child_of, connect, keeper_pid, says_again
from support import wait_until

from motoko.batch import registry
from motoko.channel.greeting import refusal
from motoko.channel.relay.zeo_framing import framed
from motoko.host.proc_files import boot_id, variable
from motoko.runs import job_relay, job_script
from motoko.runs.earlier_layout import make_own_folder


@pytest.fixture
def place(tmp_path):
    """A run directory, and beside it what all jobs share."""
    directory = tmp_path / "run 1"
    make_own_folder(directory)
    (tmp_path / "spool" / "mult").mkdir(parents=True)
    return directory


def launch(place, text):
    (place / "client.py").write_text(CLIENT)
    path = place / "launch.sh"
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o700)


def start(place, gate, number="17"):
    script = job_script.write(place.parent, gate.directory, registry.named("slurm"))
    spool = place.parent / "spool" / "mult"
    arguments = job_script.arguments(place, 1, ("r.o1", "r.e1"), spool, 1, "name")
    environment = {**os.environ, "SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "n1"}
    return subprocess.Popen(
        ["/bin/bash", str(script), *arguments], env=environment, cwd="/", start_new_session=True
    )


def connects(gate):
    with connect(gate) as client:
        return says_again(client)


def test_a_job(place, gate):
    launch(place, f"{sys.executable} client.py {gate.sockets}/zeo-mult < /dev/null")
    assert start(place, gate).wait(30) == 0
    assert (place / "r.o1").read_text() == "word\n"
    (greeting,) = gate.greeted
    assert greeting[:4] == (1, "mult", 1, "17")
    assert keeper_pid(gate.directory) is None and not gate.sockets.parent.exists()
    assert not (place / ".motoko" / "relay.log").exists()


@pytest.mark.parametrize("why", ["the head", "no channel"])
def test_where_there_is_no_need_of_it(place, gate, why):
    launch(place, 'echo "${MOTOKO_RELAY-none}"')
    if why == "the head":
        gate.record(boot_id())
    else:
        (gate.directory / "gate.json").unlink()
    assert start(place, gate).wait(30) == 0
    assert (place / "r.o1").read_text() == "none\n" and not gate.sockets.exists()


def away(gate, patience):
    """Nobody is at the gate; clients of the study's server are patient."""
    gate.patience = {"zeo-mult": patience}
    gate.record()
    gate.close()


def test_it_starts_when_the_head_is_there(place, gate):
    """launch.sh would have five seconds for that."""
    launch(place, "echo started")
    away(gate, 600.0)
    job = start(place, gate)
    wait_until(lambda: keeper_pid(gate.directory) and gate.sockets.exists(), "a relay waits")
    assert not gate.greeted and not (place / "r.o1").read_text()
    gate.serve = lambda connection: connection.sendall(framed(b"M5"))
    gate.listen()
    assert job.wait(30) == 0
    assert (place / "r.o1").read_text() == "started\n"


def test_it_starts_when_patience_is_over(place, gate):
    launch(place, "echo started")
    away(gate, 0.5)
    assert start(place, gate).wait(30) == 0
    assert (place / "r.o1").read_text() == "started\n"
    gate.listen()


def test_it_does_not_start_what_is_fenced(place, gate):
    launch(place, "echo started")
    gate.patience, gate.answer = {"zeo-mult": 600.0}, refusal("its node was lost", fenced=True)
    gate.record()
    assert start(place, gate).wait(30) == job_relay.UNRELAYED
    assert not (place / "r.o1").read_text()
    assert "its node was lost" in job_script.read(place, 1).problem


@pytest.mark.parametrize("who", ["relay", "keeper", "both"])
def test_it_is_replaced_when_it_is_killed(place, gate, who):
    launch(place, "touch ready\nuntil [ -e go ]; do sleep 0.05; done\n"
           f"{sys.executable} client.py {gate.sockets}/zeo-mult < /dev/null")  # fmt: skip
    job = start(place, gate)
    wait_until((place / "ready").exists, "it runs")
    keeper = wait_until(lambda: keeper_pid(gate.directory), "a relay is there")
    relay = child_of(keeper)
    if who != "relay":
        os.kill(keeper, signal.SIGKILL)
    if who != "keeper":
        os.kill(relay, signal.SIGKILL)
    wait_until(lambda: child_of(keeper_pid(gate.directory)) != relay, "another one is")
    wait_until(lambda: connects(gate), "it serves")
    (place / "go").touch()
    assert job.wait(30) == 0
    assert (place / "r.o1").read_text() == "word\n" and gate.greeted[-1].job == "17"


def test_saving_something_at_the_end(place, gate):
    """The signal that ends a job reaches launch.sh, which can still save its results."""
    launch(place, f"trap '{sys.executable} client.py {gate.sockets}/zeo-mult < /dev/null; exit 3' "
           "TERM\ntouch ready\nwhile :; do sleep 0.05; done")  # fmt: skip
    job = start(place, gate)
    wait_until((place / "ready").exists, "it runs")
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(30) == 3
    assert (place / "r.o1").read_text().startswith("word\n")


def test_a_killed_script(place, gate):
    """The relay ends although processes of launch.sh are left."""
    launch(place, "echo $$ > pid\nsetsid sleep 1000 & echo $! > left; wait")
    job = start(place, gate)
    pids = [
        wait_until(lambda n=n: int((place / n).read_text()), "it runs") for n in ("pid", "left")
    ]
    wait_until(lambda: keeper_pid(gate.directory), "a relay is there")
    job.kill()
    job.wait()
    wait_until(lambda: keeper_pid(gate.directory) is None, "the relay has ended")
    wait_until(lambda: not gate.sockets.parent.exists(), "nothing is left")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_what_launch_sh_inherits(place, gate):
    launch(place, "ls -l /proc/$$/fd > fds")
    assert start(place, gate).wait(30) == 0
    assert "pipe:" not in (place / "fds").read_text()


def test_whose_it_is(place, gate):
    launch(place, "echo $$ > pid; until [ -e go ]; do sleep 0.05; done")
    job = start(place, gate)
    pid = wait_until(lambda: int((place / "pid").read_text()), "it runs")
    name = variable(pid, "MOTOKO_RELAY")
    assert name.endswith("-17") and (gate.sockets / "relays" / name).is_socket()
    (place / "go").touch()
    assert job.wait(30) == 0


def test_what_is_wrong_on_the_node(place, gate):
    launch(place, "touch started")
    gate.sockets.mkdir(parents=True)
    assert start(place, gate).wait(30) == job_relay.UNRELAYED
    evidence = job_script.read(place, 1)
    assert evidence.code == job_relay.UNRELAYED
    assert f"{gate.sockets} can be entered by others" in evidence.problem
    assert not (place / "started").exists()
    subprocess.run(["rm", "-r", gate.sockets.parent], check=True)


def test_a_node_without_the_python(place, gate, monkeypatch):
    launch(place, "touch started")
    monkeypatch.setattr(sys, "executable", '/no where/it\'s "python"')
    assert start(place, gate).wait(30) == job_relay.UNRELAYED
    problem = job_script.read(place, 1).problem
    assert 'Python of this workflow is not there: /no where/it\'s "python"' in problem


def test_a_python_that_does_not_start(place, gate, monkeypatch, tmp_path):
    launch(place, "touch started")
    broken = tmp_path / "python"
    broken.write_text('#!/bin/sh\necho "lib\\"python\\" is missing" >&2; exit 127\n')
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    monkeypatch.setattr(job_relay, "START_S", 1)
    assert start(place, gate).wait(30) == job_relay.UNRELAYED
    assert "1 of 1 nodes have no relay to the head node: lib" in job_script.read(place, 1).problem


def test_jobs_that_begin_and_end_together(place, gate, tmp_path):
    """Several jobs begin and end on one node at the same moment."""
    jobs = []
    for number in range(6):
        directory = tmp_path / f"run {number + 10}"
        make_own_folder(directory)
        launch(directory, f"{sys.executable} client.py {gate.sockets}/zeo-mult 5 < /dev/null")
        jobs.append((directory, start(directory, gate, str(number))))
    for directory, job in jobs:
        assert job.wait(60) == 0
        assert (directory / "r.o1").read_text() == "word\n" * 5
    assert sorted(greeting.job for greeting in gate.greeted) == sorted("012345" * 5)
    assert not gate.sockets.parent.exists()
