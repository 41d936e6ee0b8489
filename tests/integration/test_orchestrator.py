"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from support import Flow, processes_in, sockets_in, wait_until

from motoko import (
    MotokoError,
    ParameterError,
    RunFailed,
    RunList,
    TaskSelectionEval,
    Workflow,
    event,
)
from motoko.errors import ConstraintError, WorkflowStopped

DEADLINE_S = 25

PUPPET = """
import json, sys, time, traceback
from motoko.bd.session import session
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])
for line in sys.stdin:
    study, number, changes = json.loads(line)
    base = getattr(workflow, study).base
    session().refresh(base)
    deadline = time.monotonic() + 5
    while number not in base.runs.entries and time.monotonic() < deadline:
        time.sleep(0.005)  # its creator has not saved it yet
        session().refresh(base)
    try:
        for change in changes:
            base.runs.entries[number].entries.update(change)
            session().commit()
    except Exception:
        traceback.print_exc()
        print("failed", flush=True)
    else:
        print("done", flush=True)
workflow._close()
"""

BD_YAML = {
    "mult": "study: mult\njob:\n  x: float\n  y: float\njob_space:\n  y: 0.0\n",
    "rich": """\
study: rich
job:
  x: float
  xs: list
  name: str
  Big: int
  opts: dict
job_space:
  opts: {p: 1, q: 2}
  xs: [1, 2]
  name: [a, b]
  big: 1
run:
  depth: int
run_params:
  depth: 1
""",
}

# Further entries of a run: a large one has several records.
SMALL_AND_LARGE = pytest.mark.parametrize(
    "more", [{f"entry{i}": i for i in range(count)} for count in (1, 100)], ids=["small", "large"]
)


