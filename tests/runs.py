"""Runs made for tests, without an orchestrator, and what has become of them."""

from __future__ import annotations

import contextlib
from typing import Any

import transaction
from support import wait_until

from motoko.config import load
from motoko.control.study_access import opened
from motoko.host.proc_files import boot_id
from motoko.runs.earlier_layout import make_own_folder
from motoko.runs.entries import DocumentedEntries
from motoko.runs.paths import claim_path
from motoko.store.task_creator import TaskCreator

# Runs of this say that they were started, outside of their directory, and then wait to be told.
WAITING = """\
echo $BLACKDYNAMITE_RUN_ID >> ../../started
until [ -e ../../go ]; do sleep 0.05; done
"""
RUN = {"machine_name": "localhost", "nproc": 1, "run_name": "test", "event_name": "main"}


@contextlib.contextmanager
def study_base(flow, study="mult"):
    """A study's base, in this process."""
    config = load(flow.path)
    with opened(config, config.studies[study]) as base:
        transaction.begin()
        yield base


def make_runs(flow, *entries: dict[str, Any], study="mult"):
    """Create one run for each dict, which is put into the run's entries."""
    with study_base(flow, study) as base:
        pairs = TaskCreator(base).create(
            [{"x": float(index)} for index, _ in enumerate(entries, 1)],
            RUN,
            identity=RUN,
        )
        for (run, _), values in zip(pairs, entries, strict=True):
            run.entries.update(values)
        transaction.commit()


def run_directory(flow, number, study="mult"):
    """A run's directory, which is made."""
    path = flow.directory / study / f"BD-{study}-runs" / f"run-{number}"
    make_own_folder(path)
    return path


def ended(flow, number, state, **entries):
    """The entries of a run that was executed, and its directory with a claim of nobody alive."""
    directory = run_directory(flow, number)
    attempt = entries.get("attempt", 1)
    claim_path(directory, attempt).write_text(f"{boot_id()}\n")
    return {"state": state, "run_path": str(directory), "attempt": attempt, **entries}


def runs_of(flow, study="mult"):
    """The entries of all runs by id."""
    with study_base(flow, study) as base:
        return {run.entries["id"]: dict(DocumentedEntries(run.entries)) for run in base.all_runs()}


def states(flow, study="mult"):
    return {number: entries["state"] for number, entries in runs_of(flow, study).items()}


def with_waiting_runs(flow, study="mult"):
    """Have the study's runs wait for :func:`release`."""
    (flow.directory / study / "launch.sh").write_text(WAITING + "python doIt.py\n")


def started(flow, study="mult"):
    """The ids of the runs that were started, each as often as that."""
    path = flow.directory / study / "started"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def release(flow, study="mult"):
    """Let waiting runs go on."""
    (flow.directory / study / "go").touch()


def all_are(flow, state, study="mult"):
    return wait_until(lambda: set(states(flow, study).values()) == {state}, f"all are {state}")
