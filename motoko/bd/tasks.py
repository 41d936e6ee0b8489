"""Creating jobs and runs, or finding those that exist, straight in the study's containers.

What is stored is what BlackDynamite's own ``insert`` stores, in 8 records instead of 32: the run
in ``job.runs`` is the run itself, and the types are the descriptors'.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from BlackDynamite.conffile_zeo import ConfFile
from BlackDynamite.job import JobZEO
from BlackDynamite.lowercase_btree import PersistentLowerCaseBTree
from BlackDynamite.run_zeo import RunZEO
from BTrees.OOBTree import OOBTree, OOSet
from ZODB.utils import z64

from motoko.bd.base import StudyBase
from motoko.bd.trees import places

CREATED = "CREATED"
# What BlackDynamite keeps on every run, and what no comparison of runs looks at.
_RUN_DEFAULTS = {"last_step": None, "last_step_time": None, "start_time": None}
OWN_INDEX = "motokojobsindex"  # as BlackDynamite spells keys: lower case
_RUN_OPTIONAL = ["run_path", "start_time", "state", "last_step", "last_step_time"]


class TaskCreator:
    """Creates the tasks of one study. Commits nothing; the caller holds the study's lock."""

    def __init__(self, base: StudyBase) -> None:
        self._base = base
        self._file_ids: dict[tuple[str, int, int, int], str] = {}
        # What each creation reads and changes, so that another's has it loaded again.
        content = base.content
        self._containers = [content["Jobs"].entries, content["Runs"].entries, content["JobsIndex"]]
        self._changed: list[Any] = []  # the containers' records that the last one has changed

    def create(
        self,
        jobs: Iterable[Mapping[str, Any]],
        run: Mapping[str, Any],
        *,
        executable: Path,
        files: Iterable[Path],
        identity: Iterable[str],
    ) -> list[tuple[RunZEO, JobZEO]]:
        """One run for each job's values, in their order.

        Args:
            jobs: every declared job parameter, by lower-case name.
            run: the run's parameters, ``run_name``, ``machine_name`` and ``nproc`` included.
            executable: the study's ``launch.sh``.
            files: the further files that the run directory will hold.
            identity: the names of the run's parameters that must be equal for reuse.

        Returns:
            ``(run, job)`` pairs; existing ones where job, executable and identity are the same.
        """
        self._base.prefetch([self._base.content.entries, *self._containers, *self._changed])
        exec_id = self._file(executable)
        file_ids = [exec_id, *(self._file(path) for path in files)]
        wanted = {**run, "exec": exec_id}
        compared = [*identity, "exec"]
        content = self._base.content
        indexed = [_Index(content, _resolved(values)) for values in jobs]
        self._load_places(indexed)
        self._load_known(indexed)
        pairs = []
        for index in indexed:
            job = self._job(index)
            found = self._existing(job, wanted, compared)
            pairs.append((found or self._new_run(job, wanted, file_ids), job))
        registered = self._base.connection._registered_objects
        self._changed = [each for each in registered if each._p_serial != z64]
        return pairs

    def _load_places(self, jobs: list[_Index]) -> None:
        """Load the leaves that new jobs and runs go into, and those that tell of known ones."""
        jobs_tree, runs_tree, jobs_index = self._containers
        keys = [index.key for index in jobs if index.key is not None]
        level: list[tuple[Any, list[Any]]]
        level = [(jobs_tree, [None]), (runs_tree, [None]), (jobs_index, keys)]
        with contextlib.suppress(TypeError):  # keys of other types: one by one, then
            while level:
                level = [below for node, wanted in level for below in places(node, wanted)]
                self._base.prefetch([node for node, _ in level])

    def _load_known(self, jobs: list[_Index]) -> None:
        """Load the jobs there are already, and their runs, in a few round trips for all."""
        base, content = self._base, self._base.content
        found = {index.find() for index in jobs} - {None}
        known = [job for job in map(content["Jobs"].entries.get, found) if job is not None]
        base.load(known)
        runs = [job.runs for job in known if hasattr(job, "runs")]
        base.load(runs)
        numbers = {number for each in runs for number in each.entries}
        base.load([run for run in map(content["Runs"].entries.get, numbers) if run is not None])

    def _job(self, index: _Index) -> JobZEO:
        content = self._base.content
        known = index.find()
        if known is not None and known in content["Jobs"].entries:
            return content["Jobs"].entries[known]
        number = content["Jobs_counter"]
        content["Jobs_counter"] = number + 1
        job = JobZEO.__new__(JobZEO)
        job.__setstate__(
            {
                "entries": OOBTree({**index.values, "id": number}),
                "key_string": "key_",
                "optional": [],
                "types": content["job_desc"].types,
                "operators": {},
                "runs": _container("runs_"),
            }
        )
        self._base.connection.add(job)  # from now on it knows its base
        content["Jobs"].entries[number] = job
        index.note(number)
        return job

    def _existing(
        self, job: JobZEO, wanted: Mapping[str, Any], compared: list[str]
    ) -> RunZEO | None:
        runs = self._base.content["Runs"].entries
        for number in self._runs_of(job):
            run = runs.get(number)
            # Only the keys of job.runs are to be trusted: BlackDynamite's own insert stores
            # there a copy that nobody updates.
            if run is not None and all(
                run.entries.get(name) == wanted.get(name) for name in compared
            ):
                return run
        return None

    def _runs_of(self, job: JobZEO) -> Iterator[int]:
        yield from job.runs.entries.keys() if hasattr(job, "runs") else ()

    def _new_run(self, job: JobZEO, wanted: Mapping[str, Any], file_ids: list[str]) -> RunZEO:
        content = self._base.content
        number = content["Runs_counter"]
        content["Runs_counter"] = number + 1
        entries = {
            **_RUN_DEFAULTS,
            **wanted,
            "job_id": job.entries["id"],
            "id": number,
            "state": CREATED,
        }
        run = RunZEO.__new__(RunZEO)
        run.__setstate__(
            {
                "entries": OOBTree(entries),
                "key_string": "key_",
                "optional": list(_RUN_OPTIONAL),
                "types": content["run_desc"].types,
                "operators": {},
                "configfiles": OOSet(file_ids),
                "quantities": OOBTree(),
            }
        )
        self._base.connection.add(run)
        content["Runs"].entries[number] = run
        if not hasattr(job, "runs"):
            job.runs = _container("runs_")
        job.runs.entries[number] = run
        return run

    def _file(self, path: Path) -> str:
        """The id of a file's present content, stored if it is new."""
        info = path.stat()
        key = (str(path), info.st_mtime_ns, info.st_size, info.st_ino)
        files = self._base.configfiles
        file_id = self._file_ids.get(key)
        if file_id is None or file_id not in files:
            file = ConfFile(str(path))
            file_id = self._file_ids[key] = str(file.id)
            if file_id not in files:
                files[file_id] = file
        return file_id