def write(directory):
    """A workflow of two studies whose runs nobody has to run."""
    directory.mkdir(parents=True)
    (directory / "motoko.yaml").write_text(
        "task_managers:\n  mult:\n  rich:\n"
        "aliases:\n  product: mult\n  other: product\n"
        "orchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    for study, text in BD_YAML.items():
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(text)
        (directory / study / "launch.sh").write_text("python doIt.py\n")
        (directory / study / "doIt.py").write_text("")
    return Flow(directory, tuple(BD_YAML))


class Puppet:
    """Another process, which changes runs and commits each change."""

    def __init__(self, path):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PUPPET, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def __call__(self, study, number, *changes):
        """Commit one change after the other; a string is a state."""
        wanted = [{"state": c} if isinstance(c, str) else c for c in changes]
        with self._lock:
            self._process.stdin.write(json.dumps([study, number, wanted]) + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    async def later(self, study, number, *changes):
        """The same, beside the loop."""
        await asyncio.to_thread(self, study, number, *changes)

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of this module, supervised without launchers."""
    place = tmp_path_factory.mktemp("orchestrator")
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    flow = write(place / "w f")
    flow.create()
    done = flow.motoko("supervise", "--detach", "--no-launchers", TMPDIR=str(private))
    assert done.returncode == 0, done.stderr
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    wait_until(lambda: not list(processes_in(place)), "nothing is left")
    assert not sockets_in(private, place)
    shutil.rmtree(private)


@pytest.fixture(scope="module")
def puppet(flow):
    puppet = Puppet(flow.path)
    yield puppet
    puppet.close()


@pytest.fixture(autouse=True)
def deadline():
    """What hangs is interrupted."""

    def late(number, frame):
        raise AssertionError(f"it hangs: not done within {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wf(flow, request):
    """The workflow in this process, with a run_name of the test's own."""
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    workflow._close()


@pytest.fixture
def other(flow, wf):
    """A second Workflow object, on connections of its own, in this process."""
    workflow = Workflow(flow.path)
    workflow.run_name = wf.run_name
    yield workflow
    workflow._close()


def script(wf, main):
    """Run a coroutine without ``execute``, as a user's own script does."""

    async def whole():
        try:
            return await main()
        finally:
            wf._execution.close()

    return asyncio.run(whole())


def execute(wf, main, **params):
    wf.orchestrator_function = main
    wf.execute(**params)


def values(runs, *names):
    return [tuple(job.entries[name] for name in names) for _, job in runs]


def waiters(wf):
    return wf._execution.dispatcher._waiters


class TestCreateTask:
    def test_order_of_expansion(self, wf):
        runs = wf.mult.createTask(y=[1.0, 2.0], x=[10.0, 20.0, 30.0])
        # y is declared in job_space, hence first; x follows as given.
        expected = [(y, x) for y in (1.0, 2.0) for x in (10.0, 20.0, 30.0)]
        assert values(runs, "y", "x") == expected
        assert [run.id for run, _ in runs] == sorted(run.id for run, _ in runs)
        assert len(runs) == 6 and runs[0][1].x == 10.0 and len(runs[1:3]) == 2

    def test_first_keyword_is_slowest(self, wf):
        runs = wf.rich.createTask(x=[1.0, 2.0], name=["p", "q"], xs=[0])
        both = wf.rich.createTask(name=["p", "q"], x=[1.0, 2.0], xs=[0])
        assert {run.id for run, _ in runs} == {run.id for run, _ in both}
        assert len(runs) == 4

    def test_declared_lists_stay(self, wf):
        ((_, job),) = wf.rich.createTask(x=1.0, xs=[5, 6], name="a")
        assert job.xs == [5, 6]

    def test_default_space_expands(self, wf):
        assert values(wf.rich.createTask(x=1.0), "name", "xs") == [("a", [1, 2]), ("b", [1, 2])]

    def test_dicts_update_default_dicts(self, wf):
        ((_, job),) = wf.rich.createTask(x=1.5, name="a", opts={"q": 3})
        assert job.opts == {"p": 1, "q": 3}
        ((_, job),) = wf.rich.createTask(x=1.5, name="b")
        assert job.opts == {"p": 1, "q": 2}

    def test_unsaved_runs_know_their_base(self, wf):
        async def main():
            for study in ("mult", "rich", "mult"):
                runs = getattr(wf, study).createTask(
                    x=1.25, **({"y": 9.0} if study == "mult" else {})
                )
                for run, job in runs:
                    assert run.base.study.name == job.base.study.name == study
                assert study in repr(runs)

        script(wf, main)

    def test_empty_list(self, wf):
        runs = wf.mult.createTask(x=[])
        assert isinstance(runs, RunList) and len(runs) == 0 and runs.runs == []

        async def main():
            return await runs

        assert script(wf, main) == []

    def test_upper_case(self, wf):
        ((run, job),) = wf.rich.createTask(X=2.0, NAME="u", BIG=7)
        assert (job.x, job.name, job.big) == (2.0, "u", 7)
        ((again, _),) = wf.rich.createTask(x=2.0, name="u", big=7)
        assert again.id == run.id

    def test_defaults_do_not_leak(self, wf):
        xs = [7]
        ((run, job),) = wf.rich.createTask({"depth": 5}, x=3.0, name="z", xs=xs)
        assert run.depth == 5
        job.xs.append(8)
        assert xs == [7]
        runs = wf.rich.createTask(x=3.0)
        assert values(runs, "name", "xs") == [("a", [1, 2]), ("b", [1, 2])]
        assert {run.depth for run, _ in runs} == {1}

    def test_what_a_run_records(self, wf, flow):
        ((run, job),) = wf.mult.createTask(x=3.0)
        assert run.machine_name == "localhost" and run.nproc == 1 and run.state == "CREATED"
        assert run.workflow == str(flow.path) and run.run_name == wf.run_name
        assert run.event_name == "test_what_a_run_records"
        assert run.job_id == job.id and "exec" in run.entries

    def test_jobs_and_runs_are_reused(self, wf, puppet):
        first = wf.mult.createTask(x=[11.0, 12.0])
        again = wf.mult.createTask(x=[12.0, 11.0])
        assert [run.id for run, _ in again] == [run.id for run, _ in first][::-1]
        puppet("mult", first[0][0].id, "launched", "START", "FINISHED", "FORWARDED")
        ((run, _),) = wf.mult.createTask(x=11.0)
        assert run.id == first[0][0].id

    def test_reuse_by_another_process(self, wf, flow):
        ((run, _),) = wf.mult.createTask(x=13.0)
        code = (
            "import sys; from motoko import Workflow\n"
            "workflow = Workflow(sys.argv[1]); workflow.run_name = sys.argv[2]\n"
            "((run, _),) = workflow.mult.createTask(x=13.0); print(run.id)"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(flow.path), wf.run_name],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert int(done.stdout) == run.id

    def test_other_runs_of_the_same_job(self, wf, flow):
        ((first, job),) = wf.rich.createTask(x=14.0, name="a")

        def another(run_params=None):
            ((run, same),) = wf.rich.createTask(run_params, x=14.0, name="a")
            assert same.id == job.id
            return run.id

        seen = {first.id}
        assert another() in seen
        assert another({"event_name": "x"}) in seen
        for run_params in ({"depth": 2}, {"nproc": 2}, {"machine_name": "elsewhere"}):
            new = another(run_params)
            assert new not in seen and another(run_params) == new
            seen.add(new)
        name = wf.run_name
        wf.run_name = name + "2"
        new = another()
        assert new not in seen
        wf.run_name = name
        launch = flow.directory / "rich" / "launch.sh"
        before = launch.read_text()
        try:
            launch.write_text(before + "# changed\n")
            new = another()
            assert new not in seen and another() == new
        finally:
            launch.write_text(before)
        assert another() == first.id

    def test_upper_case_run_parameters(self, wf):
        ((run, _),) = wf.rich.createTask({"Depth": 9}, x=15.0, name="a")
        assert run.depth == 9

    @pytest.mark.parametrize(
        ("study", "given", "words", "hint"),
        [
            ("mult", {"x": 1.0, "zz": 2}, ["mult", "'zz'"], "x, y"),
            ("mult", {"X": 1.0, "yy": 2}, ["mult", "'yy'", "did you mean 'y'"], "x, y"),
            ("mult", {}, ["mult", "'x'", "float", "not given"], "x, y"),
            ("mult", {"x": "abc"}, ["mult", "'x'", "float", "str"], "mult/bd.yaml"),
            ("mult", {"x": [1.0, "abc"]}, ["mult", "'x'", "float", "str"], "mult/bd.yaml"),
            ("mult", {"x": (1.0, 2.0)}, ["mult", "'x'", "float", "tuple"], "mult/bd.yaml"),
            ("rich", {"x": 1.0, "xs": 3}, ["rich", "'xs'", "list", "int"], "rich/bd.yaml"),
            ("rich", {"x": 1.0, "big": 1.5}, ["rich", "'big'", "int", "float"], "rich/bd.yaml"),
        ],
    )
    def test_wrong_parameters(self, wf, study, given, words, hint):
        manager = getattr(wf, study)
        jobs = len(manager.base.jobs.entries)
        with pytest.raises(ParameterError) as caught:
            manager.createTask(**given)
        assert all(word in str(caught.value) for word in words), caught.value
        assert hint in caught.value.hint
        assert len(manager.base.jobs.entries) == jobs and not list(manager.select())

    def test_wrong_run_parameters(self, wf):
        with pytest.raises(ParameterError, match=r"rich.*'depth'.*int"):
            wf.rich.createTask({"depth": "deep"}, x=1.0)

    def test_missing_run_parameter(self, wf):
        wf.rich.definition.run_params  # noqa: B018 (bd.yaml gives it a default)
        object.__setattr__(wf.rich.definition, "run_params", {})
        with pytest.raises(ParameterError, match=r"rich: run parameter 'depth' \(int\)"):
            wf.rich.createTask(x=1.0)

    @pytest.mark.parametrize(
        "odd",
        [
            {"x": None},
            {"x": float("nan")},
            {"x": float("inf")},
            {"x": 20.0, "xs": ["a", 1]},
            {"x": 20.0, "xs": [None]},
            {"x": 20.0, "xs": [[1], {"a": 1}]},
            {"x": 20.0, "xs": []},
            {"x": 20.0, "opts": {"a": 1}},
            {"x": 20.0, "name": "é 'q' \"d\" = < , and\n"},
        ],
        ids=str,
    )
    def test_odd_values(self, wf, odd):
        """Stored and found again, or refused in our own words."""
        wf.rich.createTask(x=20.0, name="a", xs=[1.5])
        wf.rich.createTask(x=21.0, name="a", xs=["s", "t"])
        given = {"name": "a", **odd}
        try:
            ((run, _),) = wf.rich.createTask(**given)
        except ParameterError:
            return
        ((again, _),) = wf.rich.createTask(**given)
        assert again.id == run.id

    def test_after(self, wf, other):
        """What a run comes after is recorded, whatever names it."""
        first = wf.mult.createTask(x=[501.0, 502.0])
        ids = [run.id for run, _ in first]
        names = [f"mult.{number}" for number in ids]
        selection = wf.mult.select("x = 501.0")
        given = {
            1: first,
            2: [first[0][0], first[1]],
            3: names,
            4: [selection, [names[1], names[0]]],
            5: first[0],
        }
        for big, after in given.items():
            ((run, _),) = wf.rich.createTask(x=1.0, name="after", big=big, after=after)
            assert run.dependencies == (names if big < 5 else names[:1]), big
            selected = other.rich.select(f"runs.id = {run.id}")
            ((seen, _),) = wait_until(selected.exec, "another has been told of it")
            assert seen.dependencies == run.dependencies
        assert [r.id for r in wf.get_runs(run.dependencies)["mult"]] == ids[:1]
        ((none, _),) = wf.rich.createTask(x=1.0, name="after", big=6)
        assert not hasattr(none, "dependencies")

    def test_after_of_a_run_that_exists(self, wf):
        ((first, _), (second, _)) = wf.mult.createTask(x=[503.0, 504.0])
        ((run, _),) = wf.rich.createTask(x=1.0, name="again", after=first)
        for _ in range(2):
            ((again, _),) = wf.rich.createTask(x=1.0, name="again", after=[first, second])
            assert again.id == run.id
            assert again.dependencies == [f"mult.{first.id}", f"mult.{second.id}"]

    @pytest.mark.parametrize("wrong", [3, "mult", "mult.x", [None]])
    def test_after_what_is_no_run(self, wf, wrong):
        before = len(wf.mult.select())
        with pytest.raises(ParameterError, match="is no run"):
            wf.mult.createTask(x=505.0, after=wrong)
        assert len(wf.mult.select()) == before

    def test_without_run_name(self, wf):
        wf.run_name = None
        with pytest.raises(RuntimeError, match="run_name"):
            wf.mult.createTask(x=1.0)

    def test_without_a_loop_it_is_saved(self, wf, other):
        ((run, _),) = wf.mult.createTask(x=16.0)
        assert [r.id for r, _ in other.mult.select()] == [run.id]


class TestSelect:
    def test_lazy_and_live_in_a_loop(self, wf, puppet):
        selection = wf.mult.select("state = START")

        async def main():
            ((run, _),) = runs = wf.mult.createTask(x=30.0)
            assert not selection and len(selection) == 0 and list(selection) == []
            waiting = asyncio.ensure_future(selection.all("state = START"))
            await asyncio.sleep(0)  # saved at the loop's next turn
            await puppet.later("mult", run.id, "START")
            await waiting
            assert selection and len(selection) == 1
            ((found, job),) = selection
            assert found.id == run.id and job.x == 30.0
            assert selection[0][0].id == run.id and len(selection[:5]) == 1
            await puppet.later("mult", run.id, "FINISHED")
            await runs
            assert not selection

        script(wf, main)

    def test_live_in_a_script(self, wf, puppet):
        selection = wf.mult.select("state = START")
        ((run, _),) = wf.mult.createTask(x=31.0)
        assert not selection
        puppet("mult", run.id, "START")
        wait_until(lambda: bool(selection), "each use evaluates again", timeout=3)

    def test_live_after_a_foreign_await(self, wf, puppet):
        selection = wf.mult.select("state = START")

        async def main():
            ((run, _),) = wf.mult.createTask(x=32.0)
            await asyncio.sleep(0)
            assert not selection
            await puppet.later("mult", run.id, "START")
            async with asyncio.timeout(5):
                while not selection:
                    await asyncio.sleep(0.01)

        script(wf, main)

    def test_own_changes_are_visible_before_they_are_saved(self, wf, other):
        async def main():
            ((run, _),) = wf.mult.createTask(x=33.0)
            assert [r.id for r, _ in wf.mult.select("state = CREATED")] == [run.id]
            run["state"] = "MINE"
            assert [r.id for r, _ in wf.mult.select("state = MINE")] == [run.id]
            assert not wf.mult.select("state = CREATED")

        script(wf, main)
        assert [r.state for r, _ in other.mult.select()] == ["MINE"]

    def test_attribute_writes(self, wf, other):
        async def main():
            ((run, _),) = wf.mult.createTask(x=34.0)
            run.state = "MINE"
            run.dependencies = ["rich.1"]
            run.weight = 2.5
            assert len(wf.mult.select("weight > 2")) == 1

        script(wf, main)
        ((run, _),) = other.mult.select("state = MINE")
        assert run.dependencies == ["rich.1"] and run.weight == 2.5

    def test_studies_do_not_mix(self, wf):
        def both():
            mult = wf.mult.createTask(x=[35.0, 36.0])
            rich = wf.rich.createTask(x=[35.0], name=["a", "b"])
            return mult, rich

        mult, rich = both()
        assert len(wf.mult.select()) == 2 and len(wf.rich.select()) == 2
        for runs, study in ((mult, "mult"), (rich, "rich")):
            for run, job in runs:
                assert run.base.study.name == study
                assert ("xs" if study == "rich" else "y") in job.entries
        again = both()
        assert [r.id for r, _ in again[0]] == [r.id for r, _ in mult]
        assert [r.id for r, _ in again[1]] == [r.id for r, _ in rich]
        assert sorted(wf.mult.base.types("job")) == ["id", "x", "y"]
        assert len(wf.rich.select("name = a")) == 1 and len(wf.mult.select("x > 35")) == 1

    @pytest.mark.parametrize(
        "name",
        ["a b", "it's", 'q"q', "a, b", "x and y", "= < >", "é ü", "50%", "a.b", "a/b", "a\\b",
         "'", '"', "'\"", "__BLACKDYNAMITE__id__", "None", "True", "1.5", "-1e3", " a "],
    )  # fmt: skip
    def test_run_names(self, wf, name, puppet):
        wf.run_name = name
        ((run, _),) = wf.mult.createTask(x=37.0)
        assert [r.id for r, _ in wf.mult.select()] == [run.id]
        assert [r.id for r, _ in wf.mult.select("state = CREATED")] == [run.id]
        puppet("mult", run.id, "FINISHED")

        async def main():
            await wf.mult.createTask(x=37.0)

        script(wf, main)
        wf.run_name = name + "x"
        assert not wf.mult.select()

    def test_without_run_name_all_are_selected(self, wf):
        ((run, _),) = wf.mult.createTask(x=38.0)
        wf.run_name += "2"
        ((second, _),) = wf.mult.createTask(x=38.0)
        wf.run_name = None
        assert {run.id, second.id} <= {r.id for r, _ in wf.mult.select()}

    def test_ids(self, wf):
        runs = [run.id for run, _ in wf.mult.createTask(x=[39.0, 40.0])]
        selected = wf.mult.select([f"runs.id = {runs[1]}", "state = CREATED"])
        assert [run.id for run, _ in selected] == runs[1:]
        assert not wf.mult.select([f"runs.id = {runs[1]}", "state = FINISHED"])
        assert not wf.mult.select(["runs.id = 1000000"])
        assert len(wf.mult.select(f"runs.id < {runs[1]} and runs.id >= {runs[0]}")) == 1

    def test_the_list_is_not_changed(self, wf):
        constraints = ["state = CREATED"]
        wf.mult.select(constraints)
        assert constraints == ["state = CREATED"]

    def test_unknown_names(self, wf):
        assert wf.mult.createTask(x=41.0)
        with pytest.raises(ConstraintError, match="nonsense"):
            list(wf.mult.select("nonsense = 1"))
        with pytest.raises(ConstraintError):
            list(wf.mult.select("no constraint at all"))

    def test_is_empty(self, wf):
        assert wf.is_empty()
        wf.mult.createTask(x=42.0)
        assert not wf.is_empty()


class TestAwait:
    def test_runs(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[50.0, 51.0])
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            first, second = (run.id for run, _ in created)
            await puppet.later("mult", second, "START", {"y": 5.0, "state": "FINISHED"})
            assert not waiting.done()
            await puppet.later("mult", first, "START", "FINISHED")
            found = await waiting
            assert [run.id for run, _ in found] == [first, second]
            assert found[1][0].y == 5.0 and found[1][0].state == "FINISHED"
            assert not waiters(wf)
            # Again, and at once.
            async with asyncio.timeout(1):
                assert await created == found
                assert await wf.mult.createTask(x=[50.0, 51.0])

        script(wf, main)

    def test_back_to_back_states_are_not_missed(self, wf, puppet):
        async def main():
            for number in range(10):
                created = wf.mult.createTask(x=60.0 + number)
                waiting = asyncio.ensure_future(created)
                await asyncio.sleep(0.002 * number)  # at various moments of the await
                await puppet.later("mult", created[0][0].id, "START", "FINISHED", "FORWARDED")
                async with asyncio.timeout(5):
                    ((run, _),) = await waiting
                assert run.state in ("FINISHED", "FORWARDED")

        script(wf, main)

    def test_states_that_were_over_before_anybody_looked(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=76.0)
            waiting = asyncio.ensure_future(created)
            async with asyncio.timeout(5):
                while wf._execution._dispatcher is None or not waiters(wf):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            # The loop stands still meanwhile: when it wakes, only FORWARDED is there to be read.
            puppet("mult", created[0][0].id, "START", "FINISHED", "FORWARDED")
            wf.mult.base.db.storage.ping()
            async with asyncio.timeout(5):
                ((run, _),) = await waiting
            assert run.state == "FORWARDED"

        script(wf, main)

    def test_moved_on_before_the_await(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=75.0)
            await asyncio.sleep(0)
            await puppet.later(
                "mult",
                created[0][0].id,
                {"state": "FINISHED", "ended_state": "FINISHED"},
                "FORWARDED",
            )
            async with asyncio.timeout(5):
                await created

        script(wf, main)

    @SMALL_AND_LARGE
    def test_moved_on_before_the_await_and_nobody_recorded_it(self, wf, puppet, more):
        async def main():
            created = wf.mult.createTask(x=77.0 + len(more))
            await asyncio.sleep(0)
            await puppet.later("mult", created[0][0].id, more, "FINISHED", "FORWARDED")
            async with asyncio.timeout(5):
                ((run, _),) = await created
            assert run.state == "FORWARDED"

        script(wf, main)

    @SMALL_AND_LARGE
    def test_states_of_the_users_own_are_no_ends(self, wf, puppet, more):
        async def main():
            created = wf.mult.createTask(x=277.0 + len(more))
            await asyncio.sleep(0)
            await puppet.later("mult", created[0][0].id, more, "START", "HALFWAY")
            waiting = asyncio.ensure_future(created)
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
            await puppet.later("mult", created[0][0].id, "FINISHED")
            async with asyncio.timeout(5):
                await waiting

        script(wf, main)

    def test_selection(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[80.0, 81.0])
            selection = wf.mult.select("state = FINISHED")
            waiting = asyncio.ensure_future(selection)
            await asyncio.sleep(0)
            await puppet.later("mult", created[1][0].id, "FINISHED")
            found = await waiting
            assert isinstance(found, list)
            assert [run.id for run, _ in found] == [created[1][0].id]
            assert [run.id for run, _ in await selection] == [created[1][0].id]

        script(wf, main)

    def test_selection_of_what_is_not_there_yet(self, wf, other):
        async def main():
            waiting = asyncio.ensure_future(wf.mult.select("x = 82"))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(create_in_thread, other, 82.0)
            ((_, job),) = await waiting
            assert job.x == 82.0

        script(wf, main)

    def test_all(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[83.0, 84.0])
            first, second = (run.id for run, _ in created)
            condition = wf.mult.select().all("state = FINISHED", ["state = SEEN", "x > 0"])
            assert isinstance(condition, TaskSelectionEval)
            assert not condition()
            waiting = asyncio.ensure_future(condition)
            await puppet.later("mult", first, "FINISHED")
            await puppet.later("mult", second, "SEEN")  # neither alternative holds for both
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await puppet.later("mult", first, "SEEN")
            found = await waiting
            assert [run.id for run, _ in found] == [first, second]
            assert not wf.mult.select("x > 1000").all("state = SEEN")()

        script(wf, main)

    def test_all_raises_for_a_failed_run(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[85.0, 86.0])
            accepting = asyncio.ensure_future(
                wf.mult.select().all("state = FINISHED", "state = FAILED")
            )
            waiting = asyncio.ensure_future(wf.mult.select().all("state = FINISHED"))
            await asyncio.sleep(0)
            first, second = (run.id for run, _ in created)
            await puppet.later("mult", first, {"state": "FAILED", "failure_reason": "diverged"})
            with pytest.raises(RunFailed, match="diverged"):
                await waiting
            assert not accepting.done()
            await puppet.later("mult", second, "FAILED")
            assert len(await accepting) == 2

        script(wf, main)

    def test_and(self, wf, puppet):
        async def main():
            ((mult, _),) = wf.mult.createTask(x=87.0)
            ((rich, _),) = wf.rich.createTask(x=87.0, name="a")
            both = wf.mult.select("state = FINISHED") & wf.rich.select().all("state = FINISHED")
            waiting = asyncio.ensure_future(both)
            await asyncio.sleep(0)
            await puppet.later("mult", mult.id, "FINISHED")
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await puppet.later("rich", rich.id, "FINISHED")
            assert [run.id for run, _ in await waiting] == [mult.id, rich.id]

        script(wf, main)

    def test_gather(self, wf, puppet):
        async def main():
            tasks = [wf.mult.createTask(x=90.0 + n) for n in range(5)]
            ids = [task[0][0].id for task in tasks]

            async def play():
                for number in reversed(ids):
                    await puppet.later("mult", number, "START", "FINISHED")

            *results, _ = await asyncio.gather(*tasks, wf.mult.select("state = FINISHED"), play())
            assert [found[0][0].id for found in results[:5]] == ids
            assert not waiters(wf)

        script(wf, main)

    def test_wait_for_leaves_nothing(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=96.0)
            selection = wf.mult.select("state = FINISHED")
            for awaitable in (
                created,
                selection,
                selection.all("state = X"),
                selection & selection,
            ):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(awaitable, 0.05)
                assert not waiters(wf)
            index = wf._execution.dispatcher
            assert not any(index._by_run.values()) and not any(index._by_study.values())
            # And nothing is spoilt.
            await puppet.later("mult", created[0][0].id, "FINISHED")
            assert await asyncio.wait_for(created, 5)
            assert asyncio.all_tasks() == {asyncio.current_task(), *index._tasks}

        script(wf, main)

    def test_one_list_awaited_by_many(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=97.0)
            waiting = [asyncio.ensure_future(created) for _ in range(3)]
            await asyncio.sleep(0.05)
            waiting[0].cancel()
            await puppet.later("mult", created[0][0].id, "FINISHED")
            assert await waiting[1] == await waiting[2]
            assert waiting[0].cancelled()

        script(wf, main)

    def test_failed_run(self, wf, puppet, tmp_path):
        async def main():
            ((run, _),) = created = wf.mult.createTask(x=98.0)
            (tmp_path / f"{wf.run_name}.e{run.id}").write_text("Traceback\nValueError: 7\n")
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later(
                "mult",
                run.id,
                "START",
                {"run_path": str(tmp_path), "failure_reason": "exit code 1", "state": "FAILED"},
            )
            with pytest.raises(RunFailed) as caught:
                await waiting
            error = caught.value
            assert (error.study, error.run_id, error.state) == ("mult", run.id, "FAILED")
            text = str(error)
            assert "exit code 1" in text and str(tmp_path) in text and "ValueError: 7" in text
            assert f"motoko retry mult.{run.id}" in error.hint
            # At resume it raises at once.
            with pytest.raises(RunFailed):
                async with asyncio.timeout(1):
                    await wf.mult.createTask(x=98.0)
            assert not waiters(wf)

        script(wf, main)

    @pytest.mark.parametrize("state", ["FAILURE", "ERROR", "CANCELLED", "TIMEOUT", "NODE_FAIL"])
    def test_failed_states(self, wf, puppet, state):
        async def main():
            created = wf.mult.createTask(x=99.0)
            await asyncio.sleep(0)
            await puppet.later("mult", created[0][0].id, state)
            with pytest.raises(RunFailed, match=state):
                await created

        script(wf, main)

    def test_gather_with_a_failure(self, wf, puppet):
        async def main():
            good, bad = wf.mult.createTask(x=100.0), wf.mult.createTask(x=101.0)
            waiting = asyncio.ensure_future(asyncio.gather(good, bad, return_exceptions=True))
            await asyncio.sleep(0)
            await puppet.later("mult", bad[0][0].id, "FAILED")
            await puppet.later("mult", good[0][0].id, "FINISHED")
            found, error = await waiting
            assert found[0][0].id == good[0][0].id and isinstance(error, RunFailed)

        script(wf, main)

    def test_saved_at_the_loops_next_turn(self, wf, other):
        async def main():
            ((run, _),) = wf.mult.createTask(x=102.0)
            await asyncio.sleep(0.01)  # a foreign await
            run["note"] = "hello"
            await asyncio.sleep(0.01)
            found = await asyncio.to_thread(read_in_thread, other, run.id)
            assert found["note"] == "hello"

        script(wf, main)


def create_in_thread(workflow, x):
    workflow.mult.createTask(x=x)
    workflow._close()


def read_in_thread(workflow, number):
    found = dict(workflow.mult.base.runs.entries[number].entries.items())
    workflow._close()
    return found


class TestActions:
    def test_constraint_string(self, wf, puppet):
        seen = []

        async def forward(runs, workflow, params, depth, **rest):
            assert workflow is wf and params is None and depth == 3
            for run, job in runs:
                seen.append(job.x)
                run["state"] = "FORWARDED"

        async def main(workflow, **params):
            workflow.add_action("forward", task="mult", event="state = FINISHED", f=forward)
            created = workflow.mult.createTask(x=[110.0, 111.0])
            await asyncio.sleep(0)
            for run, _ in created:
                await puppet.later("mult", run.id, "START", "FINISHED")
            await workflow.mult.select().all("state = FORWARDED")
            workflow.finished = True

        execute(wf, main, depth=3)
        assert sorted(seen) == [110.0, 111.0]

    @pytest.mark.parametrize("kind", ["string", "list", "run_job", "workflow_manager", "selection"])
    def test_conditions(self, wf, puppet, kind):
        got = []
        event = {
            "string": "state = FINISHED and x > 112",
            "list": ["state = FINISHED", "x > 112"],
            "run_job": lambda run, job: run.state == "FINISHED" and job.x > 112,
            "workflow_manager": lambda workflow, task_manager: task_manager.select(
                ["state = FINISHED", "x > 112"]
            ),
            "selection": wf.mult.select(["state = FINISHED", "x > 112"]),
        }[kind]

        def handler(runs, workflow, **params):
            got.append([job.x for _, job in runs])
            for run, _ in runs:
                run["state"] = "SEEN"
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=event, f=handler)
            low, high = workflow.mult.createTask(x=[112.0, 113.0])
            await asyncio.sleep(0)
            await puppet.later("mult", low[0].id, "FINISHED")
            await asyncio.sleep(0.1)
            assert got == []
            await puppet.later("mult", high[0].id, "FINISHED")

        execute(wf, main)
        assert got == [[113.0]]
        # What the last handler has changed is saved.
        assert [job.x for _, job in wf.mult.select("state = SEEN")] == [113.0]

    def test_no_argument_condition(self, wf):
        flag, got = [], []

        def handler(workflow, **params):
            got.append("runs" in params)
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: bool(flag), f=handler)
            await asyncio.sleep(0.1)
            assert not got
            flag.append(1)

        execute(wf, main)
        assert got == [False]

    def test_all_task_managers(self, wf):
        got = []

        def handler(runs, workflow, **params):
            got.append({run.base.study.name for run, _ in runs})
            for run, _ in runs:
                run["state"] = "SEEN"
            workflow.finished = len(got) == 2

        async def main(workflow, **params):
            workflow.add_action("act", event="state = CREATED", f=handler)
            workflow.rich.createTask(x=114.0, name="a")
            workflow.mult.createTask(x=114.0)

        execute(wf, main)
        assert got == [{"mult"}, {"rich"}]

    def test_same_name_replaces(self, wf):
        got = []

        def named(name):
            def handler(workflow, **params):
                got.append(name)
                workflow.finished = name == "last"

            return handler

        async def main(workflow, **params):
            workflow.add_action("a", task="mult", event=lambda: True, f=named("old"))
            workflow.add_action("last", task="mult", event=lambda: True, f=named("last"))
            workflow.add_action("a", task="mult", event=lambda: True, f=named("new"))

        execute(wf, main)
        # In the place of the old one.
        assert got == ["new", "last"]
        assert list(wf.actions["mult"]) == ["a", "last"]

    def test_order_is_by_task_then_registration(self, wf):
        got = []

        def named(name):
            def handler(workflow, **params):
                got.append(name)
                workflow.finished = name == "rich1"

            return handler

        async def main(workflow, **params):
            for task, name in (("mult", "1"), ("rich", "1"), ("mult", "2")):
                workflow.add_action(name, task=task, event=lambda: True, f=named(task + name))

        execute(wf, main)
        assert got == ["mult1", "mult2", "rich1"]

    def test_handlers_are_serial_beside_main(self, wf):
        log = []

        async def slow(workflow, **params):
            log.append("in")
            await asyncio.sleep(0.1)
            log.append("out")
            workflow.finished = log.count("out") == 2

        async def main(workflow, **params):
            workflow.add_action("a", task="mult", event=lambda: True, f=slow)
            workflow.add_action("b", task="mult", event=lambda: True, f=slow)
            while "in" not in log:
                await asyncio.sleep(0.01)
            log.append("main")

        execute(wf, main)
        assert [entry for entry in log if entry != "main"] == ["in", "out", "in", "out"]
        assert log[1] == "main"

    def test_handler_that_creates_and_awaits(self, wf, puppet):
        async def follow(runs, workflow, **params):
            for run, _ in list(runs):
                ((second, _),) = created = workflow.rich.createTask(x=115.0, name="a")
                waiting = asyncio.ensure_future(created)
                await asyncio.sleep(0)
                await puppet.later("rich", second.id, "FINISHED")
                await waiting
                run.state = "FORWARDED"
                run.dependencies = [f"rich.{second.id}"]
                assert second.event_name == "follow"
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("follow", task="mult", event="state = FINISHED", f=follow)
            ((run, _),) = workflow.mult.createTask(x=115.0)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FINISHED")

        execute(wf, main)
        ((run, _),) = wf.mult.select("state = FORWARDED")
        (second,) = wf.get_runs(run.dependencies)["rich"]
        assert second.state == "FINISHED"

    def test_event_decorator(self, wf, other):
        @event
        async def slow(runs, workflow, **params):
            for run, _ in runs:
                run["state"] = "SEEN"
            workflow.finished = True

        @event
        def plain(workflow, **params):
            return 7

        assert slow.__name__ == "slow" and asyncio.run(plain(workflow=wf)) == 7

        async def main(workflow, **params):
            workflow.mult.createTask(x=117.0)
            workflow.add_action("seen", task="mult", event="state = CREATED", f=slow)

        execute(wf, main)
        assert len(other.mult.select("state = SEEN")) == 1

    def test_concurrent_handlers_only_where_asked(self, wf):
        log = []

        async def slow(workflow, **params):
            log.append("in")
            await asyncio.sleep(0.1)
            log.append("out")
            workflow.finished = log.count("out") == 2

        async def main(workflow, **params):
            for name in ("a", "b"):
                workflow.add_action(name, task="mult", event=lambda: True, f=slow, concurrent=True)

        execute(wf, main)
        assert log == ["in", "in", "out", "out"]

    def test_fires_again_while_true(self, wf):
        times = []

        def handler(workflow, **params):
            times.append(asyncio.get_running_loop().time())
            workflow.finished = len(times) == 3

        async def main(workflow, **params):
            workflow.mult.createTask(x=116.0)
            workflow.add_action("again", task="mult", event="state = CREATED", f=handler)

        execute(wf, main)
        assert all(later - sooner > 1.5 for sooner, later in itertools.pairwise(times))

    def test_refused_registrations(self, wf):
        def generator(**params):
            yield

        for bad in ({"event": 3}, {"event": generator}, {"event": "x = 1", "f": generator}):
            with pytest.raises(MotokoError, match="bad"):
                wf.add_action("bad", **{"f": print, **bad})
        with pytest.raises(AttributeError, match="mult, rich"):
            wf.add_action("bad", task="nothing", event="x = 1", f=print)


