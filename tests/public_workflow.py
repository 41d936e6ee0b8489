"""A workflow directory, and the programs that execute it: those of motoko 0.1.4, or ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from public_motoko import public_venv

GIVEN_UP = r"process no longer exists|psutil\.NoSuchProcess"
TRIES = 10
NOT_OURS = ("BLACKDYNAMITE_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        directory: the workflow's; its path is short, since sockets live there.
        programs: where its ``motoko``, ``python`` and ``canYouDigIt`` are.
    """

    directory: Path
    programs: Path

    @classmethod
    def public(cls, directory: Path) -> Side:
        """That of motoko 0.1.4. Skips where that cannot be had."""
        return cls(directory, public_venv() / "bin")

    @classmethod
    def ours(cls, directory: Path) -> Side:
        """That of this Motoko."""
        return cls(directory, Path(sys.executable).parent)

    @property
    def environment(self) -> dict[str, str]:
        """The user's environment, in which its programs come first."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(NOT_OURS)}
        path = [part for part in kept["PATH"].split(":") if not part.startswith(sys.prefix)]
        return kept | {"PATH": ":".join([str(self.programs), *path])}

    def run(
        self, *words: str | Path, study: str = "", code: int | None = 0, timeout: float = 120.0
    ) -> str:
        """What a program prints, in a study or the workflow; its exit code has to be that.

        BlackDynamite looks through the processes of the machine, and gives up when one ends just
        then: it is asked again.
        """
        for _ in range(TRIES):
            done, text = self._execute(*words, study=study, timeout=timeout)
            if not re.search(GIVEN_UP, text):
                break
        assert code is None or done == code, (words, done, text)
        return text

    def _execute(self, *words: str | Path, study: str, timeout: float) -> tuple[int, str]:
        # Into a file: a daemon that has inherited a pipe would keep us waiting for its end.
        path = self.directory / ".output"
        with path.open("w+") as output:
            done = subprocess.run(
                list(map(str, words)),
                cwd=self.directory / study,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read()

    @staticmethod
    def living_in(directory: Path) -> list[psutil.Process]:
        """The processes that work in a directory, or name it."""
        living = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                if f"{directory}/" in f"{words}/" or Path(process.cwd()).is_relative_to(directory):
                    living.append(process)
            except psutil.Error:  # it has just ended, or is another user's
                continue
        return living

    def remove(self) -> None:
        """End what is left, and remove the directory."""
        for process in self.living_in(self.directory):
            process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
