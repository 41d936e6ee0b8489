"""Pages of runs: together they are all runs, whoever tests the constraints, SQL or Python."""

import pytest
import transaction
from bare_bases import create
from configs import ONLY_MULT, make_study

from motoko.config import load
from motoko.reports.run_pages import RunQuery, run_page
from motoko.reports.state_counts import state_counts
from motoko.store.base import open_file
from motoko.store.study_database import create_study

STATES = ("CREATED", "START", "FINISHED", "FAILED", "MINE")


@pytest.fixture
def config(tmp_path):
    make_study(tmp_path / "mult")
    (tmp_path / "motoko.yaml").write_text(ONLY_MULT)
    config = load(tmp_path)
    create_study(config.studies["mult"])
    base = open_file(config.studies["mult"])
    for number, (run, _) in enumerate(create(base, range(57))):
        run.entries.update({"state": STATES[number % 5], "energy": -number / 2})
    transaction.commit()
    base.close()
    return config


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (RunQuery(), 57),
        (RunQuery(is_reverse=True), 57),
        (RunQuery(column="failed"), 11),
        (RunQuery(column="MINE", sort="energy"), 11),
        (RunQuery(constraints="x < 20"), 20),  # a job's parameter: Python tests it
        (RunQuery(constraints="x < 20", column="created", sort="x", is_reverse=True), 4),
        (RunQuery(constraints="energy < -20", sort="energy"), 16),
        (RunQuery(constraints="x > 1000"), 0),
    ],
)
def test_pages(config, query, count):
    study = config.studies["mult"]
    whole = run_page(config, study, query, 0, 1_000)
    numbers = [run.run_id for run in whole.runs]
    assert whole.total == len(numbers) == count and {"x", "energy"} <= {*whole.names}
    for first in range(0, count, 7):
        page = run_page(config, study, query, first, 7)
        assert [run.run_id for run in page.runs] == numbers[first : first + 7]
        assert (page.total, page.first) == (count, first)


def test_counts(config):
    counts = state_counts(config, config.studies["mult"])
    assert counts.states == {"CREATED": 12, "START": 12, "FINISHED": 11, "FAILED": 11, "MINE": 11}
    assert counts.ends == ()
