"""Which of a workflow's own files are in its archive: what its runs were computed with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.run_files import DO_IT, LAUNCH, STUB, name_in_run
from motoko.runs.paths import runs_directory

# Scripts, and what a directory says of itself, wherever they are.
_USUAL = (
    *("*.py", "*.sh", "README", "README.*", "LICENSE*", "LICENCE*", "COPYING*", "CITATION.cff"),
    *("requirements*.txt", "environment.yml", "environment.yaml", "pyproject.toml"),
)
_ENVIRONMENT = "pyvenv.cfg"
_OURS = frozenset({".wf", ".bd", "__pycache__"})
_BD_YAML = "bd.yaml"


def files_of(config: WorkflowConfig) -> dict[str, Path]:
    """The files, by their names in the archive.

    A file that bd.yaml lists from outside of the workflow is in its study's directory there.
    """
    studies = config.studies.values()
    runs = {runs_directory(study) for study in studies}
    files = {config.path.name: config.path}
    own = {study.directory for study in studies}
    for path in _usual(config.directory, own | runs):
        files[path.relative_to(config.directory).as_posix()] = path
    for study in studies:
        for path in _usual(study.directory, runs):
            files[f"{study.name}/{path.relative_to(study.directory).as_posix()}"] = path
        for name in (_BD_YAML, LAUNCH, DO_IT, STUB):
            if (path := study.directory / name).exists():
                files[f"{study.name}/{name}"] = path
        for text in study.config_files:
            files[_listed(config, study, text)] = study.directory / text
    for pattern in config.archive.files:
        for path in sorted(config.directory.glob(pattern)):
            for file in _below(path):
                name = file.relative_to(config.directory).as_posix()
                if not _is_ours(name, pattern) and runs.isdisjoint(file.parents):
                    files[name] = file
    return files


def renamed_files(config: WorkflowConfig, study: StudyConfig) -> dict[str, str]:
    """What ``config_files:`` of a study's bd.yaml says in the archive, where that differs."""
    names = {
        text: os.path.relpath(_listed(config, study, text), study.name)
        for text in study.config_files
    }
    return {
        text: name
        for text, name in names.items()
        if Path(text).is_absolute() or os.path.normpath(text) != name
    }


def _listed(config: WorkflowConfig, study: StudyConfig, text: str) -> str:
    """The name in the archive of a file that bd.yaml lists."""
    path = os.path.normpath(f"{study.name}/{text}")
    if Path(text).is_absolute():
        path = os.path.relpath(text, config.directory)
    if path == ".." or path.startswith("../"):
        return f"{study.name}/{name_in_run(text)}"
    return path


def _usual(directory: Path, without: set[Path]) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        here = Path(root)
        folders[:] = sorted(name for name in folders if not _is_apart(here / name, without))
        for name in sorted(names):
            if any(fnmatchcase(name, pattern) for pattern in _USUAL):
                yield here / name


def _is_apart(path: Path, without: set[Path]) -> bool:
    """Whether a directory has nothing of the workflow's: caches, environments, other workflows."""
    return (
        path.name.startswith((".", "__pycache__"))
        or path in without
        or (path / _ENVIRONMENT).exists()
        or (path / "motoko.yaml").exists()
    )


def _is_ours(name: str, pattern: str) -> bool:
    """Whether a file is Motoko's: keys, databases; or hidden, and the pattern names none such."""
    folders = set(name.split("/"))
    if not folders.isdisjoint(_OURS):
        return True
    hidden = any(folder.startswith(".") for folder in folders)
    return hidden and not any(part.startswith(".") for part in pattern.split("/"))


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for root, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))
