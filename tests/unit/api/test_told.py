"""How new a view an await begins with."""

from types import SimpleNamespace

import pytest

from motoko.api.engine import Engine
from motoko.bus.dispatcher import Counters

TID = bytes(7) + b"\1"


def dispatcher():
    return SimpleNamespace(counters=Counters(), tid=lambda study: TID)


def test_the_first_asks_the_server_and_later_ones_rely_on_the_bus():
    engine, one = Engine(None), dispatcher()
    assert [engine.told(study, one) for study in ("a", "a", "b", "a")] == [None, TID, None, TID]


@pytest.mark.parametrize("loss", ["gaps", "resyncs", "holes"])
def test_after_a_loss_the_server_is_asked_again(loss):
    engine, one = Engine(None), dispatcher()
    engine.told("a", one)
    setattr(one.counters, loss, 1)
    assert [engine.told("a", one), engine.told("a", one)] == [None, TID]


def test_another_subscription_has_told_nothing():
    engine, one = Engine(None), dispatcher()
    engine.told("a", one)
    another = dispatcher()
    assert engine.told("a", another) is None
