"""A workflow with one study of very many runs, made without executing any.

    python benchmarks/big_study.py DIR --runs 100000

makes the workflow ``DIR``, whose study ``solve`` contains what Motoko and BlackDynamite would
have stored of this many ended runs, and its mirror, made by the watcher's own code. The objects
are BlackDynamite's, and go straight into the database's file, many in one transaction.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import transaction
from BTrees.OOBTree import OOBTree
from ZODB.Connection import TransactionMetaData
from ZODB.POSException import POSKeyError
from ZODB.utils import z64

from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.host.digests import digest
from motoko.host.locks import locked
from motoko.layout import mirror_path
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.run_index import RunIndex
from motoko.operations.creation import create_workflow
from motoko.store.base import StudyBase, open_file
from motoko.store.internals.pickles import record_of
from motoko.store.internals.record_trees import RecordTree
from motoko.store.internals.tree_records import Reference, written
from motoko.store.study_records import study_records
from motoko.store.task_creator import TaskCreator

STUDY = "solve"
RUN_NAME = "sweep"
JOB_PARAMETERS = ("load", "mesh", "steps", "x", "y")
RESULTS = ("converged", "energy", "iterations", "label", "residual")
AT_ONCE = 5_000  # runs of a transaction
PRIME = 7_919  # a divisor of no number of runs that anybody asks for
FIRST_START = datetime(2026, 1, 1, tzinfo=UTC)

FILES = {
    "motoko.yaml": f"task_managers:\n  {STUDY}:\n\norchestrator: orchestrator.main\n",
    "orchestrator.py": """\
def populate_arg_parser(parser):
    pass


async def main(workflow, **params):
    workflow.finished = True
""",
    f"{STUDY}/bd.yaml": f"""\
study: {STUDY}

job:
  load: float
  mesh: str
  steps: int
  x: float
  y: int
""",
    f"{STUDY}/launch.sh": "true\n",
    f"{STUDY}/doIt.py": "",
}


def job_of(number: int, runs: int) -> dict[str, Any]:
    """The parameters of one of ``runs`` runs; ``x`` is each of 0, 1, ... ``runs - 1`` once."""
    return {
        "load": (number // 100) / 8,
        "mesh": ("coarse", "fine", "finest")[number % 3],
        "steps": 10 * (1 + number % 7),
        "x": float(number * PRIME % runs),
        "y": number % 1_000,
    }


def results_of(number: int, job: dict[str, Any]) -> dict[str, Any]:
    """A run's results."""
    return {
        "converged": number % 50 != 0,
        "energy": 0.5 * job["load"] ** 2 + job["x"] / 7,
        "iterations": 3 + number % 40,
        "label": f"case {number % 200}",
        "residual": 1e-9 * (1 + number % 13),
    }


def state_of(number: int) -> str:
    """How a run has ended: one in a hundred has failed."""
    return "FAILED" if number % 100 == 50 else "FINISHED"


def build(directory: Path, runs: int, *, mirrored: bool = True) -> Path:
    """Make the workflow; the directory must not be there yet.

    Returns the directory, which is complete or does not exist.
    """
    if runs < 1 or runs % PRIME == 0:
        raise ValueError(f"not to be made with {runs} runs")
    directory.mkdir(parents=True)
    try:
        for name, text in FILES.items():
            path = directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        config = load(directory)
        create_workflow(config, validated=True)
        fill(config.studies[STUDY], runs)
        if mirrored:
            mirror(config)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory


def cached(cache: Path, runs: int) -> Path:
    """The workflow with this many runs in a cache directory, made there if it is missing.

    Do not change it: :func:`copied` gives one to write into.
    """
    directory = cache / f"{STUDY}-{runs}-{digest(Path(__file__).read_text())}"
    cache.mkdir(parents=True, exist_ok=True)
    with locked(directory.with_suffix(".lock")):  # another benchmark may want the same one
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            build(directory, runs)
            (directory / "complete").touch()
    return directory


def copied(source: Path, directory: Path) -> Path:
    """A copy of a workflow, with a mirror of its own."""
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns(".wf", "complete", "*.lock"))
    mirror(load(directory))
    return directory


def fill(study: StudyConfig, runs: int) -> None:
    """Store this many ended runs in a study that has none."""
    base = open_file(study)
    try:
        run, job = _first(base, runs)
        storage, records = base.db.storage, _Records(base, run, job)
        for first in range(1, runs, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, runs))
            made = records.of(numbers, runs)
            txn = TransactionMetaData()
            storage.tpc_begin(txn)
            for oid, serial, data in made:
                storage.store(oid, serial, data, "", txn)
            storage.tpc_vote(txn)
            storage.tpc_finish(txn)
    finally:
        base.close()


def _first(base: StudyBase, runs: int) -> tuple[Any, Any]:
    """A run and its job, as Motoko creates them; it has ended."""
    parameters = {
        "machine_name": "localhost",
        "nproc": 1,
        "run_name": RUN_NAME,
        "workflow": str(base.study.directory.parent / "motoko.yaml"),
        "event_name": "main",
    }
    values = job_of(0, runs)
    ((run, job),) = TaskCreator(base).create([values], parameters, identity=["run_name"])
    run.entries.update(end_of(base.study, 0, values))
    transaction.commit()
    return run, job


