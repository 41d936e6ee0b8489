"""When the bus has missed a transaction that the server has announced."""

from __future__ import annotations

from motoko.bus.safety_net import SafetyNet


def test_a_bus_that_follows_closely_has_missed_nothing() -> None:
    net = SafetyNet(0.0)
    for second in range(0, 60, 2):
        net.hears(second)
        # The server is always one transaction ahead: the news of it is on its way.
        assert not net.has_caught(f"{second + 1:016x}", f"{second:016x}", second)


def test_a_transaction_that_does_not_come_is_missed() -> None:
    net = SafetyNet(0.0)
    net.hears(1.0)
    assert not net.has_caught("0002", "0001", 2.0)
    net.hears(2.0)
    assert net.has_caught("0005", "0001", 4.0)
    assert not net.is_silent


def test_a_part_of_the_transactions_that_has_come_is_not_enough() -> None:
    net = SafetyNet(0.0)
    assert not net.has_caught("0005", "0001", 0.0)
    net.hears(1.0)
    assert net.has_caught("0009", "0004", 2.0)


def test_the_time_is_given_to_each_transaction() -> None:
    net = SafetyNet(0.0)
    assert not net.has_caught("0002", "0001", 0.0)
    assert not net.has_caught("0005", "0001", 0.5)
    assert net.has_caught("0006", "0001", 2.0)


def test_silence_counts_only_if_there_were_transactions() -> None:
    net = SafetyNet(0.0)
    assert not net.has_caught("0001", "0001", 100.0)
    assert net.has_caught("0002", "0001", 102.0)
    assert net.is_silent
    net.hears(103.0)
    assert not net.is_silent
