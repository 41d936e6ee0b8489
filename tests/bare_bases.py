"""Studies' bases that are opened from their file, without a server, and what is done in them."""

import contextlib
import sys

import transaction
from bare_studies import study_with_files

from motoko.store.base import StudyBase, open_file
from motoko.store.constraints import compile_constraints
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator


@contextlib.contextmanager
def made(place):
    """A study's base, made in a directory."""
    study = study_with_files(place, jobs={"x": int}, runs={"y": int})
    create_study(study)
    base = open_file(study)
    try:
        yield base
    finally:
        transaction.abort()
        base.close()


def create(base: StudyBase, values, y=0):
    run = {"y": y, "nproc": 1, "run_name": "r", "machine_name": "localhost"}
    return TaskCreator(base).create(
        [{"x": value} for value in values],
        run,
        identity=[*run],
    )


def predicate(base, text):
    return compile_constraints(text, job_types=base.types("job"), run_types=base.types("run"))


def lines_of(work):
    """How many lines of Python ``work`` executes."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count
