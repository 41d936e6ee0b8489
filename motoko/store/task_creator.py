"""Creating jobs and runs, or finding those that exist, straight in the study's containers.

This stores the same as BlackDynamite's own ``insert``, in 8 records instead of 32: the run in
``job.runs`` is the run itself, and the types are the descriptors'.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from BlackDynamite.job import JobZEO
from BlackDynamite.run_zeo import RunZEO
from ZODB.utils import z64

from motoko.runs.entries import SAME_FILES, OwnEntries, as_created
from motoko.runs.launch_script import refuse_wrong_first_line
from motoko.runs.outdated import Outdated
from motoko.runs.placeholders import names_of, placeholders, unknown
from motoko.runs.states import CREATED, WAITING_STATES, state_of
from motoko.runs.warm_start import refuse_cold_lines
from motoko.store import config_files
from motoko.store.base import StudyBase
from motoko.store.changed_files import FileChanges, is_finished
from motoko.store.internals.connections import changed_objects
from motoko.store.internals.stored_objects import new_container, new_job, new_run
from motoko.store.job_index import JobPlace
from motoko.store.present_files import PresentFile, PresentFiles, StudyFiles
from motoko.store.trees import places
from motoko.store.values import plain, same_parameter

# Entries that BlackDynamite keeps on every run, and that no comparison of runs looks at.
_RUN_DEFAULTS = {"last_step": None, "last_step_time": None, "start_time": None}


class TaskCreator:
    """Creates the tasks of one study. Commits nothing; the caller holds the study's lock.

    Attributes:
        changes: the finished runs that the last creation has found, but that were made with files
            other than the present ones.
        made: how many runs the last creation has made rather than found.
    """

    def __init__(self, base: StudyBase) -> None:
        self.base = base
        self._files = StudyFiles(base.study, keeping=True, locked=True)
        self._checked: set[tuple[str, frozenset[str]]] = set()  # files, and the names they may use
        self.changes: FileChanges | None = None
        self.made = 0
        # Each creation reads and changes these; another process's creation makes them stale.
        content = base.content
        self._containers = [content["Jobs"].entries, content["Runs"].entries, content["JobsIndex"]]
        self._changed: list[Any] = []  # the containers' records that the last creation changed

    def create(
        self,
        jobs: Iterable[Mapping[str, Any]],
        run: Mapping[str, Any],
        *,
        identity: Iterable[str],
        created_after: str = "",
    ) -> list[tuple[RunZEO, JobZEO]]:
        """One run for each job's values, in their order.

        Args:
            jobs: every declared job parameter, by lower-case name.
            run: the run's parameters, ``run_name``, ``machine_name`` and ``nproc`` included.
            identity: the names of the run's parameters that must be equal for reuse.
            created_after: which runs have led to the new ones.

        Returns:
            ``(run, job)`` pairs; existing ones where job, launch.sh and identity are the same. An
            existing run that waits takes the present files, unless it must keep its own.

        Raises ``ConfigError`` for a file that cannot be read, or a launch.sh that cannot be
        executed, and ``UnsetPlaceholder`` for a file with a placeholder that names no parameter.
        Nothing is made then.
        """
        jobs = list(jobs)
        present = self._files.present()
        self._check_files(present, names_of({n for job in jobs for n in job}, run))
        self.changes = FileChanges(self.base, present)
        self.base.prefetch([self.base.content.entries, *self._containers, *self._changed])
        launch = config_files.store_launch(self.base, present.launch)
        others = [config_files.store(self.base, file) for file in present.others]
        file_ids = [launch, *others]
        values = {name: plain(value) for name, value in run.items()}
        wanted = {**values, "exec": launch}
        content = self.base.content
        study = self.base.study.name
        wanted_jobs = [JobPlace(content, study, _resolved(values)) for values in jobs]
        self._load_places(wanted_jobs)
        self._load_known(wanted_jobs)
        pairs = []
        self.made = 0
        for place in wanted_jobs:
            job = self._job(place)
            known = self._existing(job, wanted, identity, present.launch)
            if known is not None and not self.changes.add(known):
                self._renew_files(known, present)
            if known is None:
                self.made += 1
                known = self._new_run(job, wanted, file_ids)
                if created_after:
                    OwnEntries(known.entries).note("created_after", created_after)
            pairs.append((known, job))
        changed = changed_objects(self.base.connection)
        self._changed = [obj for obj in changed if obj._p_serial != z64]
        return pairs

    def _load_places(self, jobs: list[JobPlace]) -> None:
        """Load the leaves that new jobs and runs go into, and those that index known jobs."""
        jobs_tree, runs_tree, jobs_index = self._containers
        keys = [place.key for place in jobs if place.key is not None]
        level: list[tuple[Any, list[Any]]]
        level = [(jobs_tree, [None]), (runs_tree, [None]), (jobs_index, keys)]
        with contextlib.suppress(TypeError):  # keys of other types: later loaded one by one
            while level:
                level = [below for node, wanted in level for below in places(node, wanted)]
                self.base.prefetch([node for node, _ in level])

    def _load_known(self, jobs: list[JobPlace]) -> None:
        """Load all jobs that exist already, and their runs, in a few round trips."""
        base, content = self.base, self.base.content
        numbers_of_jobs = {number for place in jobs for number in place.candidates()}
        known = [
            job for job in map(content["Jobs"].entries.get, numbers_of_jobs) if job is not None
        ]
        base.load(known)
        runs = [job.runs for job in known if hasattr(job, "runs")]
        base.load(runs)
        numbers = {number for tree in runs for number in tree.entries}
        known_runs = [r for r in map(content["Runs"].entries.get, numbers) if r is not None]
        base.load(known_runs)
        # For runs whose files are compared with the present ones.
        base.prefetch([run.configfiles for run in known_runs if _has_files_compared(run.entries)])

    def _job(self, place: JobPlace) -> JobZEO:
        content = self.base.content
        for candidate in place.candidates():
            known = content["Jobs"].entries.get(candidate)
            if known is not None and place.is_of(known.entries):
                return known
        number = content["Jobs_counter"]
        content["Jobs_counter"] = number + 1
        job = new_job({**place.values, "id": number}, content["job_desc"].types)
        self.base.connection.add(job)  # from now on it knows its base
        content["Jobs"].entries[number] = job
        place.note(number)
        return job

    def _existing(
        self, job: JobZEO, wanted: Mapping[str, Any], compared: Iterable[str], launch: PresentFile
    ) -> RunZEO | None:
        runs = self.base.content["Runs"].entries
        for number in self._runs_of(job):
            run = runs.get(number)
            # Only the keys of job.runs can be trusted: BlackDynamite's own insert stores
            # there a copy that is never updated.
            if run is None:
                continue
            entries = run.entries
            if entries.get("exec") in (launch.launch_id, launch.id, launch.old_id) and all(
                same_parameter(plain(as_created(entries, name)), wanted.get(name))
                for name in compared
            ):
                return run
        return None

    def _renew_files(self, run: RunZEO, present: PresentFiles) -> None:
        """Have a run that waits take the present files."""
        if state_of(run.entries) not in WAITING_STATES:
            return
        launch, before = run.entries["exec"], set(run.configfiles)
        if before == {launch, *(file.id for file in present.others)}:
            return
        own = OwnEntries(run.entries)
        if own.files_wanted == SAME_FILES:
            return
        config_files.assign(self.base, run, present, launch=launch)
        if set(run.configfiles) != before:
            # A launcher that is preparing this run writes this entry, too, and must start again.
            own.note("files_checksum", present.checksum)

    def outdated(self, run_name: str) -> Outdated | None:
        """The finished runs of a run name that were made with files other than the present ones."""
        changes = FileChanges(self.base, self._files.present())
        for run in self.base.all_runs():
            if run.entries.get("run_name") == run_name:
                changes.add(run)
        return changes.outdated

    def _check_files(self, present: PresentFiles, names: frozenset[str]) -> None:
        launch = present.launch.data or b""
        refuse_wrong_first_line(present.launch.path, launch)
        if self.base.study.policy.is_warm:
            refuse_cold_lines(present.launch.path, launch)
        for file in present.all:
            key = file.id, names
            if not file.content.is_template or key in self._checked:
                continue
            for placeholder in placeholders(file.read(), names):
                if not placeholder.is_known:
                    raise unknown(str(file.path), placeholder, names)
            self._checked.add(key)

    def _runs_of(self, job: JobZEO) -> Iterator[int]:
        yield from job.runs.entries.keys() if hasattr(job, "runs") else ()

    def _new_run(self, job: JobZEO, wanted: Mapping[str, Any], file_ids: list[str]) -> RunZEO:
        content = self.base.content
        number = content["Runs_counter"]
        content["Runs_counter"] = number + 1
        entries = {
            **_RUN_DEFAULTS,
            **wanted,
            "job_id": job.entries["id"],
            "id": number,
            "state": CREATED,
        }
        run = new_run(entries, content["run_desc"].types, file_ids)
        self.base.connection.add(run)
        content["Runs"].entries[number] = run
        if not hasattr(job, "runs"):
            job.runs = new_container("runs_")
        job.runs.entries[number] = run
        return run


def _has_files_compared(entries: Mapping[str, Any]) -> bool:
    if state_of(entries) in WAITING_STATES:
        return True
    return is_finished(entries) and OwnEntries(entries).files_checksum is None


def _resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """A job's values, with functions of other values replaced by their results."""
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
