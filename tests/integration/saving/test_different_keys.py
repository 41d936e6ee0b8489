"""Clients that change different entries of a run do not meet, whoever they are.

doIt.py has BlackDynamite's client, whose commits are not repeated. It computes between them, for
hours, while the launcher and orchestrators change other entries of its run.
"""

import json
import subprocess
import sys

import BTrees.check
import pytest
import transaction
from savers import MANY
from support import wait_until
from watching import Listener, steps, told_of

from motoko.store.session import session

# As doIt.py: BlackDynamite alone. It does what it is sent; its view stays that of its last commit.
PLAIN = """
import json, sys, traceback
import transaction
import BlackDynamite as BD

base = BD.Base(host="zeo://" + sys.argv[1], study="mult")
run = base.runs[int(sys.argv[2])]
dict(run.entries)
assert "motoko" not in sys.modules
for line in sys.stdin:
    try:
        exec(json.loads(line))
        answer = ""
    except Exception:
        answer = traceback.format_exc()
        transaction.abort()
    print("answer", json.dumps(answer), flush=True)
"""


class Plain:
    """A process with BlackDynamite's client, which has read a run."""

    def __init__(self, study, run):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PLAIN, str(study), str(run.id)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=study,
        )
        self.do("")

    def do(self, code):
        """Execute statements, with ``run``; what has been raised, as text."""
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            word, _, answer = line.partition(" ")
            if word == "answer":
                return json.loads(answer)
        raise AssertionError("it has died")

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0


@pytest.fixture
def doit(flow, run):
    transaction.commit()
    plain = Plain(flow.directory / "mult", run)
    yield plain
    plain.close()


def content(run):
    session().refresh(run.base)
    run.entries._check()
    BTrees.check.check(run.entries)
    return dict(run.entries)


@pytest.fixture
def listener(flow):
    """Who is told of all transitions by the watcher."""
    listener = Listener(flow)
    yield listener
    listener.close()


@pytest.fixture
def news(run):
    """The entries of a job are there, as the launcher makes them when it submits one."""
    run["batch_state"], run["batch_nodes"] = "PENDING", ""
    transaction.commit()


@pytest.mark.parametrize("results", [1, MANY, 4 * MANY])
def test_news_of_a_job(news, run, doit, other, listener, results):
    """The launcher commits news of a job while its run computes, and saves many results."""
    assert not doit.do("run.start()")
    for before in range(3):
        other.do(f"run({run.id})['batch_state'] = 'S{before}'; run({run.id})['n{before}'] = 1")
        code = f"for n in range({results}): run[f'r{before}{{n:03}}'] = n\n"
        assert not doit.do(code + ("run.finish()" if before == 2 else "transaction.commit()"))
    found = content(run)
    assert (found["batch_state"], found["state"]) == ("S2", "FINISHED")
    assert [found.get(f"n{before}") for before in range(3)] == [1, 1, 1]
    names = [f"r{before}{n:03}" for before in range(3) for n in range(results)]
    assert [found.get(name) for name in names] == 3 * [*range(results)]
    assert not doit.do(f"import datetime; assert dict(run.entries) == {found!r}")
    expected = steps(run.id, None, "CREATED", "START", "FINISHED")
    wait_until(
        lambda: told_of(listener.history("mult"), run.id) == expected, "the watcher has told it"
    )


def test_odd_values(run, doit, other):
    """Values that cannot be compared with ==, and objects in records of their own."""
    made = "import numpy, persistent.mapping as m; run['odd'] = [numpy.zeros(3), float('nan')]"
    assert not doit.do(f"{made}; run['own'] = m.PersistentMapping(a=1); transaction.commit()")
    other.do(f"run({run.id})['theirs'] = 1")
    code = f"for n in range({MANY}): run[f'r{{n:03}}'] = n\n"
    assert not doit.do(f"{code}run['new'] = m.PersistentMapping(b=2); transaction.commit()")
    found = content(run)
    assert (dict(found["own"]), dict(found["new"]), found["theirs"]) == ({"a": 1}, {"b": 2}, 1)
    assert str(found["odd"]) == "[array([0., 0., 0.]), nan]"


def test_a_large_value(run, doit, other):
    """A large value gets its own leaf while another client splits a leaf of the run."""
    code = f"for n in range({3 * MANY}): run[f'k{{n:03}}'] = n\n"
    assert not doit.do(f"{code}transaction.commit()")
    other.do(f"for n in range({MANY}): run({run.id})[f'z{{n:02}}'] = n")
    assert not doit.do("run['k005'] = bytes(100_000); transaction.commit()")
    found = content(run)
    assert found["k005"] == bytes(100_000)
    expected = {f"k{n:03}": n for n in range(3 * MANY) if n != 5}
    expected |= {f"z{n:02}": n for n in range(MANY)}
    assert {key: other.see(run.id, key) for key in expected} == expected
    assert not doit.do(f"import datetime; assert dict(run.entries) == {found!r}")


def test_attributes(run, doit, other):
    """``run.name = value`` writes the run's own record, too."""
    assert not doit.do("run.mine = run.state = 1")
    other.do(f"run({run.id}).theirs = run({run.id}).nproc = 2")
    assert not doit.do("run.finish()")
    other.do(f"assert (run({run.id}).mine, run({run.id}).theirs) == (1, 2)")
    assert (run_now := content(run))["nproc"] == 2 and run_now["state"] == "FINISHED"
    assert not doit.do("assert (run.mine, run.theirs, run.nproc) == (1, 2, 2)")


@pytest.mark.parametrize("change", ["run['note'] = {}", "run.note = {}"])
@pytest.mark.parametrize("size", [0, 20, MANY])
def test_the_same_key(run, doit, other, change, size):
    """Two clients set the same key: a conflict, and nothing of the second commit is stored."""
    assert not doit.do(change.format(0) + "; transaction.commit()")
    code = f"for n in range({size}): run[f'r{{n:03}}'] = n\n"
    assert not doit.do(code + change.format("'mine'"))
    other.do(change.format("'theirs'").replace("run", f"run({run.id})"))
    assert "ConflictError" in doit.do("transaction.commit()")
    other.do(f"assert run({run.id}).note == 'theirs'")
    assert "r000" not in content(run)


def test_a_packed_database(run, doit, other):
    """After packing, the client's old records are gone: its changes cannot be merged."""
    code = f"for n in range({MANY}): run[f'r{{n:03}}'] = n\n"
    assert not doit.do(code)
    other.do(f"run({run.id})['theirs'] = 1")
    other.do("workflow.mult.base.db.pack()")
    assert "ConflictError" in doit.do("transaction.commit()")
    assert not doit.do(f"{code}transaction.commit()")
    assert content(run)["r000"] == 0
