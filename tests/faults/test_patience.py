"""A study's ZEO server dies, freezes or is restarted under runs that have patience.

Unmodified scripts, with BlackDynamite's own client: one that saves all the time, one that reads all
the time, and one that is idle until it is told to look. None fails, none misses what others save,
and no commit is lost or done twice.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
import transaction
from launched_scripts import Session, change, given_up
from support import kill9, wait_until
from ZEO.ClientStorage import ClientStorage

from motoko.config import load
from motoko.layout import locate

SCRIPT = """\
import json, os, time
import BlackDynamite as BD
import transaction

run, job = BD.getRunFromScript()
run.start()
counts = {"commits": 0, "seen": ""}


def note():
    with open("counts.new", "w") as file:
        json.dump(counts, file)
    os.replace("counts.new", "counts")


def look():
    transaction.begin()
    counts["seen"] = run["word"] if "word" in run.entries else ""


note()
while not os.path.exists("../../../go"):
    if job.x == 0:
        run["count"] = counts["commits"] + 1
        transaction.commit()
        counts["commits"] += 1
        note()
    elif job.x == 1:
        look()
        note()
    elif os.path.exists("look"):
        look()
        note()
        os.remove("look")
    time.sleep(0.002)
run.finish()
"""


class Runs:
    """The runs of such scripts, and what they have noted."""

    def __init__(self, flow):
        self.flow = flow
        self.session = Session(flow, "a")
        self.runs = self.session.mult.createTask(x=[0.0, 1.0, 2.0])
        self.pairs = list(self.runs.runs)
        wait_until(lambda: all(self.notes(i) for i in range(3)), "all have begun")

    def place(self, index):
        number = self.pairs[index][0].id
        return self.flow.directory / "mult" / "BD-mult-runs" / f"run-{number}"

    def notes(self, index):
        try:
            return json.loads((self.place(index) / "counts").read_text())
        except OSError:
            return None

    def go_on(self, word):
        """They all save and read again, and see what is saved now."""
        before = self.notes(0)["commits"]
        for run, _ in self.pairs[1:]:
            run["word"] = word
        transaction.commit()
        wait_until(lambda: self.notes(0)["commits"] > before + 3, "the one that saves goes on")
        for index in (1, 2):
            wait_until(lambda i=index: self.saw(i) == word, f"run {index} sees {word}")

    def saw(self, index):
        (self.place(index) / "look").touch()
        return self.notes(index)["seen"]

    def end(self):
        (self.flow.directory / "go").touch()
        for run, job in self.session.wait(self.runs):
            assert run.state == "FINISHED"
            assert run["attempt"] == 1
            if job.x == 0:
                assert run["count"] == self.notes(0)["commits"]


@pytest.fixture(autouse=True)
def sessions():
    yield
    Session.close_all()


@pytest.fixture
def runs(workflow):
    flow = workflow()
    change(flow, yaml="patience: 2m\nslots: 3\n", doIt_py=SCRIPT)
    flow.supervise()
    return Runs(flow)


def back(flow, name, pid):
    wait_until(
        lambda: (d := flow.daemons()[name])["state"] == "ready" and d["pid"] != pid,
        f"{name} is there again",
    )


def killed(flow):
    pid = flow.pids()["zeo:mult"]
    kill9(pid)
    back(flow, "zeo:mult", pid)


def restarted(flow):
    done = flow.motoko("restart", "zeo:mult")
    assert done.returncode == 0, done.stderr


def frozen(flow):
    pid = flow.pids()["zeo:mult"]
    os.kill(pid, signal.SIGSTOP)
    try:
        flow.ps()
    finally:
        os.kill(pid, signal.SIGCONT)


def frozen_to_death(flow):
    pid = flow.pids()["zeo:mult"]
    os.kill(pid, signal.SIGSTOP)
    flow.ps()
    kill9(pid)
    back(flow, "zeo:mult", pid)


@pytest.mark.parametrize("fault", [killed, restarted, frozen, frozen_to_death])
def test_runs_outlast_their_server(runs, fault):
    for turn in range(2):
        fault(runs.flow)
        runs.go_on(f"{fault.__name__} {turn}")
    runs.end()
    assert " is cut: " not in runs.flow.log("relay:mult")


LATE = """\
import os, time
import BlackDynamite as BD
open("started", "w").close()
while not os.path.exists("../../../connect"):
    time.sleep(0.01)
