"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import subprocess
import sys

import pytest
from executing import script
from support import wait_until

from motoko import (
    ParameterError,
    RunList,
)


def values(runs, *names):
    return [tuple(job.entries[name] for name in names) for _, job in runs]


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

    def test_reserved_run_parameters(self, wf):
        before = len(wf.rich.base.jobs.entries)
        for name in ("state", "id", "run_path", "attempt", "run_name", "start"):
            with pytest.raises(ParameterError, match=f"study rich: run_params: '{name}' cannot"):
                wf.rich.createTask({"depth": 1, name: 7}, x=1.0)
        assert len(wf.rich.base.jobs.entries) == before
        ((run, _),) = wf.rich.createTask({"depth": 12, "event_name": "mine"}, x=1.0, name="a")
        assert run.event_name == "mine"

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

    def test_a_value_that_no_other_process_has(self, wf):
        before = len(wf.rich.base.jobs.entries)
        for name, value in {"opts": {"f": object()}, "xs": [[1], print]}.items():
            with pytest.raises(ParameterError, match=f"rich: job parameter '{name}'"):
                wf.rich.createTask(**{"x": [1.0, 22.0], "name": "a", name: value})
        assert len(wf.rich.base.jobs.entries) == before

    def test_after(self, wf, other):
        """`after` is recorded on the run, in whatever way it names other runs."""
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
