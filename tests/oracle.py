"""What the transaction logs say, read by ZODB itself: not by the code that is tested."""

import itertools

import ZODB.FileStorage
from BTrees.OOBTree import OOBTree
from ZODB.DB import DB
from ZODB.utils import z64

REVISIONS = 1 << 30


def transitions(study, *, until=None):
    """All transitions of a study's database, as ``(tid, run id, old, new)``, in order.

    For runs of fewer than 30 entries, which are one record each, and that nobody deletes.
    """
    storage = ZODB.FileStorage.FileStorage(str(study.directory / ".bd" / "bd.zeo"), read_only=True)
    database = DB(storage)
    connection = database.open()
    try:
        schemas = connection.root()["schemas"].entries
        (content,) = [each for name, each in schemas.items() if name.endswith(f"_{study.name}")]
        found = []
        for number, run in content["Runs"].entries.items():
            entries = run.entries
            states = [None]
            history = storage.history(entries._p_oid, size=REVISIONS)
            for revision in sorted(each["tid"] for each in history):
                past = OOBTree()
                past.__setstate__(connection.oldstate(entries, revision))
                if past["state"] != states[-1]:
                    states.append(past["state"])
                    found.append((revision.hex(), number, states[-2], states[-1]))
        assert storage.lastTransaction() > z64
        return sorted(found)
    finally:
        connection.close()
        database.close()


def first_difference(told, true):
    """Where two sequences differ, for people."""
    for place, (one, other) in enumerate(itertools.zip_longest(told, true)):
        if one != other:
            return f"at {place} of {len(told)} told, {len(true)} true: told {one}, true {other}"
    return None
