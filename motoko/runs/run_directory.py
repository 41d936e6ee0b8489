"""Writing a run's directory, exactly as BlackDynamite's own launchers (its coats) do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from motoko.runs.earlier_layout import make_own_folder

PART = 10**6  # how many bytes are copied at once


@dataclass(frozen=True)
class RunFile:
    """A file of a run directory.

    Attributes:
        name: its path there.
        content: what it contains, or another file that contains it.
        mode: its permissions.
        is_masked: whether the umask takes some of them away, as of files that Motoko makes. The
            others are copies, and have those of what they are copies of.
    """

    name: str
    content: bytes | Path
    mode: int
    is_masked: bool = False


def write(
    directory: Path, files: Iterable[RunFile], *, between: Callable[[], None] = lambda: None
) -> None:
    """Make a run's directory with its files.

    Args:
        directory: the run's directory.
        files: what to put there. A name that leads out of the directory raises ``ValueError``.
        between: called now and then, since copying large files takes time.
    """
    is_new = make_own_folder(directory)
    for file in files:
        if file.name.startswith("/") or ".." in file.name.split("/"):
            raise ValueError(f"{file.name!r} is no name of a file in a run directory")
        if "/" in file.name:
            (directory / file.name).parent.mkdir(parents=True, exist_ok=True)
        if not is_new:
            # An earlier attempt's, which may still run and use it.
            (directory / file.name).unlink(missing_ok=True)
        mode = file.mode if file.is_masked else 0o600
        path = f"{directory}/{file.name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as target:
            for part in _parts(file.content):
                target.write(part)
                between()
            if not file.is_masked:
                os.fchmod(descriptor, file.mode)


def _parts(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with open(content, "rb") as source:
        while part := source.read(PART):
            yield part


def keep_output(directory: Path, stem: str, run_id: int, attempt: int) -> None:
    """Set the output of an earlier attempt aside: ``<stem>.o<id>.<attempt>``."""
    for kind in "oe":
        path = directory / f"{stem}.{kind}{run_id}"
        if path.exists():
            path.rename(path.with_name(f"{path.name}.{attempt}"))