class TestErrorHandlers:
    @pytest.mark.parametrize("kind", ["async", "plain"])
    def test_called_once_before_the_await_raises(self, wf, puppet, kind):
        log = []

        def note(runs):
            log.append([run.state for run, _ in runs])

        async def slow(runs, **params):
            await asyncio.sleep(0.05)
            note(runs)

        def plain(runs, **params):
            note(runs)

        async def main(workflow, **params):
            workflow.add_error_handler(f=slow if kind == "async" else plain)
            ((run, _),) = created = workflow.mult.createTask(x=120.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, {"state": "FAILED", "failure_reason": "why"})
            try:
                await waiting
            except RunFailed as error:
                log.append(str(error))
                raise

        with pytest.raises(RunFailed, match="why"):
            execute(wf, main)
        assert log[0] == ["FAILED"]
        assert [entry for entry in log if isinstance(entry, list)] == [["FAILED"]]

    def test_a_handler_that_mends(self, wf, puppet):
        calls = []

        def mend(runs, workflow, **params):
            for run, _ in runs:
                calls.append(run.id)
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_error_handler(f=mend)
            ((run, _),) = created = workflow.mult.createTask(x=121.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            await workflow.mult.select("state = CREATED")
            while not calls:
                await asyncio.sleep(0.01)
            await puppet.later("mult", run.id, "FINISHED")
            await waiting

        execute(wf, main)
        assert len(calls) == 1

    def test_failure_that_nobody_awaits_ends_the_workflow(self, wf, puppet):
        calls = []

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda **kwargs: calls.append(1))
            ((run, _),) = workflow.mult.createTask(x=122.0)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            await asyncio.Event().wait()

        with pytest.raises(RunFailed):
            execute(wf, main)
        assert calls == [1]

    def test_called_while_another_handler_is_suspended(self, wf, puppet):
        log = []

        async def stuck(**params):
            log.append("stuck")
            await asyncio.Event().wait()

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda **kwargs: log.append("error handler"))
            workflow.add_action("stuck", task="mult", event=lambda: True, f=stuck)
            ((run, _),) = workflow.mult.createTask(x=123.0)
            while "stuck" not in log:
                await asyncio.sleep(0.01)
            await puppet.later("mult", run.id, "FAILED")
            await asyncio.Event().wait()

        with pytest.raises(RunFailed):
            execute(wf, main)
        assert log == ["stuck", "error handler"]

    def test_an_action_may_mend_what_main_awaits(self, wf, puppet):
        calls = []

        def mend(runs, **params):
            for run, _ in list(runs):
                calls.append(run.id)
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_action("mend", task="mult", event="state = FAILED", f=mend)
            ((run, _),) = created = workflow.mult.createTask(x=124.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            while not calls:
                await asyncio.sleep(0.01)
            await workflow.mult.select("state = CREATED")
            await puppet.later("mult", run.id, "FINISHED")
            await waiting
            workflow.finished = True

        execute(wf, main)
        assert len(calls) == 1

    def test_an_await_inside_a_handler_raises_at_once(self, wf, puppet):
        log = []

        async def handler(workflow, **params):
            ((run, _),) = created = workflow.mult.createTask(x=125.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            try:
                async with asyncio.timeout(1):
                    await waiting
            except RunFailed:
                log.append("raised")
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=handler)

        execute(wf, main)
        assert log == ["raised"]


class TestExecute:
    """The table of CONTRACT.md, row by row."""

    def act(self, wf, f, event=lambda: True):
        wf.add_action("act", task="mult", event=event, f=f)

    def test_finished(self, wf, other):
        async def main(workflow, **params):
            ((run, _),) = workflow.mult.createTask(x=130.0)
            run["note"] = "pending"
            self.act(workflow, lambda **kwargs: None)
            workflow.finished = True
            assert workflow.finished

        execute(wf, main)
        ((run, _),) = other.mult.select()
        assert run.note == "pending"

    def test_main_returns_without_actions(self, wf, other):
        async def main(workflow, **params):
            workflow.mult.createTask(x=131.0)

        execute(wf, main)
        assert len(other.mult.select()) == 1

    def test_main_returns_with_actions(self, wf):
        calls = []

        def handler(workflow, **params):
            calls.append(1)
            workflow.finished = len(calls) == 2

        async def main(workflow, **params):
            self.act(workflow, handler)

        execute(wf, main)
        assert len(calls) == 2

    def test_main_raises(self, wf):
        async def main(workflow, **params):
            self.act(workflow, lambda **kwargs: None)
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            execute(wf, main)

    def test_a_handler_raises(self, wf):
        cancelled = []

        def handler(**params):
            raise ValueError("mine")

        async def main(workflow, **params):
            self.act(workflow, handler)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        with pytest.raises(ValueError, match="mine"):
            execute(wf, main)
        assert cancelled == [1]

    @pytest.mark.parametrize("where", ["main", "handler", "error_handler"])
    def test_sys_exit(self, wf, where, puppet):
        def leave(**params):
            sys.exit(5)

        async def main(workflow, **params):
            if where == "main":
                sys.exit(5)
            if where == "handler":
                self.act(workflow, leave)
            else:
                workflow.add_error_handler(f=leave)
                ((run, _),) = workflow.mult.createTask(x=132.0)
                await asyncio.sleep(0)
                await puppet.later("mult", run.id, "FAILED")
            await asyncio.Event().wait()

        with pytest.raises(SystemExit) as caught:
            execute(wf, main)
        assert caught.value.code == 5

    def test_finished_while_main_awaits(self, wf):
        log = []

        def handler(workflow, **params):
            workflow.finished = True

        async def main(workflow, **params):
            self.act(workflow, handler)
            try:
                await workflow.mult.createTask(x=133.0)
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        execute(wf, main)
        assert log == ["cancelled"]

    def test_parameters(self, wf):
        got = {}

        async def main(workflow, **params):
            got.update(params)

        execute(wf, main, alpha=1, run_name="r")
        assert got == {"alpha": 1, "run_name": "r"} and wf.params == got

    def test_replaced_orchestrator_function(self, wf, monkeypatch):
        calls = []

        async def mine(workflow, **params):
            calls.append(workflow)

        monkeypatch.setattr(wf, "get_orchestrator_function", lambda: mine)
        wf.execute()
        assert calls == [wf]

    def test_main_that_is_not_async(self, wf):
        with pytest.raises(MotokoError, match="async"):
            execute(wf, lambda workflow, **params: None)

    def test_twice(self, wf):
        calls = []

        async def main(workflow, **params):
            calls.append(1)

        execute(wf, main)
        execute(wf, main)
        assert calls == [1, 1]


MAINS = {
    "returns": ("pass", 0, ""),
    "finished": ("workflow.finished = True", 0, ""),
    "raises": ("raise ValueError('mine')", 1, "mine"),
    "exits": ("sys.exit(7)", 7, ""),
    "handler raises": ("workflow.add_action('a', event=lambda: True, f=bad)", 1, "mine"),
    "handler exits": ("workflow.add_action('a', event=lambda: True, f=leave)", 7, ""),
    "constraint": ("list(workflow.mult.select('nonsense'))", 2, "hint: "),
    "parameter": ("workflow.mult.createTask(q=1)", 2, "'q'"),
    "helper": ("import helper; sys.exit(helper.CODE)", 9, ""),
    "options": ("sys.exit(params['run_name'] == 'cli' and params['code'])", 11, ""),
    "no launcher": (
        "import asyncio; await asyncio.wait_for(workflow.mult.createTask(x=151.0), 0.1)",
        1,
        "motoko launcher",
    ),
}


@pytest.mark.parametrize("case", MAINS)
def test_command_line(flow, case):
    body, code, words = MAINS[case]
    text = "import sys\n\n\n"
    if case == "options":
        text += (
            "def populate_arg_parser(parser):\n    parser.add_argument('--code', type=int)\n\n\n"
        )
    text += "def bad(**params):\n    raise ValueError('mine')\n\n\n"
    text += "def leave(**params):\n    sys.exit(7)\n\n\n"
    text += f"async def main(workflow, **params):\n    {body}\n"
    file = flow.directory / "orchestrator.py"
    before = file.read_text()
    (flow.directory / "helper.py").write_text("CODE = 9\n")
    file.write_text(text)
    options = ["--code", "11"] if case == "options" else []
    try:
        done = flow.motoko("orchestrator", "start", "--run_name", "cli", *options)
    finally:
        file.write_text(before)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == (code == 1), done.stderr


class TestTheRest:
    def test_vars_of_two_processes(self, wf, flow):
        code = (
            "import sys; from motoko import Workflow\n"
            "vars = Workflow(sys.argv[1]).vars\n"
            "assert vars.mine == {'a': [1, 2]}, vars.mine\n"
            "for n in range(20): setattr(vars, f'theirs{n}', n)\n"
        )
        wf.vars.mine = {"a": [1, 2]}
        assert wf.vars.mine == {"a": [1, 2]}
        command = [sys.executable, "-P", "-c", code, str(flow.path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            for number in range(20):
                setattr(wf.vars, f"ours{number}", number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        for number in range(20):
            assert getattr(wf.vars, f"ours{number}") == number
            assert getattr(wf.vars, f"theirs{number}") == number
        with pytest.raises(AttributeError, match="nothing"):
            wf.vars.nothing  # noqa: B018

    def test_vars_by_reassignment(self, wf, flow):
        wf.vars.numbers = [1]
        wf.vars.numbers = [*wf.vars.numbers, 2]
        assert Workflow(flow.path).vars.numbers == [1, 2]
        del wf.vars.numbers
        assert not hasattr(Workflow(flow.path).vars, "numbers")

    def test_get_runs(self, wf):
        ((one, _), (two, _)) = wf.mult.createTask(x=[140.0, 141.0])
        ((rich, _),) = wf.rich.createTask(x=140.0, name="a")
        names = [f"mult.{two.id}", f"rich.{rich.id}", f"other.{one.id}", f"mult.{one.id}"]
        found = wf.get_runs(names)
        assert {name: [run.id for run in runs] for name, runs in found.items()} == {
            "mult": [two.id, one.id],
            "rich": [rich.id],
            "other": [one.id],
        }
        assert wf.get_runs([]) == {}
        with pytest.raises(AttributeError, match="mult, rich"):
            wf.get_runs(["nothing.1"])
        with pytest.raises(KeyError):
            wf.get_runs(["mult.1000000"])

    def test_aliases(self, wf):
        assert wf.product is wf.mult and wf.other is wf.mult
        assert wf.aliases == {"product": "mult", "other": "product"}
        with pytest.raises(AttributeError, match="mult, rich"):
            wf.nothing  # noqa: B018

    def test_one_orchestrator_for_a_run_name(self, wf, flow):
        async def main(workflow, **params):
            arguments = ("orchestrator", "start", "--run_name", workflow.run_name)
            done = await asyncio.to_thread(flow.motoko, *arguments)
            assert done.returncode == 5 and "is running already" in done.stderr
            done = await asyncio.to_thread(flow.motoko, *arguments[:-1], workflow.run_name + "2")
            assert done.returncode == 0, done.stderr
            assert [o["run_name"] for o in flow.ps()["orchestrators"]] == [workflow.run_name]

        execute(wf, main)
        assert flow.ps()["orchestrators"] == []

    def test_pending_conflict_is_not_silent(self, wf, puppet):
        async def main():
            ((run, _),) = wf.mult.createTask(x=142.0)
            await asyncio.sleep(0)
            assert run.state == "CREATED"
            run["note"] = "mine"
            puppet("mult", run.id, {"note": "theirs"})  # before ours is saved
            with pytest.raises(MotokoError, match=r"note.*mine.*theirs"):
                await wf.mult.select("state = CREATED")
            # Another key is merged.
            run["one"] = 1
            puppet("mult", run.id, {"two": 2})
            await wf.mult.select("state = CREATED")
            assert (run.one, run.two) == (1, 2)

        script(wf, main)


SCRIPT = """\
import asyncio, sys
from motoko import Workflow

workflow = Workflow("motoko.yaml")
workflow.run_name = "r"
print(len(workflow.mult.createTask(x=1.0)))
"""


class TestWithoutSupervisor:
    def script(self, flow, **environment):
        return subprocess.run(
            [sys.executable, "-P", "-c", SCRIPT],
            cwd=flow.directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @pytest.fixture
    def own(self, tmp_path, nothing_left):
        flow = write(tmp_path / "own")
        flow.create()
        yield flow
        assert flow.motoko("kill", "--now").returncode == 0

    def test_one_is_started_without_launchers(self, own):
        done = self.script(own)
        assert done.returncode == 0 and done.stdout == "1\n", done.stderr
        (line,) = done.stderr.splitlines()
        assert "starting one" in line and "motoko supervise" in line
        assert {name.split(":")[0] for name in own.daemons()} == {"zeo", "bus", "watcher"}
        # And is found by the next.
        done = self.script(own)
        assert done.returncode == 0 and done.stderr == ""

    def test_never_from_inside_a_run(self, own):
        done = self.script(own, BLACKDYNAMITE_RUN_ID="1")
        assert done.returncode == 1 and "NoSupervisor" in done.stderr
        assert own.motoko("ps").returncode == 3

    def test_a_workflow_object_does_nothing(self, own):
        before = {path: path.lstat().st_mtime_ns for path in own.directory.rglob("*")}
        code = "from motoko.workflow import Workflow; w = Workflow('motoko.yaml'); w.mult; w.config"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=own.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == done.stderr == ""
        assert {path: path.lstat().st_mtime_ns for path in own.directory.rglob("*")} == before


class TestStopping:
    def test_awaits_end_when_the_workflow_is_killed(self, tmp_path, monkeypatch, nothing_left):
        flow = write(tmp_path / "own")
        flow.create()
        flow.supervise("--no-launchers")
        wf = Workflow(flow.path)
        wf.run_name = "r"

        async def main(workflow, **params):
            waiting = asyncio.ensure_future(workflow.mult.createTask(x=1.0))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(flow.motoko, "kill", "--now")
            await waiting

        try:
            with pytest.raises(WorkflowStopped) as caught:
                execute(wf, main)
            assert caught.value.exit_code == 4
        finally:
            wf._close()
            flow.motoko("kill", "--now")
