"""Which files of a study go into each run directory, and under which names.

A file keeps its path below the study's directory. A file from elsewhere, such as ``../mesh.msh``,
has only its last name in the run directory.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from motoko.config.yaml_file import YamlFile
from motoko.host.sizes import megabytes

LAUNCH = "launch.sh"
STUB = "stub.py"  # the results of runs in dry runs
DO_IT = "doIt.py"
# The folder of a run directory that Motoko keeps for itself.
OWN_FOLDER = ".motoko"
# The largest file that is copied into run directories, in bytes.
SIZE_MAX = 10**9

_KEY = "config_files"
_OURS = re.compile(rf"{re.escape(OWN_FOLDER)}(\.new)?|.*\.[oe]\d+(\.\d+)?|slurm-\d.*\.out")


def name_in_run(path: str) -> str:
    """The name in a run directory of a file that bd.yaml lists."""
    name = posixpath.normpath(path)
    outside = posixpath.isabs(name) or name == ".." or name.startswith("../")
    return posixpath.basename(name) if outside else name


def is_ours(name: str) -> bool:
    """Whether Motoko writes a file of this name into run directories, or may do so."""
    return _OURS.fullmatch(name.partition("/")[0]) is not None


def listed_files(bd: YamlFile, texts: Iterable[str], directory: Path) -> tuple[str, ...]:
    """The files that ``config_files`` lists besides doIt.py and launch.sh, each once, as written.

    ``texts`` is the content of ``config_files``.

    Raises ``ConfigError`` for a file that does not exist, is too large, or cannot have its name.
    """
    own = {DO_IT: directory / DO_IT, LAUNCH: directory / LAUNCH}
    names = {name: name for name in own}
    listed: list[str] = []
    wanted = dict.fromkeys(texts)
    bd.require_files(_KEY, {directory / text: "create it, or remove it there" for text in wanted})
    for text in wanted:
        name = name_in_run(text)
        if name in own and _is_same(directory / text, own[name]):
            continue
        if name in names and _is_same(directory / text, directory / names[name]):
            continue
        if is_ours(name):
            hint = "rename it: outputs of runs, and Motoko's own folder, have such names"
            raise bd.error(_KEY, f"{text}: Motoko itself writes {name} into run directories", hint)
        if other := _rival(name, names):
            problem = f"{text}: its name in run directories, {name}, is taken by {names[other]}"
            raise bd.error(_KEY, problem, "rename one of them, or put it into a folder")
        names[name] = text
        listed.append(text)
    for text in (*own, *listed):
        _check_size(bd, directory / text)
    return tuple(listed)


def _rival(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that cannot be in a directory with ``name``.

    It is the same name, or one of the two would be both a file and a folder.
    """
    for other in names:
        if name == other or name.startswith(f"{other}/") or other.startswith(f"{name}/"):
            return other
    return None


def _is_same(path: Path, other: Path) -> bool:
    """Whether two paths are the same once ``.`` and ``..`` are resolved in them."""
    return os.path.normpath(path) == os.path.normpath(other)


def _check_size(bd: YamlFile, path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError:
        return  # doIt.py may be missing
    if size > SIZE_MAX:
        raise bd.error(
            _KEY,
            f"{path} has {megabytes(size)}: at most {megabytes(SIZE_MAX)} are copied into each run",
            "leave it where it is, and have the runs read it there",
        )
