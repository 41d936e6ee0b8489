"""Clients of another host keep their session through gate and relay, whatever dies on the head.

All of it is on this host: the relay is told that the head is another one. The client is an
unmodified script with BlackDynamite's own client, which finds the server by its study's zeo.conf.
"""

import contextlib
import getpass
import json
import os
import signal
import subprocess
import sys

import pytest
import transaction
from launched_scripts import Session, change, given_up
from relays import child_of
from support import kill9, wait_until

from motoko.channel import endpoint
from motoko.channel.relaying import PROGRAM
from motoko.layout import channel_directory

SCRIPT = """\
import json, os, sys, time

directory, number, user = sys.argv[1:]
os.environ["BLACKDYNAMITE_HOST"] = f"zeo://{directory}"
os.environ["BLACKDYNAMITE_STUDY"] = os.environ["BLACKDYNAMITE_SCHEMA"] = f"{user}_mult"
os.environ["BLACKDYNAMITE_RUN_ID"], os.environ["BLACKDYNAMITE_USER"] = number, user
sys.argv = sys.argv[:1]
os.chdir(directory)
import BlackDynamite as BD
import transaction

open("connecting", "w").close()
run, job = BD.getRunFromScript()
run.start()
count = 0
while not os.path.exists("go"):
    run["count"] = count + 1
    transaction.commit()
    count += 1
    with open("counts.new", "w") as file:
        json.dump([count, run["word"] if "word" in run.entries else ""], file)
    os.replace("counts.new", "counts")
    time.sleep(0.002)
run.finish()
"""


@pytest.fixture(autouse=True)
def sessions():
    yield
    Session.close_all()


@pytest.fixture
def flow(workflow):
    flow = workflow()
    change(flow, yaml="remote: {address: 127.0.0.1}\n")
    flow.supervise("--no-launchers")
    return flow


@pytest.fixture
def relay(flow, tmp_path):
    """The channel as another host sees it: the directory of its sockets, with a relay for them."""
    here, there = channel_directory(flow.directory), tmp_path / "there"
    there.mkdir(mode=0o700)
    (there / "key.pem").touch(mode=0o600)
    (there / "key.pem").write_bytes((here / "key.pem").read_bytes())
    sockets = tmp_path / "s"
    sockets.mkdir(mode=0o700)

    def record():
        gate = endpoint.read(here)
        assert gate.patience["zeo-mult"] == 600
        gate._replace(boot_id="another", sockets=str(sockets)).write(there)

    record()
    words = [str(PROGRAM), str(there), "--token=7", "--study=mult", f"--log={there}/log"]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline().startswith(b"ready")
    yield sockets, record, process
    process.communicate(timeout=20)


@contextlib.contextmanager
def client(flow, sockets, run, tmp_path):
    """A script of the other host; yields its directory there."""
    directory = tmp_path / "client" / "mult"
    (directory / ".bd").mkdir(parents=True)
    (directory / "bd.yaml").write_text((flow.directory / "mult" / "bd.yaml").read_text())
    (directory / ".bd" / "zeo.conf").write_text(f"<zeo>\n  address {sockets}/zeo-mult\n</zeo>\n")
    with (tmp_path / "client.log").open("w") as log:
        command = [sys.executable, "-c", SCRIPT, directory, str(run.id), getpass.getuser()]
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield directory, process
    finally:
        process.kill()
        process.wait()


def end(flow, pids):
    for pid in pids.values():
        with contextlib.suppress(ProcessLookupError):  # the supervisor may have been faster
            kill9(pid)
    wait_until(
        lambda: all(
            (daemon := flow.daemons()[name])["state"] == "ready" and daemon["pid"] != pid
            for name, pid in pids.items()
        ),
        f"{list(pids)} are there again",
    )


def killed(*names):
    return lambda flow: end(flow, {name: flow.pids()[name] for name in names})


def frozen(flow):
    """Server and gate do not answer for a while, then they are gone."""
    pids = {name: flow.pids()[name] for name in ("zeo:mult", "gate")}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    flow.ps()
    end(flow, pids)


def launched(flow):
    session = Session(flow, "a")
    ((run, _),) = session.mult.createTask(x=1.0, commit=True).runs
    run["state"] = "launched"
    transaction.commit()
    return run


@pytest.mark.parametrize(
    ("names", "is_relay_killed"),
    [(["zeo:mult"], False), (["gate", "zeo:mult"], False), (["zeo:mult"], True)],
    ids=["server", "server and gate", "server and relay"],
)
def test_a_client_that_comes_while_the_server_is_away(
    flow, relay, tmp_path, names, is_relay_killed
):
    """BlackDynamite gives it five seconds: it is back after that."""
    sockets, record, keeper = relay
    run = launched(flow)
    assert flow.motoko("stop", *names).returncode == 0
    if is_relay_killed:
        kill9(child_of(keeper.pid))
    with client(flow, sockets, run, tmp_path) as (directory, process):
        given_up(directory / "connecting")
        assert flow.motoko("start", *names).returncode == 0
        record()
        (directory / "go").touch()
        assert process.wait(60) == 0, (tmp_path / "client.log").read_text()
    wait_until(lambda: (transaction.begin(), run.state == "FINISHED")[1], "it is saved")


@pytest.mark.parametrize(
    "fault",
    [killed("zeo:mult"), killed("gate"), killed("gate", "zeo:mult"), frozen],
    ids=["server", "gate", "both", "frozen"],
)
def test_a_client_of_another_host_goes_on(flow, relay, tmp_path, fault):
    sockets, record, _ = relay
    run = launched(flow)
    with client(flow, sockets, run, tmp_path) as (directory, process):

        def counts():
            assert process.poll() is None, (tmp_path / "client.log").read_text()
            return json.loads((directory / "counts").read_text())

        wait_until(counts, "it has begun")
        for turn in range(2):
            fault(flow)
            record()  # where the gate is now
            before = counts()[0]
            run["word"] = f"turn {turn}"
            transaction.commit()
            wait_until(lambda b=before: counts()[0] > b + 3, "it saves again", 60)
            wait_until(lambda t=turn: counts()[1] == f"turn {t}", "it sees others' changes")
        (directory / "go").touch()
        assert process.wait(60) == 0, (tmp_path / "client.log").read_text()
    count, _ = json.loads((directory / "counts").read_text())
    wait_until(lambda: (transaction.begin(), run.state == "FINISHED")[1], "all of it is saved")
    assert run["count"] == count