class _Index:
    """Where jobs are found by their values.

    BlackDynamite's index is keyed by the tuple of a job's values, which has to be comparable with
    every other. Values that are not (dicts, mixed lists, None, not-a-number) are kept in an index
    of our own, by their text.

    Attributes:
        values: the job's.
        key: where BlackDynamite's index has the job; ``None`` if it cannot be there.
    """

    def __init__(self, content: Any, values: Mapping[str, Any]) -> None:
        self._content = content
        self.values = values
        ordered = [value for _, value in sorted(values.items())]
        self.key = tuple(ordered) if all(_is_comparable(value) for value in ordered) else None
        self._text = repr([_canonical(value) for value in ordered])

    def find(self) -> int | None:
        """The number of the job with these values."""
        found: int | None = None
        if self.key is not None:
            with contextlib.suppress(TypeError):  # others there are of other types
                found = self._content["JobsIndex"].get(self.key)
        if found is None and OWN_INDEX in self._content.entries:
            found = self._content[OWN_INDEX].get(self._text)
        return found

    def note(self, number: int) -> None:
        """The job with these values has this number."""
        if self.key is not None:
            try:
                self._content["JobsIndex"][self.key] = number
                return
            except TypeError:
                pass  # others there are of other types: then our own has to do
        if OWN_INDEX not in self._content.entries:
            self._content[OWN_INDEX] = OOBTree()
        self._content[OWN_INDEX][self._text] = number


def _is_comparable(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, (int, float)) and each == each for each in value) or all(
            isinstance(each, str) for each in value
        )
    return isinstance(value, (int, float, str)) and value == value


def _canonical(value: Any) -> Any:
    """Equal values get equal texts: 1 and 1.0, dicts in any order."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return {str(key): _canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    return value


def _resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """A job's values, where functions of the others have been called."""
    entries = dict(values)
    for name in [name for name, value in entries.items() if callable(value)]:
        entries[name] = entries[name](_Values(entries))
    return entries


class _Values:
    """A job that is not stored yet, as a functor sees it: attributes and items."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def __getattr__(self, name: str) -> Any:
        try:
            return self._entries[name.lower()]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        return self._entries[name.lower()]


def _container(key_string: str) -> PersistentLowerCaseBTree:
    container = PersistentLowerCaseBTree.__new__(PersistentLowerCaseBTree)
    container.__setstate__({"entries": OOBTree(), "key_string": key_string})
    return container
