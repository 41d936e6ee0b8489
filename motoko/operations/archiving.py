"""Writing a workflow, with what was computed, into one file for others: an RO-Crate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from motoko.config import WorkflowConfig
from motoko.config.workflow_format import format_of
from motoko.errors import CannotWrite, ConfigError
from motoko.operations import archived_outputs, crate_metadata
from motoko.operations.archive_file import CRATE, FOLDER, FORMAT, About, ArchiveWriter
from motoko.operations.archive_staging import Staging, beside_database
from motoko.operations.crate_metadata import CrateFacts

_EPOCH = "SOURCE_DATE_EPOCH"  # the moment that reproducible builds take for the present one
_ELSEWHERE = "large values and run directories are on another host"


@dataclass
class Contents:
    """What an archive has besides the workflow.

    Attributes:
        facts: what it says of itself.
        made: the files that were made for it: by name below ``FOLDER``, where each is.
        pushed: by study, the files of quantities that runs have pushed.
        outputs: which files of run directories are in it.
    """

    facts: CrateFacts
    made: Mapping[str, Path]
    pushed: Mapping[str, Iterable[Path]] = field(default_factory=dict)
    outputs: Sequence[str] = ()


def check(output: Path, outputs: Sequence[str], *, overwrite: bool) -> None:
    """Raise ``ConfigError`` if an archive cannot be written as it is asked for."""
    crate_metadata.check()
    archived_outputs.check(outputs)
    if output.is_dir():
        raise ConfigError(f"{output} is a directory", hint="name a file: -o study.zip")
    if not output.parent.is_dir():
        raise ConfigError(f"{output.parent}: there is no such directory", hint="create it first")
    if output.exists() and not overwrite:
        raise ConfigError(
            f"{output} exists; nothing was changed", hint="name another file, or add --overwrite"
        )


def moment() -> datetime:
    """When an archive is written: now, or the moment that SOURCE_DATE_EPOCH names."""
    text = os.environ.get(_EPOCH, "")
    return datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.now(UTC)


@contextlib.contextmanager
def writing(output: Path) -> Iterator[None]:
    """Raise ``CannotWrite`` if the block, which writes an archive, meets an ``OSError``."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise CannotWrite(
            f"{output} was not written: {where}{error.strerror or error}",
            hint="nothing was changed; `-o` may name a file on another disk",
        ) from error


def write(
    config: WorkflowConfig,
    staging: Staging,
    contents: Contents,
    output: Path,
    secrets: Mapping[str, str],
    tell: Callable[[ArchiveWriter], None],
) -> ArchiveWriter:
    """Write an archive, which appears once it is complete; returns what was written.

    Args:
        config: the workflow.
        staging: its copy.
        contents: what else is in the archive.
        output: the file; it is replaced.
        secrets: what must not get into it, and what each of these texts is.
        tell: is called after each file.

    Raises ``SecretInArchive``, ``OSError``.
    """
    unfinished = staging.config.directory.parent / output.name
    with open(unfinished, "xb") as file:
        with ArchiveWriter(file, secrets, tell) as writer:
            _add(writer, config, staging, contents)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(output)
    return writer


def _add(
    writer: ArchiveWriter, config: WorkflowConfig, staging: Staging, contents: Contents
) -> None:
    for name, path in sorted(staging.files.items()):
        writer.add(name, path)
    for study in staging.studies:
        database = study.database
        name = f"{study.name}/{database.directory.name}/{database.transactions.name}"
        writer.add(name, database.transactions)
        beside = beside_database(config.studies[study.name])
        if beside is None:
            writer.leave_out(f"{study.name}/{database.directory.name}/...", _ELSEWHERE)
        for name, path in beside or ():
            writer.add(name, path)
        pushed = contents.pushed.get(study.name, ())
        archived_outputs.add_outputs(writer, study, contents.outputs, pushed)
    for name, path in contents.made.items():
        writer.add(f"{FOLDER}/{name}", path)
    metadata = crate_metadata.metadata(staging.config, contents.facts, writer.members)
    writer.add_text(CRATE, metadata)
    writer.complete(
        About(
            FORMAT,
            version("motoko"),
            format_of(config.directory / ".wf"),
            staging.config.directory.name,
            config.path.name,
            contents.facts.published,
            staging.states,
            list(contents.outputs),
            staging.variables,
        )
    )
