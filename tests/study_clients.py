"""Connections to a study's server, each with transactions of its own."""

import transaction

from motoko.store.internals.zeo_short_commits import shorten_commits
from motoko.store.server_address import address
from motoko.store.storage import open_database, open_storage


class Client:
    """A connection with transactions of its own."""

    def __init__(self, study, runtime, *, threadless):
        where = address(study, runtime)
        self.storage = open_storage(where, study.database.blobs, threadless=threadless)
        self.manager = transaction.TransactionManager()
        self.database = open_database(self.storage)
        self.connection = self.database.open(self.manager)
        shorten_commits(self.connection, self.storage.finish_with_vote)
        self.root = self.connection.root()

    @property
    def tid(self):
        return self.storage.lastTransaction()

    def write(self, **values):
        with self.manager:
            self.root.update(values)

    def read(self, name):
        self.manager.begin()
        return self.root.get(name)

    def close(self):
        self.manager.abort()
        self.database.close()
