"""What SQL counts of a study's runs is what a look at each of them finds."""

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
import transaction
from bare_bases import create
from configs import ONLY_MULT, make_study

from motoko.config import load
from motoko.reports import run_counts
from motoko.store.base import open_file
from motoko.store.present_files import StudyFiles
from motoko.store.study_database import create_study

START = datetime(2026, 3, 1, 12, 0, 0)
STATES = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "CREATED", "START", "MINE")


def run_entries(chance, checksums):
    """What may be on a run; most of them are as Motoko writes them."""
    start = START + timedelta(milliseconds=chance.randrange(10**9))
    ended = start.replace(tzinfo=UTC).timestamp() + chance.randrange(10**6) / 1000
    usual = {
        "state": chance.choice(STATES),
        "run_path": "/somewhere",
        "start_time": start.replace(tzinfo=UTC),
        "motoko.attempt": 1,
        "motoko.attempt_ended": ended,
        "motoko.files_checksum": chance.choice(checksums),
    }
    rare = {
        "start_time": [start.replace(tzinfo=timezone(timedelta(hours=2))), "then", None],
        "run_path": [None],
        "motoko.attempt": [None],
        "motoko.attempt_ended": [ended - 10**4, None, int(ended), "then", 1e300],
        "motoko.files_checksum": [None, 3],
        "motoko.batch_name": ["job"],
        "motoko.failure_reason": ["why"],
        "motoko.ended_state": ["FINISHED"],
    }
    for name in rare if chance.random() < 0.3 else ():
        if chance.random() < 0.3:
            usual[name] = chance.choice(rare[name])
    return {name: value for name, value in usual.items() if value is not None}


@pytest.fixture(params=range(6))
def config(request, tmp_path):
    make_study(tmp_path / "mult")
    (tmp_path / "motoko.yaml").write_text(ONLY_MULT)
    config = load(tmp_path)
    study = config.studies["mult"]
    create_study(study)
    chance = random.Random(request.param)
    present = StudyFiles(study, keeping=False).present().checksum
    checksums = [["a"], [present], ["a", "a", present, "b"]][request.param % 3]
    base = open_file(study)
    for run, _ in create(base, range(chance.choice([0, 1, 60, 200]))):
        run.entries.update(run_entries(chance, checksums))
        run.entries["run_name"] = chance.choice(["r", "s"])
    transaction.commit()
    base.close()
    return config


@pytest.mark.parametrize("few", [0, 1_000])
@pytest.mark.parametrize("run_name", [None, "r"])
def test_counted_as_if_looked_at(config, run_name, few, monkeypatch):
    monkeypatch.setattr(run_counts, "FEW", few)
    monkeypatch.setattr(run_counts.time, "time", lambda: 2e9)  # some are running
    study = config.studies["mult"]
    counted = run_counts.overview_of(config, study, run_name, keep=False)
    looked_at = run_counts.overview_of(config, study, run_name, keep=True)
    assert counted.states == looked_at.states
    assert counted.job_count == looked_at.job_count
    assert counted.outdated == looked_at.outdated
    assert counted.failures == looked_at.failures and counted.batch == looked_at.batch
    assert counted.timed == looked_at.timed
    assert counted.median == pytest.approx(looked_at.median, abs=0.001)
    assert counted.longest == pytest.approx(looked_at.longest, abs=0.001)


@pytest.mark.parametrize("most", [0, 3])
def test_only_the_first_failures_are_kept(config, most):
    study = config.studies["mult"]
    looked_at = run_counts.overview_of(config, study, None, keep=True)
    few = run_counts.overview_of(config, study, None, keep=False, failures_max=most)
    assert few.failures == looked_at.failures[:most]
    assert few.more_failures == len(looked_at.failures[most:])
    assert few.timed == looked_at.timed and few.states == looked_at.states
