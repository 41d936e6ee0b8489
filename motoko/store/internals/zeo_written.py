"""With the announcement of a transaction, the server sends the records that it has written.

Otherwise each client that follows a study asks for each of them: one round trip later, and for
several times the CPU time. Only clients of Motoko that want the records get them. They say so by
their label, which ZEO's own server takes for a name. The records come just before the announcement,
in a message that every client of ZEO understands, with a key that others ignore.
"""

WANTS_RECORDS = "motoko-wants-written-records"  # a client's label
KEY = "motoko-written"  # in an ``info`` message: a transaction's id, and the records by oid