def end_of(study: StudyConfig, number: int, job: dict[str, Any]) -> dict[str, Any]:
    """The entries that launcher and run have written by the time a run has ended."""
    state = state_of(number)
    start = FIRST_START + timedelta(seconds=number)
    entries = {
        "attempt": 1,
        "blackdynamite_version": "1.3.9",
        "motoko.attempt": 1,
        "motoko.attempt_ended": start.timestamp() + number % 997,
        "motoko.ended_state": state,
        "motoko.exit_code": 0 if state == "FINISHED" else 1,
        "motoko.files_checksum": "a4509dec0ad9c41fead7e82ca5c679ba",
        "run_path": str(study.directory / "BD-step-runs" / f"run-{1 + number}"),
        "start_time": start,
        "state": state,
    }
    if state == "FAILED":
        return entries | {"motoko.failure_reason": "launch.sh exited with 1"}
    return entries | results_of(number, job)


class _Records:
    """The records of further runs and jobs, which are like the first ones.

    BlackDynamite numbers both from 1. Those of a run or job are the first one's with other oids,
    but for their entries: ZODB would ask for each text in each of them whether it is an object.
    """

    def __init__(self, base: StudyBase, run: Any, job: Any) -> None:
        self._study = base.study
        self._storage = base.db.storage
        load = self._load
        content = base.content
        self._trees = {
            "content": content.entries,
            "jobs": content["Jobs"].entries,
            "runs": content["Runs"].entries,
            "index": content["JobsIndex"],
        }
        self._common = {
            name: value
            for name, value in run.entries.items()
            if name not in {"id", "job_id", *RESULTS}
        }
        parts = [job, job.entries, job.runs, job.runs.entries]
        parts += [run, run.entries, run.configfiles, run.quantities]
        self._oids = [part._p_oid for part in parts]
        self._templates = [load(oid) for oid in self._oids]
        self._tree = record_of(OOBTree, None, lambda _: None)[:-2]  # None is pickled last
        self._run_class, self._job_class = type(run), type(job)

    def _load(self, oid: bytes) -> bytes:
        data: bytes = self._storage.load(oid)[0]
        return data

    def of(self, numbers: range, runs: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """All that is written for these: oids, the earlier serials, and the records."""
        trees = {name: RecordTree(t._p_oid, self._load) for name, t in self._trees.items()}
        for number in numbers:
            parameters, identity = job_of(number, runs), 1 + number
            oids = [self._storage.new_oid() for _ in self._oids]
            job, run = Reference((oids[0], self._job_class)), Reference((oids[4], self._run_class))
            end = end_of(self._study, number, parameters)
            entries: dict[int, dict[Any, Any]] = {
                1: {**parameters, "id": identity},
                3: {identity: run},
                5: {**self._common, "id": identity, "job_id": identity, **end},
            }
            for place, oid in enumerate(oids):
                yield oid, z64, self._record(place, oids, entries.get(place))
            trees["jobs"].entries[identity] = job
            trees["runs"].entries[identity] = run
            trees["index"].entries[_index_key(parameters)] = identity
        for counter in ("jobs_counter", "runs_counter"):
            trees["content"].entries[counter] = 1 + numbers.stop
        for tree in trees.values():
            for oid, data in tree.records(self._storage.new_oid).items():
                yield oid, self._serial(oid), data

    def _record(self, place: int, oids: list[bytes], entries: dict[Any, Any] | None) -> bytes:
        if entries is None:
            data = self._templates[place]
            for before, oid in zip(self._oids, oids, strict=True):
                data = data.replace(_written(before), _written(oid))
            return data
        made = OOBTree(entries)
        if place == 3:
            return record_of(OOBTree, made.__getstate__(), written)
        assert len(made.__getstate__()) == 1, "too many entries for one record"
        return self._tree + pickle.dumps(made.__getstate__(), 3)

    def _serial(self, oid: bytes) -> bytes:
        try:
            serial: bytes = self._storage.load(oid)[1]
        except POSKeyError:
            return z64
        return serial


def _written(oid: bytes) -> bytes:
    """An oid as it is written in pickles."""
    return b"C\x08" + oid


def _index_key(parameters: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(value for _, value in sorted(parameters.items()))


def mirror(config: WorkflowConfig) -> None:
    """Make the study's mirror, as a watcher does that finds none."""
    study = config.studies[STUDY]
    path = mirror_path(config.directory, STUDY)
    path.parent.parent.mkdir(exist_ok=True)
    with study_records(study, None) as records:
        made = Mirror.new(path)
        made.begin()
        index = RunIndex(study.name, records, made.tables, study.bd_name)
        index.walk(records.lastTransaction())
        made.tables.note(witness=records.witness().hex())
        made.checkpoint()
        made.close()


def _steps(directory: Path, runs: int) -> Iterator[str]:
    started = time.perf_counter()
    build(directory, runs, mirrored=False)
    yield f"{runs:,} runs in {time.perf_counter() - started:.1f} s"
    started = time.perf_counter()
    mirror(load(directory))
    yield f"their mirror in {time.perf_counter() - started:.1f} s"


def main() -> None:
    """Make such a workflow."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path, metavar="DIR", help="the workflow's; a new one")
    parser.add_argument("--runs", type=int, default=100_000, help="(default: 100,000)")
    options = parser.parse_args()
    if options.directory.exists():
        parser.error(f"{options.directory} is there already")
    if options.runs < 1 or options.runs % PRIME == 0:
        parser.error(f"not to be made with {options.runs} runs")
    for step in _steps(options.directory.absolute(), options.runs):
        print(step)


if __name__ == "__main__":
    main()
