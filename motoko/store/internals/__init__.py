"""All use of what BlackDynamite, ZODB, ZEO and transaction do not promise.

Each file says at import what it relies on (``relies_on``), and
:func:`~motoko.store.internals.self_check.check` compares this with the installed packages, once
per process, before the first database is opened.
"""
