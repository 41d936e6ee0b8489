"""Mirrors, and what is in their databases, read by BlackDynamite's own classes."""

import numpy as np
import ZODB.FileStorage
from persistent import Persistent
from support import wait_until
from ZODB.DB import DB

from motoko.mirror.mirror_file import MIRROR_ERRORS
from motoko.mirror.mirror_reading import reading
from motoko.mirror.mirror_tables import JOBS, RUNS, Name
from motoko.mirror.mirrored_rows import rows
from motoko.mirror.scalars import LeftOut
from motoko.store.tids import following

# What BlackDynamite keeps of a run or job beside its entries.
OF_OBJECTS = [
    *("entries", "key_string", "optional", "operators", "base"),
    *("types", "configfiles", "quantities", "runs"),
]


def values_of(each):
    """What a run or job holds, as BlackDynamite itself reads it; ``None`` is nothing."""
    entries = {Name(False, name): value for name, value in each.entries.items()}
    attributes = {
        Name(True, name): value for name, value in vars(each).items() if name not in OF_OBJECTS
    }
    values = {**entries, **attributes}
    return {name: seen(value) for name, value in values.items() if value is not None}


def seen(value):
    """A value as a mirror shows it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, Persistent)) or len(repr(value)) > 4_200:
        return Anything()
    return value


class Anything:
    """Equal to whatever says that a value was left out, or is such a value."""

    def __eq__(self, other):
        return isinstance(other, (LeftOut, Anything))


def path_of(flow, study="mult"):
    """The file of a study's mirror."""
    return flow.directory / ".wf" / "mirror" / f"{study}.sqlite"


def mirrored(flow, study="mult"):
    """The tid, runs and jobs of a study's mirror."""
    with reading(path_of(flow, study)) as tables:
        return tables.meta().get("tid"), dict(rows(tables, RUNS)), dict(rows(tables, JOBS))


def stored(flow, study="mult", at=None):
    """The newest tid, runs and jobs of a study's database, of which nobody else is asked.

    ``at``: as they were just after this tid.
    """
    file = flow.directory / study / ".bd" / "bd.zeo"
    storage = ZODB.FileStorage.FileStorage(str(file), read_only=True)
    database = DB(storage)
    connection = database.open(before=at and following(bytes.fromhex(at)))
    try:
        schemas = connection.root()["schemas"].entries
        (content,) = [each for name, each in schemas.items() if name.endswith(f"_{study}")]
        runs, jobs = (
            {number: values_of(each) for number, each in content[kind].entries.items()}
            for kind in ("Runs", "Jobs")
        )
        return at or storage.lastTransaction().hex(), runs, jobs
    finally:
        connection.close()
        database.close()


def check(flow, study="mult", timeout=20.0):
    """The mirror comes to be what the database is, row by row; nobody writes meanwhile."""
    tid, runs, jobs = stored(flow, study)
    seen = []

    def is_there():
        try:
            seen[:] = [mirrored(flow, study)]
        except MIRROR_ERRORS as error:
            seen[:] = [repr(error)]
            return False
        return seen[0][0] == tid

    wait_until(is_there, f"the mirror is at {tid}", timeout)
    assert seen[0][1] == runs
    assert seen[0][2] == jobs
