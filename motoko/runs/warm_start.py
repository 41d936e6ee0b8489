"""Starting a run without a shell: with what its launch.sh would have passed to doIt.py."""

from __future__ import annotations

import ast
import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from motoko.config.environment import shell_lines
from motoko.config.run_files import DO_IT, LAUNCH
from motoko.errors import ConfigError, MotokoError
from motoko.host.interpreters import Interpreter
from motoko.runs.run_programs import missing_programs
from motoko.runs.warm_script import NotWarm, Unset, WarmScript, export, read

# Variables that differ from run to run, and those that shells maintain themselves.
_OF_EACH_RUN = ("BLACKDYNAMITE_", "MOTOKO_")
_OF_SHELLS = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})
# Variables that Python, the loader and numerical libraries read only once, when they start.
_AT_START = (
    *("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "NUMEXPR_", "VECLIB_"),
)
# Modules that BlackDynamite imports only when a run asks for its study.
_OF_BLACKDYNAMITE = (
    *("BlackDynamite.base_zeo", "BlackDynamite.bdlogging", "BlackDynamite.bdparser"),
    *("BlackDynamite.conffile_zeo", "BlackDynamite.constraints_zeo", "BlackDynamite.job"),
    *("BlackDynamite.jobselector", "BlackDynamite.run_zeo", "BlackDynamite.runselector"),
    *("ZEO.ClientStorage", "ZEO.asyncio.client", "ZEO.cache", "ZODB.blob", "html.parser", "yaml"),
)


class CannotBeWarm(MotokoError):
    """A run cannot be started without a shell, as it should be: its launch.sh needs one."""

    exit_code = ConfigError.exit_code


@dataclass(frozen=True)
class WarmStart:
    """What a run's doIt.py is executed with.

    Attributes:
        python: the word by which launch.sh calls Python; options: Python's options.
        script: how launch.sh names doIt.py; arguments: what follows it.
        environment: all variables.
    """

    python: str
    options: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def interpreter(self) -> str | None:
        """The path of the Python, as a shell finds it; ``None`` if there is none."""
        return shutil.which(self.python, path=self.environment.get("PATH", os.defpath))

    @property
    def shared(self) -> dict[str, str]:
        """The variables that are not specific to this run."""
        return {
            name: text
            for name, text in self.environment.items()
            if not name.startswith(_OF_EACH_RUN) and name not in _OF_SHELLS
        }


def is_read_at_start(name: str) -> bool:
    """Whether a variable is only read when a process starts, so that it cannot be set later."""
    return name.startswith(_AT_START)


def refuse_cold_lines(path: Path, data: bytes) -> None:
    """Raise ``ConfigError`` for a launch.sh with a line that only a shell understands."""
    try:
        _read(data.decode(errors="surrogateescape"))
    except NotWarm as error:
        where = f"{path}, line {error.number}: {error.line!r}" if error.number else str(path)
        raise ConfigError(
            f"{where}: {error.why}",
            hint="put it into doIt.py, or remove `python: warm`",
        ) from None


def warm_start(
    script: str,
    *,
    directory: Path,
    attempt: int,
    inherited: Mapping[str, str],
    policies: Mapping[str, str],
    client: Mapping[str, str],
) -> WarmStart:
    """How a run is started. Raises ``CannotBeWarm``.

    Args:
        script: the user's launch.sh, placeholders filled.
        directory: the run's directory; attempt: the attempt's number.
        inherited: the variables that its wrapper would have.
        policies: the variables of its policy ``environment``.
        client: the variables that BlackDynamite's client reads.
    """
    environment = dict(inherited)
    try:
        written = _read(script)
        mine = {name: text for name, text in policies.items() if name not in client}
        export(shell_lines(mine), environment)
        path = environment.get("PATH", "")
        environment["PATH"] = os.pathsep.join([*missing_programs(path), *([path] if path else [])])
        environment.setdefault("PYTHONUNBUFFERED", "1")
        environment.update(client)
        depth = environment.get("SHLVL", "")
        environment |= {"PWD": str(directory), "SHLVL": str(int(depth or 0) + 1)}
        environment["MOTOKO_ATTEMPT"] = str(attempt)
        written.export_to(environment)
    except NotWarm as error:
        raise CannotBeWarm(f"{LAUNCH}: {error}", hint="remove `python: warm`") from None
    except Unset as error:
        raise CannotBeWarm(f"{LAUNCH}: {error}") from None
    arguments = tuple(written.arguments(environment))
    return WarmStart(written.python, written.options, written.script, arguments, environment)


def _read(script: str) -> WarmScript:
    interpreter = Interpreter.of(script)
    if interpreter is not None and not interpreter.is_bourne_shell:
        raise NotWarm(1, interpreter.line, "`python: warm` reads launch.sh as a shell would")
    return read(script)


def imports_of(directory: Path, preload: Sequence[str]) -> tuple[list[str], list[str]]:
    """The modules that a run's template loads: those of ``preload``, and doIt.py's own imports.

    Modules next to doIt.py are left out: they may differ from run to run.
    """
    try:
        text = (directory / DO_IT).read_bytes()
        beside = {path.name.partition(".")[0] for path in directory.iterdir()}
    except OSError:
        return [], []

    def wanted(names: Sequence[str]) -> list[str]:
        return [name for name in dict.fromkeys(names) if name.partition(".")[0] not in beside]

    return wanted(["BlackDynamite", *preload]), wanted([*_OF_BLACKDYNAMITE, *_imported(text)])


@functools.lru_cache(maxsize=8)
def _imported(text: bytes) -> tuple[str, ...]:
    """The modules that a program imports at its top level. Pure."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return ()
    names: list[str] = []
    for statement in body:
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            names.append(statement.module)
    return tuple(names)
