"""Who is turned away is logged once."""

import logging

from motoko.channel import strangers
from motoko.channel.strangers import Strangers


def test_once(caplog):
    with caplog.at_level(logging.WARNING):
        turned_away = Strangers()
        for _ in range(1_000):
            turned_away.note("10.0.0.1", "no TLS")
            turned_away.note("10.0.0.2", "no TLS")
            turned_away.note("10.0.0.2", "no handshake")
    assert len(caplog.messages) == 3
    assert turned_away.count == 3_000


def test_many_addresses(caplog):
    with caplog.at_level(logging.WARNING):
        turned_away = Strangers()
        for number in range(10 * strangers._KEPT):
            turned_away.note(f"fe80::{number:x}", "no TLS")
    assert len(caplog.messages) == strangers._KEPT + 1
    assert "too many addresses" in caplog.messages[-1]


def test_again_after_a_day(caplog, monkeypatch):
    with caplog.at_level(logging.WARNING):
        turned_away = Strangers()
        turned_away.note("10.0.0.1", "no TLS")
        monkeypatch.setattr(strangers, "AGAIN_S", 0.0)
        turned_away.note("10.0.0.1", "no TLS")
    assert len(caplog.messages) == 2
