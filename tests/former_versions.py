"""Earlier versions of Motoko, from the history, and workflows that two versions use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from support import Flow

ROOT = Path(__file__).parents[1]
# Where the change that is tested may have come from.
TRUNKS = ("origin/HEAD", "origin/main", "main")
# A commit that may be missing: of a shallow clone, or an archive, which has no history.
PINNED = "1540cc76789a55f10cde25f6c41a343301882e2c"


class NoVersion(Exception):
    """The history does not have that version; the text says why."""


def _git(*arguments: str) -> str:
    if not shutil.which("git"):
        raise NoVersion("there is no git")
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoVersion(f"git {' '.join(arguments)}: {done.stderr.strip() or 'no such commit'}")
    return done.stdout.strip()


def _commit(name: str) -> str:
    return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def before_the_change() -> str:
    """The last commit of the trunk before the change that is tested.

    That is where a branch has left the trunk. On the trunk itself it is the commit before the last
    one, or the last one, if files differ from it. Raises :class:`NoVersion`.
    """
    head = _commit("HEAD")
    for trunk in TRUNKS:
        try:
            left = _git("merge-base", "HEAD", trunk)
        except NoVersion:
            continue
        if left != head:
            return left
    return head if _git("status", "--porcelain", "--untracked-files=no") else _commit("HEAD~1")


def last_release() -> str:
    """The last release before the change that is tested; raises :class:`NoVersion`."""
    try:
        tag = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD~1")
    except NoVersion:
        raise NoVersion("the history has no release of this Motoko yet") from None
    return _commit(tag)


def sources(commit: str, place: Path) -> Path:
    """The package of a commit, as a directory for PYTHONPATH; raises :class:`NoVersion`."""
    archive = place / "all.tar"
    _git("archive", "-o", str(archive), commit, "motoko", "supervisor", "workers")
    with tarfile.open(archive) as files:
        files.extractall(place, filter="data")
    for name in ("supervisor", "workers"):
        (place / name).rename(place / "motoko" / name)
    return place


class Both:
    """A workflow, with the commands of an earlier version and of this one."""

    def __init__(self, flow: Flow, place: Path) -> None:
        self.flow = flow
        self.environment = {"PYTHONPATH": str(place)}
        where = self.old_python("import motoko.supervisor; print(motoko.__file__)")
        assert str(place) in where, "it is not the earlier version"

    def old(self, *arguments: str) -> str:
        """A command of the earlier version, which has to succeed; what it prints."""
        return self._checked(self.flow.motoko(*arguments, **self.environment))

    def new(self, *arguments: str, timeout: float = 90.0) -> str:
        """A command of this version, which has to succeed; what it prints."""
        return self._checked(self.flow.motoko(*arguments, timeout=timeout))

    def old_python(self, code: str) -> str:
        """Execute Python with the earlier version."""
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=self.flow.directory,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return self._checked(done)

    def write_orchestrator(self, text: str) -> None:
        """Another orchestrator, which is called by either version."""
        (self.flow.directory / "orchestrator.py").write_text(text)

    def _checked(self, done: subprocess.CompletedProcess[str]) -> str:
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
