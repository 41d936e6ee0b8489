"""A workflow as it will be in its archive: a copy beside the archive, at one transaction a study.

What is made for the archive (tables, graph, report) is read from this copy, so that it says exactly
what the unpacked workflow will say, whatever is committed meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.config.database_files import DatabaseFiles
from motoko.config.withheld_values import Keys, without_values
from motoko.errors import ConfigError, MotokoError, NoRoom, StudyUnavailable
from motoko.host.locks import locked, locked_if_free
from motoko.host.sizes import shown
from motoko.layout import mirror_path
from motoko.mirror.current_mirror import begin_mirror, make_mirror
from motoko.operations.archive_file import ArchivedStudy
from motoko.operations.archived_files import files_of, renamed_files
from motoko.operations.backing_up import VARS, is_of_servers
from motoko.runs.paths import runs_directory
from motoko.store import database_copies

_LOCK = ".lock"
_FORMAT = ".wf/format"
# What would reach others from a copy, or leads to a place that only the original has.
_PRIVATE = frozenset({("notify",), ("runtime_dir",)})


@dataclass
class Staging:
    """A copy of a workflow, which nobody serves.

    Attributes:
        config: the copy.
        studies: the studies whose databases are in it, those of the copy.
        states: what is in the archive of all studies, by name.
        files: the workflow's own files, by name: where each is read.
        variables: the variables whose values are left out.
    """

    config: WorkflowConfig
    studies: list[StudyConfig] = field(default_factory=list)
    states: dict[str, ArchivedStudy] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)


@contextlib.contextmanager
def place_for(output: Path) -> Iterator[Path]:
    """An empty directory beside a file that is to be written; it is removed at the end.

    What a process that was killed has left there is removed first. Raises ``MotokoError`` if
    another process is writing the same file.
    """
    place = output.with_name(f".{output.name}.part")
    place.mkdir(exist_ok=True)
    with locked_if_free(place / _LOCK) as free:
        if not free:
            raise MotokoError(f"another process is writing {output}")
        for path in place.iterdir():
            if path.name != _LOCK:
                _remove(path)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def staged(config: WorkflowConfig, wanted: Iterable[StudyConfig], place: Path) -> Staging:
    """Copy a workflow's scripts and the databases of some studies into a new directory.

    Raises ``ConfigError`` if motoko.yaml or a bd.yaml cannot be written without private values,
    ``NoRoom``, ``StudyUnavailable`` for a database that cannot be read. One elsewhere whose server
    does not answer is left out.
    """
    directory = place / config.directory.resolve().name
    wanted = list(wanted)
    _require_room(wanted, place)
    (directory / ".wf").mkdir(parents=True)
    files = files_of(config)
    staging = Staging(config)
    states = {name: ArchivedStudy(reason="not asked for") for name in config.studies}
    states |= {study.name: _database(config, study, directory) for study in wanted}
    taken = {name for name, state in states.items() if state.tid is not None}
    variables = _write_config(config, files, directory, taken)
    for name, path in files.items():
        target = directory / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.absolute())
            staging.files[name] = path
        else:
            staging.files[name] = target
    if (path := config.directory / _FORMAT).exists():
        staging.files[_FORMAT] = path
    if (path := config.directory / VARS).exists():
        staging.files[VARS] = directory / VARS
        with locked(path.with_name(f"{path.name}.access"), shared=True):
            shutil.copyfile(path, directory / VARS)
    staging.config = load(directory / config.path.name)
    staging.states, staging.variables = states, variables
    staging.studies = [study for name, study in staging.config.studies.items() if name in taken]
    for study in staging.studies:
        make_mirror(staging.config, study)
    return staging


def _database_files(study: StudyConfig) -> DatabaseFiles | None:
    """The files of a study's database on this host, here or where ``host:`` names."""
    if study.is_local:
        return study.database
    path = study.host_path
    files = None if path is None else DatabaseFiles.of(path)
    return files if files is not None and os.access(files.transactions, os.R_OK) else None


def _database(config: WorkflowConfig, study: StudyConfig, directory: Path) -> ArchivedStudy:
    from motoko.control.study_access import opened

    if study.is_local and not study.created:
        return ArchivedStudy(reason="it has no database yet")
    copied = DatabaseFiles.of(directory / study.name)
    copied.directory.mkdir(parents=True)
    copied.blobs.mkdir()
    begin_mirror(config, study, mirror_path(directory, study.name))
    files = _database_files(study)
    if files is None:
        try:
            with opened(config, study, read_only=True) as base:
                tid = database_copies.copy_served(base.db.storage, copied.transactions)
        except StudyUnavailable as error:
            return ArchivedStudy(reason=str(error))
        return ArchivedStudy(tid)
    tid = database_copies.copy_now(files, copied.transactions)
    runs = runs_directory(study)
    if study.is_local and runs.is_dir():
        (directory / study.name / runs.name).symlink_to(runs.resolve())
    return ArchivedStudy(tid)


def beside_database(study: StudyConfig) -> list[tuple[str, Path]] | None:
    """The other files of a study's database, by their names in the archive: large contents.

    ``None`` if they are on another host.
    """
    files = _database_files(study)
    if files is None:
        return None
    beside = []
    for root, folders, names in os.walk(files.directory):
        folders.sort()
        here = Path(root)
        for name in sorted(names):
            path = here / name
            if here != files.directory or not is_of_servers(path):
                inner = path.relative_to(files.directory).as_posix()
                beside.append((f"{study.name}/{files.directory.name}/{inner}", path))
    return beside


def _write_config(
    config: WorkflowConfig, files: dict[str, Path], directory: Path, taken: set[str]
) -> list[str]:
    """Write motoko.yaml and each bd.yaml for others; returns the variables that lost values."""

    def is_absent(keys: Keys) -> bool:
        # The copy's database is in its own directory.
        is_host = len(keys) == 3 and keys[0] == "task_managers" and keys[2] == "host"
        return keys in _PRIVATE or (is_host and keys[1] in taken)

    variables: set[str] = set()
    renamed = {
        f"{name}/bd.yaml": renamed_files(config, study) for name, study in config.studies.items()
    }
    for name in (config.path.name, *renamed):
        path = files[name]
        try:
            withheld = without_values(
                path.read_text(encoding="utf-8-sig"),
                config.archive.environment,
                is_absent if name == config.path.name else lambda keys: False,
                renamed.get(name),
            )
        except ValueError as error:
            raise ConfigError(f"{path}: {error}", hint="write it without anchors there") from error
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(withheld.text, encoding="utf-8")
        variables.update(withheld.variables)
    return sorted(variables)


def _require_room(studies: Iterable[StudyConfig], place: Path) -> None:
    needed = 0
    for study in studies:
        with contextlib.suppress(OSError):
            needed += study.database.transactions.stat().st_size
    free = shutil.disk_usage(place).free
    if 2 * needed > free:
        raise NoRoom(
            f"{place.parent}: the copies may need {shown(2 * needed)}, and {shown(free)} are free",
            hint="name a place on another disk",
        )
