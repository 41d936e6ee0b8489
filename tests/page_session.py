"""A page of the documentation as a session: its files, commands and Python, one after another."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

COMMAND_S = 120.0
# What a command that is shown to fail prints.
FAILURE = "motoko: error:"


class Session:
    """A user's home directory, who begins in a checkout of Motoko: ``~/motoko``."""

    def __init__(self, home: Path, examples: Path) -> None:
        self.home = home
        self.directory = home / "motoko"
        ignored = shutil.ignore_patterns(".wf", ".bd", "BD-*", "__pycache__")
        shutil.copytree(examples, self.directory / "examples", ignore=ignored)
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",  # what is printed comes in the order in which it was
            "COLUMNS": "200",
            "MPLBACKEND": "Agg",
        }
        self._python: subprocess.Popen[str] | None = None

    def write(self, name: str, text: str) -> None:
        """Write a file of the page into the present directory."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, text: str) -> tuple[int, str]:
        """Run a line of shell: its exit code, and what it has printed. `cd` counts from then on."""
        place = self.home / ".page-directory"
        done = subprocess.run(
            ["bash", "-c", f'{text}\nstatus=$?\npwd > "{place}"\nexit $status'],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        self.directory = Path(place.read_text().strip())
        return done.returncode, done.stdout

    def python(self, code: str) -> str:
        """Execute Python, `await` included, in the page's interpreter: what it has printed.

        Raises ``AssertionError`` with the traceback of what it has raised.
        """
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-P", __file__],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin and self._python.stdout
        self._python.stdin.write(json.dumps(code) + "\n")
        self._python.stdin.flush()
        answer = json.loads(self._python.stdout.readline())
        assert not answer["error"], answer["printed"] + answer["error"]
        return str(answer["printed"])

    def close(self) -> None:
        """End the page's Python, and all workflows that the page has started."""
        if self._python is not None:
            assert self._python.stdin and self._python.stdout
            self._python.stdin.close()
            self._python.wait(30)
            self._python.stdout.close()
        for file in self.home.rglob("motoko.yaml"):
            if (file.parent / ".wf").exists():
                self.command(f"motoko kill --now '{file.parent}'")


async def _interpret() -> None:
    """The page's Python: a line with code comes in, and one with what it has printed goes out."""
    answers = sys.stdout
    names: dict[str, object] = {"__name__": "__page__"}
    while line := await asyncio.to_thread(sys.stdin.readline):
        printed, error = io.StringIO(), ""
        with contextlib.redirect_stdout(printed):
            try:
                code = compile(
                    json.loads(line), "<page>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                )
                result = eval(code, names)
                if inspect.isawaitable(result):
                    await result
            except Exception:  # noqa: BLE001 (told to the test)
                error = traceback.format_exc()
        print(json.dumps({"printed": printed.getvalue(), "error": error}), file=answers, flush=True)


if __name__ == "__main__":
    sys.path[:0] = ["", str(Path(__file__).parent)]  # for imports in hidden blocks: page_checks
    asyncio.run(_interpret())
