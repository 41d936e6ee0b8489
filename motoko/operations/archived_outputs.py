"""Which files of run directories are in an archive."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from motoko.config import StudyConfig
from motoko.config.run_files import LAUNCH, OWN_FOLDER
from motoko.errors import ConfigError
from motoko.host.inner_paths import why_wrong
from motoko.operations.archive_file import ArchiveWriter
from motoko.runs.paths import runs_directory

NONE, RESULTS, ALL = "none", "results", "all"
_RUN = re.compile(r"run-(\d+)")
_STDOUT = re.compile(r".*\.o\d+")
Wanted = Callable[[str], bool]


def check(outputs: Sequence[str]) -> None:
    """Raise ``ConfigError`` for outputs that cannot be chosen together, or at all."""
    named = {NONE, RESULTS, ALL}.intersection(outputs)
    if named and len(set(outputs)) > 1 and named != {RESULTS}:
        raise ConfigError(
            f"--outputs {', '.join(outputs)}: these contradict each other",
            hint=f"give {NONE}, {RESULTS} or {ALL} alone; patterns may be added to {RESULTS}",
        )
    for pattern in outputs:
        if why_wrong(pattern) is not None:
            raise ConfigError(
                f"--outputs {pattern!r}: matches no file in a run directory",
                hint="write a pattern such as '*.csv'",
            )


def add_outputs(
    writer: ArchiveWriter, study: StudyConfig, outputs: Sequence[str], pushed: Iterable[Path]
) -> None:
    """Add the files of a study's runs; those that cannot be archived are left out.

    What Motoko itself has written into the directories is not added: launch.sh of a run has the
    values of ``environment:``.

    Args:
        outputs: ``none``, ``results``, ``all``, or patterns of paths in a run's directory.
        pushed: the files of quantities that runs have pushed, which are results.
    """
    runs = runs_directory(study)
    if RESULTS in outputs:
        for path in pushed:
            if path.is_relative_to(runs):
                writer.add(_name(study, runs, path), path, follows=False)
    if (wanted := _wanted(study, outputs)) is None:
        return
    for directory in _directories(runs):
        for path in _below(writer, study, runs, directory):
            if wanted(path.relative_to(directory).as_posix()):
                writer.add(_name(study, runs, path), path, follows=False)


def _wanted(study: StudyConfig, outputs: Sequence[str]) -> Wanted | None:
    """Which paths in a run directory are wanted; ``None``: none of them."""
    if ALL in outputs:
        return lambda name: True
    patterns = [one for one in outputs if one not in (NONE, RESULTS)]
    rules = study.policy.results.values() if RESULTS in outputs else ()
    files = {os.path.normpath(rule.file) for rule in rules if rule.file is not None}
    has_stdout = any(rule.file is None for rule in rules)
    if not (patterns or files or has_stdout):
        return None

    def is_wanted(name: str) -> bool:
        return (
            name in files
            or (has_stdout and _STDOUT.fullmatch(name) is not None)
            or any(fnmatchcase(name, pattern) for pattern in patterns)
        )

    return is_wanted


def _directories(runs: Path) -> list[Path]:
    """All run directories, by number."""
    try:
        names = [path.name for path in runs.iterdir()]
    except OSError:  # there are none
        return []
    numbers = sorted(int(match[1]) for name in names if (match := _RUN.fullmatch(name)))
    return [runs / f"run-{number}" for number in numbers]


def _below(
    writer: ArchiveWriter, study: StudyConfig, runs: Path, directory: Path
) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        at = Path(error.filename or directory)
        writer.leave_out(_name(study, runs, at), error.strerror or str(error))

    for root, folders, names in os.walk(directory, onerror=tell):
        here = Path(root)
        if here == directory:
            folders[:] = [name for name in folders if name != OWN_FOLDER]
            names = [name for name in names if name != LAUNCH]
        folders.sort()
        links = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in sorted([*names, *links]))


def _name(study: StudyConfig, runs: Path, path: Path) -> str:
    return f"{study.name}/{runs.name}/{path.relative_to(runs).as_posix()}"
