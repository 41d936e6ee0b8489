"""Runs the tests and the example of the public motoko 0.1.4, unchanged, against this Motoko.

Its source distribution comes from the package index by pip, and is unpacked in a temporary
directory; of it, ``tests/`` and ``examples/`` are copied to where no ``motoko`` package is. Nothing
of it is kept. Where the index is out of reach this says so, and is no failure.

    python tests/compat/run.py
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from public_motoko import VERSION, Unreachable, download

PROGRAMS = Path(sys.executable).parent
TOKEN = "MOTOKO_COMPAT"
NOT_OURS = ("BLACKDYNAMITE_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
PATIENCE_S = 300.0
END_S = 10.0
# Its examples/README.md says how to run it; the orchestrator ends by `sys.exit(0)`.
EXAMPLE = (
    ("create", "--validated", "."),
    ("launcher",),
    ("orchestrator", "start", "--run_name", "compat", "--inputs", "2.1", "3.1"),
    ("info", "--verbose"),
    ("kill",),
)


class NotCompatible(Exception):
    """Something of 0.1.4's does not run here."""


def left(token: str) -> list[psutil.Process]:
    """The living processes that were started here."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == token and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:  # it has just ended, or is another user's
            continue
    return found


def expect_nothing_left(token: str, after: str) -> None:
    """``NotCompatible`` if a process outlives the workflow, which is then ended."""
    deadline = time.monotonic() + END_S
    while (processes := left(token)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if processes:
        lines = end(processes)
        raise NotCompatible(f"left behind after {after}:\n" + "\n".join(lines))


def end(processes: list[psutil.Process]) -> list[str]:
    """End processes; returns their command lines."""
    lines = []
    for process in processes:
        try:
            lines.append(" ".join(process.cmdline()))
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return lines


def run(command: list[str | Path], directory: Path, environment: dict[str, str]) -> str:
    """What a command prints, which is shown, too; ``NotCompatible`` if it fails."""
    print(f"\n$ {' '.join(map(str, command))}", flush=True)
    # Into a file: a daemon that has inherited a pipe would keep us waiting for its end.
    with tempfile.TemporaryFile("w+") as output:
        try:
            code: int | str = subprocess.run(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"nothing for {PATIENCE_S:.0f} s"
        output.seek(0)
        text = output.read()
    print(text, end="", flush=True)
    if code:
        raise NotCompatible(f"{' '.join(map(str, command))}: exits with {code}")
    return text


def check(source: Path, top: Path, environment: dict[str, str]) -> None:
    """Its tests, then its example; each has to leave nothing."""
    token = environment[TOKEN]
    tests = top / "tests"
    shutil.copytree(source / "tests", tests)
    pytest = [PROGRAMS / "python", "-P", "-m", "pytest", "-p", "no:cacheprovider", "-ra"]
    # `*_test.py`, as pytest finds them by itself; no settings of ours.
    run([*pytest, "-c", os.devnull, "--rootdir", tests, tests], tests, environment)
    expect_nothing_left(token, "the tests")

    example = top / "examples"
    shutil.copytree(source / "examples", example)
    for arguments in EXAMPLE:
        text = run([PROGRAMS / "motoko", *arguments], example, environment)
        if arguments[0] == "orchestrator" and "terminate: workflow successful" not in text:
            raise NotCompatible("the example's orchestrator ends before its work is done")
    expect_nothing_left(token, "the example's `motoko kill`")


def main() -> int:
    """Exit code: 0 if everything passes, or the index is out of reach; 1 otherwise."""
    # Short: Unix sockets with their limit of 107 bytes live here.
    top = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
    token = top.name
    environment = {k: v for k, v in os.environ.items() if not k.startswith(NOT_OURS)}
    environment |= {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "TMPDIR": str(top),
        TOKEN: token,
    }
    try:
        (top / "sdist").mkdir()
        check(download("motoko", VERSION, top / "sdist"), top, environment)
    except Unreachable as error:
        print(f"SKIPPED: no motoko {VERSION} from the package index: {error}")
    except NotCompatible as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    else:
        print(f"the tests and the example of motoko {VERSION} pass")
    finally:
        end(left(token))
        shutil.rmtree(top, ignore_errors=True)
    return 0


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())
