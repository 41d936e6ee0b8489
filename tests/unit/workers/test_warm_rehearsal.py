"""What a template of warm runs rehearses, and that nothing is left of it."""

import gc
import importlib
import importlib.metadata
import logging
import runpy
import sys
import threading
from pathlib import Path

import transaction
import zope.interface.declarations
from BlackDynamite import base_zeo
from ZEO.ClientStorage import ClientStorage
from ZODB.Connection import Connection
from ZODB.DB import DB

from motoko.workers.launcher import warm_run

for module in ("run_zeo", "job"):
    importlib.import_module(f"BlackDynamite.{module}")
PARTS = {
    name: runpy.run_path(warm_run.__file__.replace("warm_run", name))
    for name in ("warm_zeo", "warm_rehearsal")
}


def state():
    while gc.collect():  # what other tests have left in circles within circles
        pass
    kinds = (Connection, DB, ClientStorage, PARTS["warm_zeo"]["WarmClient"])
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        threading.enumerate(),
        logging.root.manager.disable,
        transaction.manager.manager._txn,
        len(transaction.manager.manager._synchs),
        base_zeo.BaseZEO.singleton_base,
        zope.interface.declarations.Provides,
        sum(isinstance(thing, kinds) for thing in gc.get_objects()),
    )


def test_nothing_is_left():
    PARTS["warm_rehearsal"]["rehearse"](PARTS["warm_zeo"]["WarmClient"])  # modules are loaded
    before = state()
    kept = PARTS["warm_rehearsal"]["rehearse"](PARTS["warm_zeo"]["WarmClient"])
    assert state() == before
    assert {type(thing).__name__ for thing in kept} == {"Provides"}


def test_a_failure_is_no_failure(monkeypatch):
    """Of a BlackDynamite that is different; runs are warm all the same."""
    before = state()
    default = ClientStorage.__init__.__defaults__
    monkeypatch.setattr(ClientStorage.__init__, "__defaults__", default)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "6.2")
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "BlackDynamite.job")
        PARTS["warm_zeo"]["install"]()
    assert state() == before
    assert PARTS["warm_zeo"]["WarmClient"] in ClientStorage.__init__.__defaults__