open("connecting", "w").close()
run, job = BD.getRunFromScript()
run.start()
run.finish()
"""


def test_a_run_that_comes_while_its_server_is_away(workflow):
    flow = workflow()
    change(flow, yaml="patience: 2m\n", doIt_py=LATE)
    flow.supervise()
    session = Session(flow, "a")
    runs = session.mult.createTask(x=1.0)
    place = flow.directory / "mult" / "BD-mult-runs" / f"run-{next(iter(runs.runs))[0].id}"
    wait_until((place / "started").exists, "it is there")
    assert flow.motoko("stop", "zeo:mult").returncode == 0
    (flow.directory / "connect").touch()
    given_up(place / "connecting")
    assert flow.motoko("start", "zeo:mult").returncode == 0
    ((run, _),) = session.wait(runs)
    assert run.state == "FINISHED" and run["attempt"] == 1


def test_without_patience_they_do_not(workflow):
    flow = workflow()
    change(flow, yaml="slots: 3\n", doIt_py=SCRIPT)
    flow.supervise()
    runs = Runs(flow)
    killed(flow)
    assert "relay:mult" not in flow.daemons()
    assert "connection" in str(runs.session.failure(runs.runs))


def test_patience_ends(workflow):
    flow = workflow()
    change(flow, yaml="patience: 1s\nslots: 3\n", doIt_py=SCRIPT)
    flow.supervise()
    runs = Runs(flow)
    assert flow.motoko("stop", "zeo:mult").returncode == 0
    wait_until(
        lambda: "a client is cut: there was no server for 1 s" in flow.log("relay:mult"),
        "its clients are cut",
    )
    assert flow.motoko("start", "zeo:mult").returncode == 0
    assert "connection" in str(runs.session.failure(runs.runs))


def test_the_relays_socket_is_made_again(runs):
    path = next(runs.flow.directory.glob("mult/.bd/zeo.conf")).read_text().split()[2]
    pathlib.Path(path).unlink()
    wait_until(lambda: pathlib.Path(path).exists(), "it is there again")
    runs.go_on("later")
    runs.end()


def test_what_comes_by_a_copy_is_not_served(workflow, tmp_path):
    flow = workflow()
    change(flow, yaml="patience: 2m\n")
    flow.supervise("--no-launchers")
    copy = tmp_path / "copy" / "mult"
    shutil.copytree(flow.directory / "mult", copy)
    path = (copy / ".bd" / "zeo.conf").read_text().split()[2]
    assert "/kept-mult" in path
    code = f"import socket; s = socket.socket(1); s.connect({path!r}); print(len(s.recv(9)))"
    command = [sys.executable, "-c", code]
    here = subprocess.run(command, cwd=flow.directory / "mult", capture_output=True, timeout=60)
    there = subprocess.run(command, cwd=copy, capture_output=True, timeout=60)
    assert (here.stdout, there.stdout) == (b"6\n", b"0\n")
    assert "was copied from" in flow.log("relay:mult")
    assert not (copy / ".bd" / "zeo.conf").exists()


def promised(flow):
    """Oids that a client is given, and does not use."""
    storage = ClientStorage(str(locate(load(flow.path)).zeo("mult")))
    try:
        return {storage.new_oid() for _ in range(250)}
    finally:
        storage.close()


def test_no_oid_is_given_out_twice(workflow):
    flow = workflow()
    flow.supervise("--no-launchers")
    seen = promised(flow)
    for _ in range(2):
        killed(flow)
        now = promised(flow)
        assert not seen & now
        seen |= now
