"""Findings in a study's launch.sh: its interpreter, its syntax, the programs that it calls.

No line of launch.sh is executed: shells only read it (``bash -n``).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from motoko.config.run_files import LAUNCH
from motoko.host.interpreters import Interpreter, WrongFirstLine
from motoko.operations.findings import Finding
from motoko.runs.run_programs import search_path

ANSWER_S = 10.0
_LINE = re.compile(r"(?:line |:\s*)(\d+): *(.*)")
_PROGRAM = re.compile(r"[A-Za-z0-9_./+-]+")
# After one of these it is not known here which programs are on PATH.
_CHANGES_PATH = re.compile(
    r"\b(source|module|conda|mamba|micromamba|eval|PATH=|alias)\b|^\s*\.\s", re.M
)
_FUNCTION = re.compile(r"^\s*(?:function\s+)?([\w-]+)\s*\(\s*\)|^\s*function\s+([\w-]+)", re.M)
_HERE = re.compile(r"<<-?\s*['\"\\]?(\w+)")
_WORDS = """
: . [ [[ alias bg bind break builtin caller case cd command compgen complete continue coproc declare
dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for function
getopts hash help history if in jobs kill let local logout mapfile popd printf pushd pwd read
readarray readonly return select set shift shopt source suspend test then time times trap true type
typeset ulimit umask unalias unset until wait while { } !
"""
_OF_SHELLS = frozenset(_WORDS.split())


def script_findings(path: Path, names: Collection[str], is_known_place: bool) -> list[Finding]:
    """The findings in a launch.sh.

    Args:
        path: the file.
        names: the names of the other files in run directories.
        is_known_place: whether runs find the programs that this process finds.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return []  # another check reports that
    try:
        interpreter = Interpreter.of(text) or Interpreter("/bin/bash")
    except WrongFirstLine:
        return []
    if finding := _missing_interpreter(path, interpreter, is_known_place):
        return [finding]
    if not interpreter.is_bourne_shell:
        return []
    if finding := _syntax(path, interpreter):
        return [finding]
    if not text.strip():
        remedy = "write what a run executes, such as `python doIt.py`"
        return [Finding(path, None, "is empty: runs do nothing", remedy, is_error=False)]
    if not is_known_place or _CHANGES_PATH.search(text):
        return []
    return [*_missing_programs(path, text, names)]


def _missing_interpreter(
    path: Path, interpreter: Interpreter, is_known_place: bool
) -> Finding | None:
    program, remedy = interpreter.path, "name a program that is there, such as #!/bin/bash"
    if not os.access(program, os.X_OK):
        return Finding(path, 1, f"its first line names {program}, which is not there", remedy)
    name = interpreter.program
    if name != "env" and Path(program).name == "env" and is_known_place and not _which(name):
        return Finding(path, 1, f"its first line names {name}, which is not on PATH", remedy)
    return None


def _syntax(path: Path, interpreter: Interpreter) -> Finding | None:
    shell = shutil.which(interpreter.program) or interpreter.path
    environment = {k: v for k, v in os.environ.items() if k not in ("BASH_ENV", "ENV")}
    try:
        done = subprocess.run(
            [shell, "-n", str(path)],
            capture_output=True,
            timeout=ANSWER_S,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").replace(str(path), LAUNCH).splitlines()
    match = next(filter(None, map(_LINE.search, lines)), None)
    words = match[2] if match else (lines or ["it cannot be read"])[0]
    number = int(match[1]) if match else None
    problem = f"{Path(shell).name} cannot read it: {words}"
    return Finding(path, number, problem, f"mend it; `{Path(shell).name} -n {LAUNCH}` shows it")


def _missing_programs(path: Path, text: str, names: Collection[str]) -> Iterator[Finding]:
    functions = {name for match in _FUNCTION.finditer(text) for name in match.groups() if name}
    for number, line in _plain_lines(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a quoted text goes on in the next line
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        if not words or not _PROGRAM.fullmatch(words[0]):
            continue
        word = words[0]
        if word in _OF_SHELLS or word in functions:
            continue
        if "/" not in word:
            if not _which(word):
                remedy = (
                    "correct its name, or install it; it must be on PATH where runs are executed"
                )
                problem = f"{word} is not on PATH"
                yield Finding(path, number, problem, remedy, is_error=False)
        elif not word.startswith("/"):
            name = os.path.normpath(word)
            known = {name, name.partition("/")[0]} & {*names, *(n.partition("/")[0] for n in names)}
            if not known and name not in text.replace(word, "", 1):
                remedy = f"add it to config_files in bd.yaml, such as `config_files: [../{name}]`"
                problem = f"{word} is not in run directories: bd.yaml does not name it"
                yield Finding(path, number, problem, remedy, is_error=False)
        elif not os.access(word, os.X_OK):
            problem = f"{word} is not there, or cannot be executed"
            yield Finding(path, number, problem, "correct its path", is_error=False)


def _plain_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that begin a command, numbered from 1; without here-documents and continuations."""
    delimiter, continued = None, False
    for number, line in enumerate(text.splitlines(), 1):
        if delimiter is not None:
            delimiter = None if line.strip() == delimiter else delimiter
            continue
        if not continued:
            yield number, line.removesuffix("\\")
        continued = line.endswith("\\")
        if match := _HERE.search(line):
            delimiter = match[1]


def _which(name: str) -> str | None:
    return shutil.which(name, path=search_path())
