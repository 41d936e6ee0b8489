"""A study's mirror without a watcher: it follows its database as far as it is told to."""

import contextlib
import random
import sqlite3

from record_databases import Loader

from motoko.mirror.mirror_file import Mirror, NotUsable
from motoko.mirror.run_finder import MirrorFinder
from motoko.mirror.run_index import RunIndex
from motoko.store.tids import following


class FollowedMirror:
    """What a finder reads, in place of a file that a watcher writes.

    Args:
        base: whose finder it gets.
        follows: know all whenever it is asked.

    Attributes:
        asked: how often.
        trouble: what is raised instead.
        index: what follows the database.
    """

    def __init__(self, base, *, follows=True):
        self.base = base
        self._follows = follows
        self.asked = 0
        self.trouble = None
        self.anew()
        base.db.storage.ping = lambda: None  # as a server's client has it
        base.finder = MirrorFinder(base.study, self)

    def anew(self):
        """As after another database was restored, or the file was lost."""
        storage, study = self.base.db.storage, self.base.study
        tables = Mirror.in_memory().tables
        self.index = RunIndex(study.name, Loader(storage), tables, study.bd_name)
        self.index.walk(storage.lastTransaction())
        tables.note(witness=self.base.witness.hex())

    def follow(self, transactions=None):
        """Know so many more transactions, or all."""
        storage = self.base.db.storage
        for count, record in enumerate(storage.iterator(following(self.index.tid))):
            if transactions is not None and count >= transactions:
                return
            records = {each.oid: each.data for each in record}
            self.index.apply(record.tid, records, records)

    @contextlib.contextmanager
    def reading(self):
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        if self._follows:
            self.follow()
        yield self.index.tables

    def close(self):
        pass

    def something_happens(self, rng: random.Random):
        """What may become of a mirror."""
        match rng.randrange(12):
            case 0 | 1 | 2 | 3:
                self.follow()
            case 4 | 5 | 6:
                self.follow(rng.randrange(3))
            case 7:
                self.anew()
            case 8:
                self.trouble = rng.choice(
                    [NotUsable("there is none"), sqlite3.DatabaseError("malformed")]
                )
            case 9 | 10:
                self.trouble = None
