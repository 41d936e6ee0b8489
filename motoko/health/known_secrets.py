"""The secrets of a workflow, as far as its files and this process's environment tell them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig
from motoko.config.environment import as_text
from motoko.config.notices import FILE, VARIABLE
from motoko.health.hidden_secrets import LEAST, values_of
from motoko.layout import channel_directory

_MARK = "-----"  # around keys: no secret


def known_secrets(
    directory: Path,
    config: WorkflowConfig | None,
    environment: Mapping[str, str],
    public: Collection[str] = (),
) -> dict[str, str]:
    """The texts that nobody else may see, and what each of them is.

    They are the values of variables with secret names, of this process and of orchestrators that
    were started in the background; all values of ``environment:`` in motoko.yaml and bd.yaml; the
    addresses that ``notify:`` names; and all lines of the channel's files. Short texts, which occur
    by chance, are left out.

    Args:
        directory: the workflow's directory.
        config: the workflow; ``None`` if it cannot be read.
        environment: the variables of this process.
        public: variables whose values are no secrets.
    """
    named = [*values_of(environment)]
    for file in (directory / ".wf" / "detached").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            named += values_of(json.loads(file.read_text()).get("environment", {}))
    if config is not None:
        named += _in_files(config)
        for name in config.notices.urls:
            if (
                name.startswith(VARIABLE)
                and (variable := name.removeprefix(VARIABLE)) in environment
            ):
                named.append((variable, environment[variable]))
    secrets = {text.strip(): name for name, text in named if name not in public}
    files = [*channel_directory(directory).glob("*.pem")]
    if config is not None:
        files += [
            directory / Path(name.removeprefix(FILE)).expanduser()
            for name in config.notices.urls
            if name.startswith(FILE)
        ]
    for file in files:
        with contextlib.suppress(OSError):
            lines = file.read_text(errors="replace").split("\n")
            secrets |= {line.strip(): str(file) for line in lines if not line.startswith(_MARK)}
    return {text: what for text, what in secrets.items() if len(text) >= LEAST}


def _in_files(config: WorkflowConfig) -> Iterator[tuple[str, str]]:
    yield from _environments(config.raw)
    for study in config.studies.values():
        yield from _environments(dict(study.settings))
        yield from _environments({"environment": study.run_params.get("environment")})


def _environments(value: Any) -> Iterator[tuple[str, str]]:
    """The variables of all mappings named ``environment``, at whatever depth."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key == "environment" and isinstance(below, Mapping):
                yield from ((str(name), as_text(text)) for name, text in below.items())
            else:
                yield from _environments(below)
