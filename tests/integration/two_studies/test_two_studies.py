"""Several studies open in one process never mix: the cases that FACTS.md names as wrong.

All through a workflow's task managers. Job and run numbers are the same in both studies, so that
whatever reaches into the wrong one finds something there.
"""

import asyncio
import threading

import pytest
import transaction
from launching import deadline
from study_pairs import BOTH, TYPES

from motoko import MotokoError, Workflow
from motoko.store.session import session

# Its parser of constraints, with the present pyparsing.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:BlackDynamite")


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
            workflow.close()

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
            workflow.close()

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
        second.close()
    for study in BOTH:
        assert runs[study][0].base is getattr(wf, study).base
        assert len(getattr(wf, study).select()) == 1


@pytest.mark.parametrize("closed", BOTH)
def test_closing_one_study_keeps_the_changes_in_the_other(wf, runs, flow, closed):
    (kept,) = set(BOTH) - {closed}
    ids = {study: runs[study][0].id for study in BOTH}
    for study in BOTH:
        runs[study][0]["note"] = "mine"
    getattr(wf, closed).close()
    transaction.commit()
    second, noted = Workflow(flow.path), {}
    for study, number in ids.items():
        ((run, _),) = getattr(second, study).select(f"runs.id = {number}")
        noted[study] = run.entries.get("note")
    second.close()
    assert noted == {kept: "mine", closed: None}


def test_closing_a_study_gives_its_lock_back(wf, runs, flow):
    """Closing a study drops pending creations and releases the lock."""

    async def main():
        wf.beta.createTask(name="other")
        wf.alpha.createTask(x=7.0)  # (it saves what is created elsewhere)
        wf.alpha.close()

    asyncio.run(main())
    second = Workflow(flow.path)
    second.run_name = wf.run_name
    with deadline(20):
        ((_, job),) = second.alpha.createTask(x=8.0)
    assert job.x == 8.0
    assert {job.x for _, job in second.alpha.select()} == {1.5, 8.0}
    assert {job.name for _, job in second.beta.select()} == {"b", "other"}
    second.close()
