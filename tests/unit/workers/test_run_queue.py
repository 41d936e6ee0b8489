"""The queue of waiting runs: lowest first, and as if it were sorted anew each time."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from motoko.workers.launcher.run_queue import RunQueue


def test_order():
    queue = RunQueue()
    for number in (5, 1, 3):
        queue.add(number)
    assert list(queue.due(0.0)) == [1, 3, 5] == list(queue.due(0.0))
    queue.remove(3)
    assert list(islice(queue.due(0.0), 1)) == [1] and len(queue) == 2
    assert list(queue.due(0.0)) == [1, 5] and 3 not in queue


def test_later():
    queue = RunQueue()
    queue.add(1, 10.0)
    queue.add(2)
    queue.add(1)  # stays as it is
    assert list(queue.due(9.0)) == [2] and queue.next_at(9.0) == 10.0
    assert list(queue.due(10.0)) == [1, 2] and queue.next_at(10.0) is None


@given(rng=st.randoms(use_true_random=False), steps=st.integers(0, 100))
def test_like_a_sorted_one(rng, steps):
    queue, truth = RunQueue(), {}
    now = 0.0
    for _ in range(steps):
        number = rng.randrange(12)
        match rng.randrange(4):
            case 0 | 1:
                at = rng.choice([0.0, now + rng.randrange(4)])
                queue.add(number, at)
                truth.setdefault(number, at)
            case 2:
                queue.remove(number)
                truth.pop(number, None)
            case 3:
                now += rng.random()
        expected = sorted(each for each, at in truth.items() if at <= now)
        count = rng.randrange(len(expected) + 1)
        assert list(islice(queue.due(now), count)) == expected[:count]
        assert list(queue.due(now)) == expected
        later = [at for at in truth.values() if at > now]
        assert queue.next_at(now) == min(later, default=None)
        assert len(queue) == len(truth)
