"""With which ZEO the client of warm runs takes the place of ZEO's own."""

import importlib.metadata
import runpy

import pytest
from ZEO.asyncio.client import ClientThread
from ZEO.ClientStorage import ClientStorage

from motoko.workers.launcher import warm_run


@pytest.mark.parametrize(("version", "is_used"), [("6.2", True), ("6.2.1", False), ("7", False)])
def test_another_zeo(monkeypatch, version, is_used):
    part = runpy.run_path(warm_run.__file__.replace("warm_run", "warm_zeo"))
    before = ClientStorage.__init__.__defaults__
    monkeypatch.setattr(ClientStorage.__init__, "__defaults__", before)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    part["install"]()
    now = ClientStorage.__init__.__defaults__
    assert (part["WarmClient"] in now, ClientThread in now) == (is_used, not is_used)
    assert len(now) == len(before)
