"""A large value of a run has a record of its own, whoever has set it."""

import subprocess
import sys

import BTrees.check
import pytest
import transaction
from savers import MANY

from motoko.store.session import session

SIZE = 2_000_000
LARGE = bytes(SIZE)
# As doIt.py: BlackDynamite alone, in the run's process.
DO_IT = """
import sys
import BlackDynamite as BD

base = BD.Base(host="zeo://" + sys.argv[1], study="mult")
run = base.runs[int(sys.argv[2])]
assert "motoko" not in sys.modules
run.start()
exec(sys.stdin.read())
run.finish()
"""


@pytest.fixture
def do_it(flow):
    def execute(run, code):
        study = flow.directory / "mult"
        return subprocess.run(
            [sys.executable, "-P", "-c", DO_IT, str(study), str(run.id)],
            input=code,
            capture_output=True,
            text=True,
            cwd=study,
            timeout=30,
        )

    return execute


@pytest.fixture
def grows(flow):
    """How many bytes some changes write."""

    def bytes_of(changes):
        file = flow.directory / "mult" / ".bd" / "bd.zeo"
        before = file.stat().st_size
        changes()
        return file.stat().st_size - before

    return bytes_of


def save(run, **entries):
    for name, value in entries.items():
        run[name] = value
        transaction.commit()


def consistent(run):
    session().refresh(run.base)
    run.entries._check()
    BTrees.check.check(run.entries)
    return dict(run.entries)


@pytest.mark.parametrize("before", [0, MANY])
def test_small_changes_do_not_write_it(run, other, grows, before):
    for number in range(before):
        run[f"k{number:02}"] = number
    transaction.commit()
    assert grows(lambda: save(run, result=LARGE, x=LARGE)) < 3.2 * SIZE
    small = {f"{name}{number}": number for number in range(5) for name in ("a", "r", "result", "z")}
    # What comes behind the last one is stored with it once.
    assert grows(lambda: save(run, **small)) < 1.1 * SIZE
    both = f"run({run.id})['y'] = 1; run({run.id})['state'] = 'S'"
    assert grows(lambda: other.do(both)) < SIZE / 10
    expected = {"result": LARGE, "x": LARGE, "y": 1, "state": "S", **small}
    assert expected.items() <= consistent(run).items()
    assert other.see(run.id, "z4") == 4


def test_both_at_once(run, other):
    """Other entries change while a large value is set, replaced, made small and removed."""
    run["result"] = LARGE
    other.do(f"run({run.id})['theirs'] = 1")
    transaction.commit()
    for number, value in enumerate([LARGE + b"1", "small", LARGE, None]):
        if value is None:
            del run["result"]
        else:
            run["result"] = value
        other.do(f"run({run.id})['theirs'] = {number}; run({run.id})['s'] = bytes({SIZE})")
        transaction.commit()
        content = consistent(run)
        assert (content.get("result"), content["theirs"]) == (value, number)
        assert content["s"] == LARGE


def test_doit_sets_it(run, do_it, grows):
    code = f"for n in range(10): run['a' if n else 'x'] = n or bytes({SIZE}); run.start()"
    assert grows(lambda: do_it(run, code).check_returncode()) < 1.2 * SIZE
    content = consistent(run)
    assert (content["x"], content["a"], content["state"]) == (LARGE, 9, "FINISHED")
    # And reads it as what it is.
    do_it(run, f"assert run['x'] == run.x == bytes({SIZE})").check_returncode()


def test_class_of_doit(run, do_it):
    done = do_it(run, "class Result: pass\nrun['a'] = 1\nrun['result'] = [Result()]")
    assert done.returncode
    said = f"run {run.id}: 'result' cannot be saved: no other process has the class Result"
    assert said in done.stderr
    assert "result" not in consistent(run)


def test_two_at_once(run, other, do_it):
    """One commit sets two large values in different leaves of a run."""
    for number in range(3 * MANY):
        run[f"k{number:03}"] = number
    transaction.commit()
    do_it(run, f"run['k005'] = run['k110'] = bytes({SIZE})").check_returncode()
    content = consistent(run)
    assert [content[key] for key in ("k005", "k110")] == [LARGE, LARGE]
    expected = {f"k{number:03}": number for number in range(3 * MANY) if number not in (5, 110)}
    assert {key: other.see(run.id, key) for key in expected} == expected
