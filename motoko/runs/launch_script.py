"""What executes a run: the user's launch.sh, with the lines that Motoko adds.

The first line of launch.sh decides. If it names a shell, Motoko's lines stand between it and the
rest of the user's text. If it names something else, they are in another file, which starts
launch.sh.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from motoko.config.environment import shell_lines
from motoko.config.policy import Policy
from motoko.config.run_files import LAUNCH
from motoko.errors import ConfigError, Place
from motoko.host.interpreters import Interpreter, WrongFirstLine
from motoko.runs.paths import EARLIER_ENVIRONMENT, ENVIRONMENT
from motoko.runs.run_programs import first_on_path, python_directory

_DEFAULT = Interpreter("/bin/bash")
_LAST_EXPORT = "\nexport BLACKDYNAMITE_USER="

# In a shell that is no login shell, the command `module` may have to be defined first. It does not
# work with `set -eu`. If the run's Python environment came first on PATH before, loaded modules
# must not hide it.
_MODULES = """\
motoko_options=$-
set +eu
if ! command -v module > /dev/null; then
    for motoko_init in "${{MODULESHOME:-/usr/share/modules}}/init/bash" \\
        "${{LMOD_PKG:-}}/init/bash" /etc/profile.d/modules.sh \\
        /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh; do
        [ -r "$motoko_init" ] && . "$motoko_init" && break
    done
fi
motoko_python=$(command -v python)
module purge
module load {modules} || {{ echo "module load {modules} failed" >&2; exit 1; }}
[ "$motoko_python" != {directory}/python ] || export PATH={directory}:"$PATH"
case $motoko_options in *e*) set -e ;; esac
case $motoko_options in *u*) set -u ;; esac
unset motoko_options motoko_python motoko_init
"""

# For a shell script in the run directory: replace the shell by what launch.sh's first line names.
# The kernel cannot do that: it executes no file on a file system that is mounted `noexec`.
BECOME = f"""\
if [ -e {ENVIRONMENT} ]; then exec /bin/bash {ENVIRONMENT}; fi
if [ -e {EARLIER_ENVIRONMENT} ]; then exec /bin/bash {EARLIER_ENVIRONMENT}; fi
_interpreter= _argument=
read -r _interpreter _argument < {LAUNCH}
[ -n "$_interpreter" ] || exit 127
exec "${{_interpreter#??}}" ${{_argument:+"$_argument"}} ./{LAUNCH}
"""


def client_variables(*, host: str, schema: str, run_id: int, user: str) -> dict[str, str]:
    """The environment variables that BlackDynamite's client in a run reads."""
    return {
        "BLACKDYNAMITE_HOST": host,
        "BLACKDYNAMITE_STUDY": schema,
        "BLACKDYNAMITE_SCHEMA": schema,
        "BLACKDYNAMITE_RUN_ID": str(run_id),
        "BLACKDYNAMITE_USER": user,
    }


def refuse_wrong_first_line(path: Path, data: bytes) -> None:
    """Raise ``ConfigError`` for a launch.sh whose first line names nothing that can be executed."""
    try:
        Interpreter.of(data.partition(b"\n")[0].decode(errors="replace"))
    except WrongFirstLine as error:
        hint, place = f"`dos2unix {path}` mends it", Place(path, str(error), 1)
        raise ConfigError(f"{path}, line 1: {error}", hint=hint, place=place) from None


def files(script: str, client: Mapping[str, str], policy: Policy) -> dict[str, str]:
    """The files of a run's directory that execute a script, by name.

    Args:
        script: the user's launch.sh.
        client: what :func:`client_variables` returns.
        policy: the modules to load first, the variables to set, and whether launch.sh's exit code
            alone says how the run ended: then a command that fails ends launch.sh.

    Raises ``WrongFirstLine``.
    """
    try:
        interpreter = Interpreter.of(script) or _DEFAULT
    except WrongFirstLine as error:
        raise WrongFirstLine(f"{LAUNCH}: {error}") from None
    lines = []
    if policy.modules:
        directory = shlex.quote(python_directory())
        text = _MODULES.format(modules=" ".join(policy.modules), directory=directory)
        lines.append(text.rstrip())
    environment = {k: v for k, v in policy.environment.items() if k not in client}
    lines += shell_lines(environment)
    # A login shell, modules or the user may have replaced PATH. Python's output is unbuffered, so
    # that it is in the file when Python is killed.
    lines += [first_on_path(), 'export PYTHONUNBUFFERED="${PYTHONUNBUFFERED-1}"']
    if policy.on_exit and interpreter.is_bourne_shell:
        lines.append("set -eo pipefail" if interpreter.is_bash else "set -e")
    lines += map(_export, client.items())
    if interpreter.is_bourne_shell:
        return {LAUNCH: "\n".join([interpreter.line, *lines, script])}
    start = f"exec {shlex.join([*interpreter.words, f'./{LAUNCH}'])}"
    return {LAUNCH: script, ENVIRONMENT: "\n".join([_DEFAULT.line, *lines, start, ""])}


def _export(variable: tuple[str, str]) -> str:
    name, value = variable
    return f"export {name}={shlex.quote(value)}"


def users_part(text: str) -> str:
    """The user's part of the launch.sh in a run's directory."""
    _, header, rest = text.partition(_LAST_EXPORT)
    return rest.partition("\n")[2] if header else text
