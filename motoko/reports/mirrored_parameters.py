"""The parameters of some runs, from their study's mirror."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from motoko.config import StudyConfig
from motoko.mirror.mirror_tables import JOBS, MirrorTables, Name
from motoko.mirror.mirrored_rows import names, parts


def parameters(
    tables: MirrorTables, study: StudyConfig, runs: Iterable[int]
) -> dict[int, dict[str, Any]]:
    """The parameters of runs by their numbers, each by name, in the order of bd.yaml."""
    declared = [*study.declared("job")]
    shown = [n.name for n in names(tables, JOBS) if not n.is_attribute and n.name != "id"]
    shown.sort(key=lambda name: declared.index(name) if name in declared else len(declared))
    columns = [(JOBS, [Name(False, name)]) for name in shown]
    where = "runs.id IN (SELECT value FROM json_each(?))"
    by_run: dict[int, dict[str, Any]] = {}
    for part in parts(tables, columns, where, [json.dumps([*runs])]):
        for number, *values in zip(*part, strict=True):
            held = zip(shown, values, strict=True)
            by_run[number] = {name: value for name, value in held if value is not None}
    return by_run
