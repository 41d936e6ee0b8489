"""Messages: at most one in five minutes about an event, each once, whoever is killed when."""

import msgspec

from motoko.workers.notifier.outbox import PAUSE_S, RETRY_S, Outbox


def saved(outbox):
    """The outbox as another process reads it."""
    return msgspec.json.decode(msgspec.json.encode(outbox), type=Outbox)


def test_further_ones_are_summed_up():
    box = Outbox()
    box.put("failed", "1 run of s failed\n  s.1: why")
    message = box.next("flow", 1000.0)
    assert message.subject == "flow: 1 run of s failed" and "s.1: why" in message.text
    box.is_sent(1001.0)
    for number in (2, 3):
        box.put("failed", f"1 run of s failed\n  s.{number}: why")
    box.put("ended", "orchestrator a has ended")
    assert box.next("flow", 1002.0).event == "ended"  # another event
    box.is_sent(1002.0)
    assert box.next("flow", 1003.0) is None and box.next_at() == 1001.0 + PAUSE_S
    message = box.next("flow", 1001.0 + PAUSE_S)
    assert message.subject == "flow: 1 run of s failed, and 1 more"
    assert "s.2: why" in message.text and "s.3: why" in message.text
    box.is_sent(1400.0)
    assert box.next("flow", 9999.0) is None and box.next_at() is None and box.count == 3


def test_it_is_tried_again():
    box = Outbox()
    box.put("failed", "x")
    for tries in range(3):
        assert box.next("flow", 1e6 * tries).text == "x"
        box.is_not_sent(1e6 * tries)
        assert box.next("flow", 1e6 * tries + RETRY_S * 2**tries - 1) is None
    box = saved(box)
    assert box.next("flow", 1e9).number == 1


def test_killed_between_sending_and_knowing_it():
    box = Outbox()
    box.put("failed", "x")
    box.next("flow", 0.0)
    box = saved(box)
    message = box.next("flow", 1.0)
    assert message.number == 1 and "may come for the second time" in message.text


def test_a_long_text_is_cut():
    box = Outbox()
    for number in range(1000):
        box.put("failed", f"line {number}")
    lines = box.next("flow", 0.0).text.splitlines()
    assert len(lines) == 201 and lines[-1] == "and 800 more lines"
