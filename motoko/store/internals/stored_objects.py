"""Into BlackDynamite's objects: jobs, runs and containers made from their stored state.

BlackDynamite's constructors ask a database for the study's description, and copy it to each object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from BlackDynamite.job import JobZEO
from BlackDynamite.lowercase_btree import PersistentLowerCaseBTree
from BlackDynamite.run_zeo import RunZEO
from BTrees.OOBTree import OOBTree, OOSet

from motoko.store.internals.self_check import Need, relies_on

_OBJECT = "BlackDynamite.zeoobject:ZEOObject"
relies_on(
    "BlackDynamite",
    *(Need(_OBJECT, name, set_by="__init__") for name in ("optional", "types", "operators")),
    Need(_OBJECT, "__setstate__", ("self", "state")),
    *(
        Need("BlackDynamite.lowercase_btree:_LowerCaseBTree", name, set_by="__init__")
        for name in ("entries", "key_string")
    ),
    Need("BlackDynamite.lowercase_btree:PersistentLowerCaseBTree", "__setstate__"),
    *(
        Need("BlackDynamite.run_zeo:RunZEO", name, set_by="__init__")
        for name in ("configfiles", "quantities")
    ),
)
_RUN_OPTIONAL = ["run_path", "start_time", "state", "last_step", "last_step_time"]


def new_job(entries: Mapping[str, Any], types: Any) -> JobZEO:
    """A job with these entries, and no runs."""
    return _made(
        JobZEO,
        {
            "entries": OOBTree(entries),
            "key_string": "key_",
            "optional": [],
            "types": types,
            "operators": {},
            "runs": new_container("runs_"),
        },
    )


def new_run(entries: Mapping[str, Any], types: Any, file_ids: Iterable[str]) -> RunZEO:
    """A run with these entries and files."""
    return _made(
        RunZEO,
        {
            "entries": OOBTree(entries),
            "key_string": "key_",
            "optional": list(_RUN_OPTIONAL),
            "types": types,
            "operators": {},
            "configfiles": OOSet(file_ids),
            "quantities": OOBTree(),
        },
    )


def new_container(key_string: str) -> PersistentLowerCaseBTree:
    """An empty container, such as that of a job's runs."""
    return _made(PersistentLowerCaseBTree, {"entries": OOBTree(), "key_string": key_string})


def _made(cls: Any, state: dict[str, Any]) -> Any:
    made = cls.__new__(cls)
    made.__setstate__(state)
    return made
