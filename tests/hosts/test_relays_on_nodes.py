"""Relays of jobs, on nodes that are other hosts: what is executed there needs to know nothing."""

import os
import signal

from batch import executions
from lab_flow import parent_of, relays_of, wait_for
from support import wait_until

# Each attempt waits for a word of its own.
WAITING = 'until [ -e "go-$MOTOKO_ATTEMPT" ]; do sleep 0.05; done; '
ON_N1 = "slurm_options: [nodelist=n1]\n"
TWO_NODES = "slurm_options: [nodes=2, ntasks=2]\n"


LOOK = """\
from motoko import Workflow

print("seen", len(list(Workflow("../../../motoko.yaml").mult.select("runs.id = 1"))))
"""


def nothing_left(*hosts):
    def nothing():
        left = {host.name: host.processes("channel/relay") for host in hosts}
        sockets = {host.name: list(host.path("/tmp").glob("motoko-*")) for host in hosts}
        assert not any(left.values()) and not any(sockets.values()), (left, sockets)
        return True

    wait_until(nothing, "nothing is left on the nodes", 30)


def begun(flow, number):
    wait_until(lambda: executions(flow.place(number)), f"run {number} is executed", 60)


def go(flow, number, attempt=1):
    (flow.place(number) / f"go-{attempt}").touch()


def output(flow, number):
    return (flow.place(number) / f"r.o{number}").read_text()


def test_what_runs_use(batch, lab):
    """doIt.py, BlackDynamite's command, and the library."""
    flow, session = batch(yaml=ON_N1)
    (flow.directory / "look.py").write_text(LOOK)
    script = "set -e; (cd ../..; canYouDigIt runs info); python ../../../look.py; python doIt.py"
    (number,) = session.create(script)
    session.finished([number])
    text = output(flow, number) + (flow.place(number) / f"r.e{number}").read_text()
    assert "seen 1" in text, text
    nothing_left(lab.nodes[0])


def test_a_job_of_several_nodes(batch, lab, slurm):
    """On each of them there is the server, and nothing afterwards."""
    flow, session = batch(yaml=TWO_NODES)
    code = "import socket; run.start(); run[socket.gethostname()] = 1; run.finish()"
    script = 'srun -N2 -n2 --ntasks-per-node=1 sh -c "hostname; cd ../..; canYouDigIt runs info"; '
    (number,) = session.create(script + "srun -N1 -n1 --relative=1 python doIt.py", code)
    entries = session.finished([number])[number]
    names = {node.name for node in lab.nodes} & set(output(flow, number).split())
    assert len(names) == 2 and len(names & set(entries)) == 1, (names, entries)
    nothing_left(*lab.nodes)


def test_a_relay_is_killed(batch, lab):
    flow, session = batch(yaml=ON_N1)
    (number,) = session.create(WAITING + "python doIt.py")
    begun(flow, number)
    (process,) = relays_of(lab.nodes[0])
    process.identity.signal(signal.SIGKILL)

    def another():
        now = [other.identity for other in relays_of(lab.nodes[0])]
        assert len(now) == 1 and now != [process.identity], now
        return True

    wait_until(another, "it is replaced")
    go(flow, number)
    session.finished([number])
    nothing_left(lab.nodes[0])


def test_relays_end_with_their_jobs(batch, lab, slurm):
    """Whatever ends those: somebody, or kill -9. Files that are left then, the next job removes."""
    flow, session = batch(yaml=ON_N1)
    numbers = session.create(WAITING, count=2)
    for number in numbers:
        begun(flow, number)
    jobs = [executions(flow.place(number))[0] for number in numbers]
    slurm.run("scancel", jobs[0])
    (number,) = [job["number"] for job in slurm.jobs() if job["id"] == jobs[1]]
    scripts = lab.nodes[0].processes(f"job{int(number):05}/slurm_script")
    assert scripts
    for process in scripts:
        process.identity.signal(signal.SIGKILL)
    session.until(numbers, state="FAILED")
    wait_for(lambda: not lab.nodes[0].processes("channel/relay"), "no relay is left")
    (again,) = session.create("python doIt.py")
    session.finished([again])
    nothing_left(lab.nodes[0])


def test_no_server_is_started_on_a_node(batch, lab):
    """Where the socket is dead, or missing, BlackDynamite's client would start one of its own."""
    flow, session = batch(yaml=ON_N1)
    conf = flow.directory / "mult" / ".bd" / "zeo.conf"
    before = conf.read_bytes()
    script = WAITING + "cd ../..; canYouDigIt runs info; cd - > /dev/null; python doIt.py; exit 1"
    (number,) = session.create(script)
    begun(flow, number)
    (relay,) = relays_of(lab.nodes[0])
    keeper = parent_of(relay.identity.pid)
    for pid in (parent_of(keeper), keeper, relay.identity.pid):
        os.kill(pid, signal.SIGKILL)  # who would replace it first
    go(flow, number)
    session.until([number], state="FAILED")
    assert not lab.nodes[0].processes("zdaemon") and not lab.nodes[0].processes("runzeo")
    assert conf.read_bytes() == before
    lab.nodes[0].clean_tmp()
