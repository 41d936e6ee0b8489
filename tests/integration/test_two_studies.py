"""Several studies open in one process never mix: the cases that FACTS.md names as wrong.

All through a workflow's task managers. Job and run numbers are the same in both studies, so that
whatever reaches into the wrong one finds something there.
"""

import asyncio
import re
import shutil
import tempfile
import threading
from pathlib import Path

import BlackDynamite as BD
import pytest
import transaction
from support import Flow, processes_in, sockets_in, wait_until

from motoko import MotokoError, Workflow
from motoko.bd.session import session

STUDIES = {
    "alpha": "study: alpha\njob:\n  x: float\nrun:\n  depth: int\nrun_params:\n  depth: 1\n",
    "beta": "study: beta\njob:\n  name: str\nrun:\n  width: str\nrun_params:\n  width: w\n",
}
TYPES = {"alpha": ({"x"}, {"depth"}), "beta": ({"name"}, {"width"})}
BOTH = ("alpha", "beta")
# Its parser of constraints, with the present pyparsing.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:BlackDynamite")


def write(directory):
    directory.mkdir(parents=True)
    (directory / "motoko.yaml").write_text(
        "task_managers:\n  alpha:\n  beta:\norchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    for study, text in STUDIES.items():
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(text)
        (directory / study / "launch.sh").write_text(f"# {study} __BLACKDYNAMITE__study__\n")
        (directory / study / "doIt.py").write_text(f"# {study}\n")
    return Flow(directory, BOTH)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    flow = write(place / "wf")
    flow.create()
    done = flow.motoko("supervise", "--detach", "--no-launchers", TMPDIR=str(private))
    assert done.returncode == 0, done.stderr
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    wait_until(lambda: not list(processes_in(place)), "nothing is left")
    assert not sockets_in(private, place)
    shutil.rmtree(private)


@pytest.fixture(params=[BOTH, BOTH[::-1]], ids="-then-".join)
def wf(flow, request):
    """The workflow, its studies opened in one order or the other, with a run in each."""
    workflow = Workflow(flow.path)
    workflow.run_name = re.sub(r"\W+", "_", request.node.name)
    for study in request.param:
        assert getattr(workflow, study).base.study.name == study
    yield workflow
    transaction.abort()
    workflow._close()


@pytest.fixture
def runs(wf):
    """One saved run, and its job, in each study."""
    pairs = {}
    for study, given in (("alpha", {"x": 1.5}), ("beta", {"name": "b"})):
        ((run, job),) = getattr(wf, study).createTask(**given)
        pairs[study] = (run, job)
    return pairs


def bases(wf):
    return {study: getattr(wf, study).base for study in BOTH}


def files(base):
    return {file.filename: file.file for file in base.configfiles.values()}


@pytest.mark.parametrize("first", BOTH)
class TestCases:
    """``first`` is looked at first, the other study right afterwards, and ``first`` again."""

    def order(self, first):
        second = "beta" if first == "alpha" else "alpha"
        return (first, second, first)

    def test_run_base(self, wf, runs, first):
        for study in self.order(first):
            run, job = runs[study]
            assert run.base is job.base is getattr(wf, study).base
            for selected, its_job in getattr(wf, study).select():
                assert selected.base is its_job.base is run.base

    def test_types(self, wf, runs, first):
        base = bases(wf)
        for study in self.order(first):
            job_types, run_types = TYPES[study]
            other_job, other_run = TYPES["beta" if study == "alpha" else "alpha"]
            run, job = base[study].Run(), base[study].Job()
            assert run_types <= set(run.types.entries) and not other_run & set(run.types.entries)
            assert job_types <= set(job.types.entries) and not other_job & set(job.types.entries)

    def test_new_objects_stay_with_their_base(self, wf, first):
        base = bases(wf)
        one, two, three = self.order(first)
        run, job = base[one].Run(), base[one].Job()
        base[two].Run(), base[two].Job()
        assert run.base is job.base is base[one]
        assert base[three].Run().base is base[three]

    def test_selector(self, wf, runs, first):
        constraints = {"alpha": ["x > 1", "depth = 1"], "beta": ["name = b", "width = w"]}
        for study in self.order(first):
            manager = getattr(wf, study)
            manager.select()
            for selector in (manager.selector, BD.RunSelector(manager.base)):
                found = selector.selectRuns(
                    [*constraints[study], f"run_name = {wf.run_name}"], quiet=True
                )
                assert [(run.id, job.id) for run, job in found] == [
                    (runs[study][0].id, runs[study][1].id)
                ]
                assert all(run.base is manager.base for run, _ in found)
            jobs = BD.JobSelector(manager.base).selectJobs(constraints[study][:1], quiet=True)
            assert runs[study][1].id in [job.id for job in jobs]

    def test_matched_objects(self, wf, runs, first):
        for study in self.order(first):
            run, job = runs[study]
            wanted = getattr(wf, study).base.Job()
            wanted["id"] = job.id
            assert [found.id for found in wanted.getMatchedObjectList()] == [job.id]
            assert run.replaceBlackDynamiteVariables("__BLACKDYNAMITE__study__").endswith(study)

    def test_add_config_files(self, wf, runs, first, tmp_path):
        base = bases(wf)
        for study in self.order(first)[:2]:
            path = tmp_path / f"{study}-{wf.run_name}.txt"
            path.write_text(f"of {study}")
            (file_id,) = runs[study][0].addConfigFiles([str(path)])
            transaction.commit()
            assert file_id in base[study].configfiles and file_id in runs[study][0].configfiles
            other = base["beta" if study == "alpha" else "alpha"]
            assert file_id not in other.configfiles

    def test_get_config_files(self, wf, runs, first):
        for study in self.order(first):
            run, _ = runs[study]
            found = {file.filename: file.file for file in run.getConfigFiles()}
            assert found["doIt.py"] == f"# {study}\n"
            assert found["launch.sh"].startswith(f"# {study} ")
            assert found["launch.sh"].rstrip().endswith(f"_{study}")
            assert run.getExecFile().filename == "launch.sh"

    @pytest.mark.parametrize("both_first", [False, True], ids=["one-by-one", "both-first"])
    def test_attach_to_job(self, wf, runs, first, both_first):
        base = bases(wf)
        before = {study: set(base[study].runs.entries) for study in BOTH}
        made = {}

        def new(study):
            run = base[study].Run()
            run["machine_name"], run["nproc"], run["run_name"] = "localhost", 1, wf.run_name + "x"
            run["depth" if study == "alpha" else "width"] = 2 if study == "alpha" else "v"
            run["exec"] = runs[study][0].exec
            return run

        made_first = {study: new(study) for study in self.order(first)[:2]} if both_first else {}
        for study in self.order(first)[:2]:
            run = made_first.get(study) or new(study)
            made[study] = run.attachToJob(runs[study][1])
            transaction.commit()
        for study in BOTH:
            assert set(base[study].runs.entries) - before[study] == {made[study]}
            stored = base[study].runs[made[study]]
            assert stored.job_id == runs[study][1].id and stored.state == "CREATED"
            assert ("depth" in stored.entries) == (study == "alpha")
            assert made[study] in runs[study][1].runs.entries

    def test_insert_of_a_job(self, wf, runs, first):
        base = bases(wf)
        for study in self.order(first)[:2]:
            before = {each: len(base[each].jobs.entries) for each in BOTH}
            job = base[study].Job()
            if study == "alpha":
                job["x"] = float(before["alpha"] + 100)
            else:
                job["name"] = f"n{before['beta']}"
            number = base[study].insert(job)
            transaction.commit()
            after = {each: len(base[each].jobs.entries) for each in BOTH}
            assert {each: after[each] - before[each] for each in BOTH} == {
                each: int(each == study) for each in BOTH
            }
            assert base[study].jobs[number].base is base[study]

    def test_update(self, wf, runs, first):
        for study in self.order(first):
            runs[study][0].update(note=f"of {study}")
            runs[study][1].update(remark=f"of {study}")
        for study in BOTH:
            base = getattr(wf, study).base
            assert base.runs[runs[study][0].id]["note"] == f"of {study}"
            assert base.jobs[runs[study][1].id]["remark"] == f"of {study}"

    def test_delete(self, wf, runs, first):
        base = bases(wf)
        one, two, _ = self.order(first)
        before = {study: set(base[study].runs.entries) for study in BOTH}
        number = runs[one][0].id
        runs[one][0].delete()
        transaction.commit()
        assert set(base[one].runs.entries) == before[one] - {number}
        assert set(base[two].runs.entries) == before[two]
        assert number not in runs[one][1].runs.entries
        assert runs[two][0].state == "CREATED" and len(getattr(wf, two).select()) == 1

    def test_states(self, wf, runs, first):
        """What BlackDynamite's own methods write."""
        one, two, _ = self.order(first)
        runs[one][0].start()
        assert (runs[one][0].state, runs[two][0].state) == ("START", "CREATED")
        runs[two][0].fail()
        runs[one][0].finish()
        assert (runs[one][0].state, runs[two][0].state) == ("FINISHED", "FAILURE")

    def test_quantities(self, wf, runs, first, tmp_path):
        for study in self.order(first)[:2]:
            run = runs[study][0]
            (tmp_path / study).mkdir()
            run["run_path"] = str(tmp_path / study)
            run.pushQuantity(2.0, 0, f"q_{study}")
            transaction.commit()
        for study in BOTH:
            run = runs[study][0]
            assert list(run.quantities) == [f"q_{study}"]
            assert run.getQuantity(f"q_{study}").shape == (1, 2)


def test_same_numbers(runs):
    """Else the tests above would prove less."""
    assert runs["alpha"][1].id == runs["beta"][1].id


def test_interleaved_coroutines(wf, runs):
    """Each coroutine works in a study of its own, and suspends between its steps."""

    async def work(study):
        base = getattr(wf, study).base
        for number in range(20):
            new = base.Run()
            await asyncio.sleep(0)
            assert new.base is base
            assert TYPES[study][1] <= set(base.Run().types.entries)
            runs[study][0].update(note=f"{study}{number}")
            await asyncio.sleep(0)
            assert runs[study][0].base is base and runs[study][0].note == f"{study}{number}"
            given = {"x": float(number)} if study == "alpha" else {"name": str(number)}
            ((run, job),) = getattr(wf, study).createTask(**given)
            await asyncio.sleep(0)
            assert run.base is job.base is base and set(given) <= set(job.entries)

    async def main():
        await asyncio.gather(*(work(study) for study in BOTH))

    asyncio.run(main())
    assert len(wf.alpha.select()) == len(wf.beta.select()) == 21


def test_other_threads(wf, runs, flow):
    """Another thread's workflow has connections of its own, and changes nothing here."""
    failures = []

    def work():
        workflow = Workflow(flow.path)
        workflow.run_name = wf.run_name + " thread"
        try:
            ((run, _),) = workflow.beta.createTask(name="thread")
            assert run.base is workflow.beta.base is not wf.beta.base
            assert workflow.alpha.base.Run().base is workflow.alpha.base
        except BaseException as error:  # noqa: BLE001 (told to the test)
            failures.append(error)
        finally:
            workflow._close()

    wf.alpha.base.Run()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert not failures and not thread.is_alive()
    assert wf.alpha.base.Run().base is wf.alpha.base
    for study in BOTH:
        assert runs[study][0].base is getattr(wf, study).base
    session().refresh(wf.beta.base)
    assert len(wf.beta.select()) == 1


def test_threads_with_loops_of_their_own(wf, runs, flow):
    """Each creates in both studies, awaits, and changes a run that all of them change."""
    count, threads = 6, 4
    failures = []
    shared = runs[BOTH[0]][0].id

    async def work(workflow, number):
        for turn in range(count):
            for study in BOTH:
                manager = getattr(workflow, study)
                job = {"alpha": {"x": number + turn / 8}, "beta": {"name": f"{number} {turn}"}}
                ((run, _),) = manager.createTask(**job[study])
                run["by"] = number
                assert run.base is manager.base
            base = getattr(workflow, BOTH[0]).base
            base.runs.entries[shared][f"key{number}"] = turn
            await getattr(workflow, BOTH[1]).select("state = CREATED")

    def thread(number):
        workflow = Workflow(flow.path)
        workflow.run_name = f"{wf.run_name} {number}"
        try:
            asyncio.run(work(workflow, number))
        except BaseException as error:  # noqa: BLE001 (told to the test)
            failures.append(error)
        finally:
            workflow._close()

    working = [threading.Thread(target=thread, args=[number]) for number in range(threads)]
    for each in working:
        each.start()
    for each in working:
        each.join(60)
    assert not failures and not any(each.is_alive() for each in working)
    wf.run_name, before = None, wf.run_name
    for study in BOTH:
        session().refresh(getattr(wf, study).base)
        for number in range(threads):
            made = getattr(wf, study).select(f"run_name = '{before} {number}'")
            assert len(made) == count and {run["by"] for run, _ in made} == {number}
    ((run, _),) = getattr(wf, BOTH[0]).select(f"runs.id = {shared}")
    assert [run[f"key{number}"] for number in range(threads)] == [count - 1] * threads


def test_another_threads_object_is_refused(wf, runs):
    errors = []

    def work():
        for use in (wf.beta.select, lambda: wf.alpha.createTask(x=1.0)):
            with pytest.raises(MotokoError, match="another thread"):
                use()
            errors.append(use)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert len(errors) == 2


def test_two_workflows(wf, runs, flow):
    """Two objects for the same workflow: a run belongs to the one that it was got from."""
    second = Workflow(flow.path)
    second.run_name = wf.run_name
    try:
        for study in BOTH:
            ((run, _),) = getattr(second, study).select()
            assert run.id == runs[study][0].id and run.base is getattr(second, study).base
            assert runs[study][0].base is getattr(wf, study).base
    finally:
        second._close()
    for study in BOTH:
        assert runs[study][0].base is getattr(wf, study).base
        assert len(getattr(wf, study).select()) == 1
