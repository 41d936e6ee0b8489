"""What is read from the files says as of when it is, and what cannot be known."""

import contextlib
import fcntl
import json
import os
import re
import signal
from xml.etree import ElementTree

import pytest
from runs import ended, make_runs
from supervised import frozen
from support import kill9

from motoko.host.identity import Identity

TIME = r"as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult",))
    make_runs(flow, ended(flow, 1, "FINISHED"), {"state": "CREATED"})
    return flow


@contextlib.contextmanager
def supervised_on(flow, host):
    """As if another host that shares the file system supervised the workflow."""
    record = flow.directory / ".wf" / "daemons" / "supervisor.json"
    who = {**Identity.mine().to_dict(), "name": "supervisor", "host": host, "boot_id": "its own"}
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(who))
    (lock := flow.directory / ".wf" / "locks" / "supervisor").parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            record.unlink()


def check(flow, words):
    """Each view has the time and what is not known; what is for programs stays valid."""
    graph, usage = flow.motoko("graph", "--format", "svg"), flow.motoko("usage", "--json")
    assert (graph.returncode, usage.returncode) == (0, 0), graph.stderr + usage.stderr
    (line,) = [line for line in usage.stderr.splitlines() if line.startswith("motoko: ")]
    assert re.match(f"motoko: {TIME}", line) and words in line, line
    assert json.loads(usage.stdout)["studies"]["mult"]["runs"] == 2
    drawn = " ".join(ElementTree.fromstring(graph.stdout).itertext())
    assert re.search(TIME, drawn) and words in drawn, drawn
    assert flow.motoko("report", "-o", "page.html").returncode == 0
    page = (flow.directory / "page.html").read_text()
    assert re.search(f"A{TIME[1:]}", page) and words[1:] in page, page[:3000]


def test_time_and_what_is_unknown(flow):
    check(flow, "no supervisor: the last state that was recorded")
    with supervised_on(flow, "login7"):
        check(flow, "is supervised on login7")
    flow.supervise("--no-launchers")
    check(flow, "no launcher: created runs are not started")
    pid = frozen(flow)
    try:
        check(flow, "the supervisor is not answering: what its daemons do is not known")
    finally:
        os.kill(pid, signal.SIGCONT)
    kill9(pid)
    check(flow, "the supervisor has died: its daemons go on")
