"""Publishing a workflow: a directory that others read, and that is replaced as a whole.

DIR                        a symbolic link to the present version
.DIR-versions/<date>/      versions, beside it: the present one and the one before
    publication.json       which workflow it is of, and as of which transactions
    motoko.yaml, ...       a workflow that can be read: as in an archive
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control.daemon_records import refuse_guests
from motoko.errors import CannotWrite, ConfigError, MotokoError
from motoko.host.files import contents
from motoko.host.locks import locked_if_free
from motoko.host.text_search import TextSearch
from motoko.layout import mirror_path, publication_path

FORMAT = 1
_UNFINISHED = "unfinished"
_LOCK = ".lock"
_READERS = 0o555
_PART = 1 << 20


class Publication(msgspec.Struct, frozen=True):
    """The content of publication.json.

    Attributes:
        workflow: the directory of the workflow.
        made: when it was made (UTC, ISO).
        motoko: the version that has made it.
        studies: the last transaction (hexadecimal) of each study.
    """

    format: int
    workflow: str
    made: str
    motoko: str
    studies: dict[str, str]


@dataclass(frozen=True)
class Draft:
    """A version that is being made.

    Attributes:
        config: the workflow that it has; more files may be put into its directory.
        studies: the studies whose databases are in it.
        tids: the last transaction (hexadecimal) of each.
        left_out: why other studies are not in it, by name.
    """

    config: WorkflowConfig
    studies: list[StudyConfig]
    tids: dict[str, str]
    left_out: dict[str, str]


@contextlib.contextmanager
def publication(config: WorkflowConfig, place: Path, secrets: Mapping[str, str]) -> Iterator[Draft]:
    """Publish a workflow, which may be running, once the block has ended without an error.

    The block adds to the draft. Until it has ended, and if it does not, what was published before
    stays; who reads that may go on until the publication after this one.

    Args:
        config: the workflow.
        place: where readers find it: a new or empty directory, or this workflow's publication.
        secrets: what must not be in it, and what each of these texts is.

    Raises ``ConfigError`` for a place with something else, ``AnotherAccount``, ``CannotWrite``,
    what :func:`motoko.operations.archive_staging.staged` raises, and ``MotokoError`` if another
    process is publishing there.
    """
    refuse_guests(config)
    place = Path(os.path.abspath(place))  # noqa: PTH100 (the link itself is meant)
    _check(config, place)
    versions = _versions(place)
    try:
        versions.mkdir(parents=True, exist_ok=True)
        with locked_if_free(versions / _LOCK) as free:
            if not free:
                raise MotokoError(f"another process is publishing in {place}")
            with _made(config, versions / _UNFINISHED, secrets) as draft:
                yield draft
            _switch(place, versions, draft.config.directory)
    except OSError as error:
        where = error.filename or place
        raise CannotWrite(
            f"nothing was published: {where}: {error.strerror or error}",
            hint=f"what was published before in {place} is as it was",
        ) from error


@contextlib.contextmanager
def _made(config: WorkflowConfig, place: Path, secrets: Mapping[str, str]) -> Iterator[Draft]:
    """A version, which is whole and cannot be changed any more when the block has ended."""
    from motoko.mirror.mirror_file import drop_log
    from motoko.operations.archive_staging import staged
    from motoko.store.database_copies import add_index

    made = datetime.now(UTC)
    _remove(place)
    place.mkdir()
    staging = staged(config, config.studies.values(), place)
    tids = {name: state.tid for name, state in staging.states.items() if state.tid is not None}
    if not tids:
        raise ConfigError(f"{config.path}: no study has a database", hint="there are no results")
    reasons = {name: state.reason for name, state in staging.states.items() if state.tid is None}
    draft = Draft(staging.config, staging.studies, tids, reasons)
    yield draft
    directory = draft.config.directory
    _have_files(directory, staging.files)
    for study in staging.studies:
        add_index(study.database.transactions)
        drop_log(mirror_path(directory, study.name))
    marker = Publication(
        FORMAT, str(config.directory.resolve()), made.isoformat(), version("motoko"), tids
    )
    text = msgspec.json.format(msgspec.json.encode(marker))
    publication_path(directory).write_bytes(text + b"\n")
    _refuse(directory, secrets)
    _finish(directory)


def _have_files(directory: Path, files: Mapping[str, Path]) -> None:
    """Copy what is a link yet, but no run directories, which are often large."""
    for path in [*directory.rglob("*")]:
        if path.is_symlink():
            path.unlink()
    for name, source in files.items():
        if not (target := directory / name).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _refuse(directory: Path, secrets: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` if a file holds a secret."""
    search = TextSearch(secrets)
    for path in directory.rglob("*"):
        if not path.is_file():
            continue
        with open(path, "rb") as file:
            for _, secret in search.through(iter(partial(file.read, _PART), b"")):
                if secret is not None:
                    raise ConfigError(
                        f"{path.relative_to(directory)} holds a secret: the value of {secret}; "
                        "nothing was published",
                        hint="remove it there",
                    )


def _switch(place: Path, versions: Path, directory: Path) -> None:
    """Have a place lead to a new version from one moment to the next."""
    before = place.resolve().name if place.is_symlink() else ""
    final = versions / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%fZ")
    directory.rename(final)
    final.chmod(final.stat().st_mode & _READERS)
    _remove(versions / _UNFINISHED)
    if place.is_dir() and not place.is_symlink():
        place.rmdir()  # it is empty
    (link := versions / "link").unlink(missing_ok=True)
    link.symlink_to(Path(versions.name, final.name))
    link.replace(place)
    for old in versions.iterdir():
        if old.is_dir() and old.name not in (final.name, before):
            _remove(old)


def _check(config: WorkflowConfig, place: Path) -> None:
    """Raise ``ConfigError`` unless a place is free, or has a publication of this workflow."""
    workflow = config.directory.resolve()
    if (place.parent.resolve() / place.name).is_relative_to(workflow):
        raise ConfigError(
            f"{place} is in the workflow's own directory", hint="publish beside it, or elsewhere"
        )
    if not os.path.lexists(place):
        return
    marker = read_marker(place)
    if marker is not None and place.is_symlink() and place.resolve().parent == _versions(place):
        if Path(marker.workflow) != workflow:
            raise ConfigError(
                f"{place} is a publication of another workflow: {marker.workflow}",
                hint="name another directory (if the workflow was moved: a new one)",
            )
    elif place.is_symlink() or not place.is_dir() or any(place.iterdir()):
        raise ConfigError(
            f"{place} is no publication, and no empty directory; nothing was changed",
            hint="name a new directory",
        )


def read_marker(directory: Path) -> Publication | None:
    """What a directory publishes; ``None`` if it is no publication, or one of a later version."""
    try:
        data = contents(publication_path(directory))
        return None if data is None else msgspec.json.decode(data, type=Publication)
    except ValueError:
        return None


def _versions(place: Path) -> Path:
    return place.parent.resolve() / f".{place.name}-versions"


def _finish(directory: Path) -> None:
    """Let nobody change a version any more, and have it outlast a power cut."""
    for root, _, names in os.walk(directory, topdown=False):
        for path in (*(Path(root, name) for name in names), Path(root)):
            path.chmod(path.stat().st_mode & _READERS)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    directory.chmod(directory.stat().st_mode | 0o200)  # to be renamed


def _remove(version: Path) -> None:
    if not version.exists():
        return
    for root, _, _ in os.walk(version):
        Path(root).chmod(0o700)
    shutil.rmtree(version)
