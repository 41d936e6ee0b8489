"""Which job a run is of, whatever somebody has written into its job_id."""

from types import SimpleNamespace

import pytest

from motoko.store.jobs_of_runs import NoJob, job_of, own_job

JOBS = {
    1: SimpleNamespace(runs=SimpleNamespace(entries={7: "a copy"})),
    2: SimpleNamespace(runs=SimpleNamespace(entries={})),
    3: SimpleNamespace(),  # of a version before
}


@pytest.mark.parametrize("wrong", ["x", "1", None, 1.5, [1], {"a": 1}, 99, (1,), b"1"])
def test_no_job(wrong):
    for find in (job_of, own_job):
        with pytest.raises(NoJob, match=r"its job_id is .*, and there is no such job"):
            find(JOBS, {"id": 7, "job_id": wrong})


def test_its_own():
    with pytest.raises(NoJob, match="its job_id is None"):
        job_of(JOBS, {"id": 7})
    assert job_of(JOBS, {"id": 7, "job_id": 2}) is JOBS[2]
    with pytest.raises(NoJob, match="that job does not have the run"):
        own_job(JOBS, {"id": 7, "job_id": 2})
    for number in (1, 3):
        assert own_job(JOBS, {"id": 7, "job_id": number}) is JOBS[number]
