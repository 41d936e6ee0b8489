"""The lanes of a timeline, and the bins of run times."""

import itertools
from array import array

from hypothesis import given
from hypothesis import strategies as st

from motoko.reports.timeline import Bar, at_once, histogram, joined, lanes

FINISHED = ("solve", "finished")


def bar(start, end, kind=FINISHED):
    return Bar(float(start), float(end), kind)


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=40)


@given(spans)
def test_lanes_are_the_fewest(spans):
    bars = [bar(start, start + length) for start, length in spans]
    found = lanes(("here", one) for one in bars)
    for lane in found:
        for one, other in itertools.pairwise(lane.bars):
            assert one.end <= other.start
    most = max(
        sum(one.start <= moment < one.end or one.start == moment for one in bars)
        for moment in {one.start for one in bars}
    )
    assert len(found) <= most
    assert sum(len(lane.bars) for lane in found) == len(bars)


def test_each_place_has_its_own_lanes():
    found = lanes([("n2", bar(0, 1)), ("n1", bar(0, 1)), ("n1", bar(0.5, 2))])
    assert [(lane.place, lane.number) for lane in found] == [("n1", 1), ("n1", 2), ("n2", 1)]


def test_short_bars_are_joined_to_a_bounded_number():
    short = [bar(k / 1000, k / 1000 + 0.0005) for k in range(10_000)]
    found = list(joined(short, 0.01))
    assert sum(one.count for one in found) == 10_000
    assert len(found) <= 1_000


def test_only_bars_of_a_kind_are_joined():
    failed = ("solve", "failed")
    found = list(joined([bar(0, 0.1), bar(0.1, 0.2, failed), bar(0.2, 0.3)], 1.0))
    assert [one.kind for one in found] == [FINISHED, failed, FINISHED]
    long = [bar(0, 5), bar(5.1, 10)]
    assert list(joined(long, 1.0)) == long


def test_how_many_at_once():
    assert at_once([bar(0, 2), bar(1, 3), bar(2, 4)]) == [(0, 1), (1, 2), (2, 2), (3, 1), (4, 0)]


@given(st.lists(st.floats(0.001, 1e6), min_size=1))
def test_every_value_is_in_one_bin(values):
    bins = histogram(array("d", values))
    assert sum(one.count for one in bins) == len(values)
    assert bins[0].low == min(values)
    assert bins[-1].high == max(values)
    for one, other in itertools.pairwise(bins):
        assert one.high == other.low


def test_bins_of_equal_ratio_for_wide_spreads():
    bins = histogram(array("d", [0.1] * 50 + [1000.0] * 50))
    assert bins[0].high / bins[0].low < 5
    assert histogram(array("d")) == []
