"""The configurations that a workflow's supervisor took over; its daemons read the latest.

When a daemon has to be started again, motoko.yaml may be half saved, or a study's doIt.py gone. So
the supervisor keeps the configuration that it has loaded and checked in a file, and daemons read
that file. Earlier configurations are kept as well: the start time of a daemon tells which one it
has.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from motoko.config.declared_types import TYPES
from motoko.config.workflow_config import WorkflowConfig
from motoko.host.files import write_atomically

log = logging.getLogger(__name__)

# Another format, or another meaning, gets another version.
VERSION = 1
# How many configurations are kept. Older ones are lost if more changes come without a restart.
KEPT = 20
# A daemon reads its configuration later than this after its start: Python has to load it first.
# This is more than the uncertainty of the start time of a process.
LOADING_S = 0.03
_INTEGER_MAX = 2**63


class Taken(msgspec.Struct, frozen=True):
    """A configuration; daemons that are started after ``since`` have it (seconds since 1970)."""

    since: float
    config: WorkflowConfig


class Snapshot(msgspec.Struct, frozen=True):
    """The configurations of a supervised workflow, the latest last. There is at least one.

    Texts, numbers, lists and mappings in ``raw``, ``settings``, ``job_space`` and ``run_params``
    are unchanged; other values are kept as texts.
    """

    version: int
    taken: tuple[Taken, ...]

    @property
    def config(self) -> WorkflowConfig:
        """The configuration that daemons read when they are started."""
        return self.taken[-1].config

    def config_at(self, moment: float) -> WorkflowConfig:
        """The configuration of daemons that were started at a moment (seconds since 1970)."""
        earlier = [taken.config for taken in self.taken if taken.since <= moment]
        return earlier[-1] if earlier else self.taken[0].config


def extended(snapshot: Snapshot | None, config: WorkflowConfig, now: float) -> Snapshot:
    """The snapshot with one more configuration, unless this is already its latest."""
    taken = () if snapshot is None else snapshot.taken
    if taken and plain(taken[-1].config) == plain(config):
        return Snapshot(VERSION, taken)
    return Snapshot(VERSION, (*taken[-(KEPT - 1) :], Taken(now, config)))


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace the file as a whole. Raises ``OSError`` if it cannot be written."""
    content = {
        "version": snapshot.version,
        "taken": [
            {"since": taken.since, "config": plain(taken.config)} for taken in snapshot.taken
        ],
    }
    write_atomically(path, msgspec.json.encode(content).decode() + "\n")


def read(path: Path, workflow: Path) -> Snapshot | None:
    """The snapshot in a file, if it is of this workflow's file and of this version.

    A file that cannot be used is logged, but is no error: the workflow's own files can be read.
    """
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).version
        snapshot = _DECODER.decode(content) if version == VERSION else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # msgspec's are ValueErrors
        log.warning("%s cannot be used: %s", path, error)
        return None
    if snapshot is None or not snapshot.taken or snapshot.config.path != workflow:
        return None
    return snapshot


def plain(value: Any) -> Any:
    """A value as JSON can hold it: what JSON has no form for becomes a text."""
    return _plain(value, ())


def _plain(value: Any, inside: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_INTEGER_MAX <= value < _INTEGER_MAX else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, type):
        return value.__name__
    if id(value) in inside:  # YAML's anchors can have it contain itself
        return "..."
    inside = (*inside, id(value))
    if names := fields(value):
        return {name: _plain(getattr(value, name), inside) for name in names}
    if isinstance(value, Mapping):
        return {_text(key): _plain(content, inside) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, inside) for item in value]
    return _text(value)


def fields(value: Any) -> tuple[str, ...]:
    """The names of a struct's or a dataclass's fields; of anything else, none."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return tuple(field.name for field in dataclasses.fields(value))
    return ()


def _text(value: Any) -> str:
    return str(value).encode(errors="replace").decode()


def _decoded(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    if kind is type and value in TYPES:
        return TYPES[value]
    raise ValueError(f"{value!r} is no {kind.__name__}")


class _Versioned(msgspec.Struct):
    version: int


_DECODER = msgspec.json.Decoder(Snapshot, dec_hook=_decoded)
