"""Every reach into what BlackDynamite, ZODB, ZEO and transaction do not promise.

One file for each of them. Each says at import what it relies on (``relies_on``), and
:func:`~motoko.store.internals.self_check.check` compares that with what is installed, once a
process, before the first database is opened.
"""
