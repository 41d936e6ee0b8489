"""Writing a run's directory, exactly as BlackDynamite's coats do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from motoko.errors import MotokoError

_PLACEHOLDER = re.compile("__BLACKDYNAMITE__(.+?)__")


class Unset(MotokoError):
    """A file asks for a parameter that has no value."""


# In a shell that is no login shell, the command `module` may have to be defined first. What it
# loads must not hide the Python environment that the run belongs to.
_MODULES = """\
if ! command -v module > /dev/null; then
    for each in "${{MODULESHOME:-/usr/share/modules}}/init/bash" "${{LMOD_PKG:-}}/init/bash" \\
        /etc/profile.d/modules.sh /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh; do
        [ -r "$each" ] && . "$each" && break
    done
fi
motoko_path=$PATH
module purge
module load {modules} || {{ echo "module load {modules} failed" >&2; exit 1; }}
export PATH="${{motoko_path%%:*}}:$PATH"
unset motoko_path
"""


def header(
    *,
    host: str,
    schema: str,
    run_id: int,
    user: str,
    environment: Mapping[str, str],
    modules: Sequence[str] = (),
) -> str:
    """What stands before the user's launch.sh: the interpreter, the modules and the exports."""
    exports = {
        "BLACKDYNAMITE_HOST": host,
        "BLACKDYNAMITE_STUDY": schema,
        "BLACKDYNAMITE_SCHEMA": schema,
        "BLACKDYNAMITE_RUN_ID": str(run_id),
        "BLACKDYNAMITE_USER": user,
    }
    both = {**environment, **exports}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in both.items()]
    load = [_MODULES.format(modules=" ".join(modules)).rstrip()] if modules else []
    return "\n".join(["#!/bin/bash", *load, *lines, ""])


def users_part(text: str) -> str:
    """What the user has written of a launch.sh that stands in a run's directory."""
    _, _, rest = text.partition("\nexport BLACKDYNAMITE_USER=")  # the header's last line
    return rest.partition("\n")[2]


@lru_cache(maxsize=256)
def _split(text: str) -> tuple[str, ...]:
    return tuple(_PLACEHOLDER.split(text))


def fill(text: str, values: Mapping[str, Any], file_name: str) -> str:
    """Replace ``__BLACKDYNAMITE__name__`` by values.

    A name that is no parameter stays as it is; one whose value is ``None`` raises ``Unset``.
    """
    parts = list(_split(text))
    for index in range(1, len(parts), 2):
        name = parts[index]
        if name not in values:
            parts[index] = f"__BLACKDYNAMITE__{name}__"
        elif values[name] is None:
            raise Unset(f"{file_name} uses the parameter {name!r}, which has no value")
        else:
            parts[index] = str(values[name])
    return "".join(parts)


def write(directory: Path, files: Mapping[str, str], *, executable: str) -> None:
    """Make a run's directory with its files; the executable gets mode 0700."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = directory / name
        path.unlink(missing_ok=True)  # an earlier attempt's, perhaps a running one's own
        path.write_text(text)
        if name == executable:
            path.chmod(0o700)


def keep_output(directory: Path, stem: str, run_id: int, attempt: int) -> None:
    """Set the output of an earlier attempt aside: ``<stem>.o<id>.<attempt>``."""
    for kind in "oe":
        path = directory / f"{stem}.{kind}{run_id}"
        if path.exists():
            path.rename(path.with_name(f"{path.name}.{attempt}"))
