"""What bd.yaml declares, compared with what the database's jobs and runs were made with."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig
from motoko.host.files import read_json, write_atomically
from motoko.store.base import StudyBase

KINDS = ("job", "run")
# What BlackDynamite declares for every job and run.
_ALWAYS = frozenset(
    {"id", "machine_name", "run_path", "job_id", "nproc", "run_name", "start_time", "state"}
    | {"exec", "last_step", "last_step_time"}
)


@dataclass(frozen=True)
class Difference:
    """A parameter that bd.yaml and the database know differently.

    Attributes:
        kind: ``"job"`` or ``"run"``.
        name: the parameter's name.
        stored, declared: its type in the database and in bd.yaml; ``None`` if it is missing there.
    """

    kind: str
    name: str
    stored: type | None
    declared: type | None

    def __str__(self) -> str:
        what = f"{self.kind} parameter {self.name}"
        if self.declared is None:
            return f"{what} is no longer declared"
        if self.stored is None:
            return f"{what} ({self.declared.__name__}) is new"
        return f"{what} was {self.stored.__name__} and is {self.declared.__name__}"


def is_known(study: StudyConfig) -> bool:
    """Whether bd.yaml declares the same as when it was last found to agree with this database."""
    return read_json(study.database.declarations) == _note(study)


def make_known(study: StudyConfig) -> None:
    """Note that bd.yaml agrees with the database. Does nothing if the note cannot be written."""
    with contextlib.suppress(OSError):
        write_atomically(study.database.declarations, json.dumps(_note(study)))


def _note(study: StudyConfig) -> dict[str, Any] | None:
    try:
        inode = study.database.transactions.stat().st_ino  # a copy is compared anew
    except OSError:
        return None
    types = {k: {name: t.__name__ for name, t in study.declared(k).items()} for k in KINDS}
    return {"database": inode, **types}


def differences(base: StudyBase) -> list[Difference]:
    """The parameters that differ; none if there are neither jobs nor runs yet."""
    differing = list(_differences(base))
    if not differing:
        make_known(base.study)
    # Counting them would load all of their trees.
    return differing if base.jobs.entries or base.runs.entries else []


def _differences(base: StudyBase) -> Iterator[Difference]:
    for kind in KINDS:
        stored, here = base.stored_types(kind), base.study.declared(kind)
        for name, kind_of in here.items():
            if stored.get(name) is not kind_of:
                yield Difference(kind, name, stored.get(name), kind_of)
        for name, kind_of in stored.items():
            if name not in here and name not in _ALWAYS:
                yield Difference(kind, name, kind_of, None)


def warning(study: str, differing: list[Difference]) -> str:
    """One line about the differences of a study, with what to do."""
    text = "; ".join(map(str, differing))
    return (
        f"study {study}: {study}/bd.yaml and the jobs and runs that are there differ: {text}. "
        f"`motoko upgrade-study {study}` says what can be done"
    )
