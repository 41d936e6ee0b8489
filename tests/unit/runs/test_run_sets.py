"""Sets of runs, and their texts."""

from hypothesis import given
from hypothesis import strategies as st

from motoko.runs.run_sets import RANGES_MAX, TEXT_MAX, RunSet

numbers = st.sets(st.integers(1, 60))


def set_of(**studies):
    made = RunSet()
    for study, ids in studies.items():
        made.add(study, ids)
    return made


def members(runs):
    return {(study, n) for study, (first, last) in runs for n in range(first, last + 1)}


def test_texts():
    assert set_of(b={3, 1, 2, 7}, a={9}).text == "a:9;b:1-3,7"
    assert set_of().text == "" and not set_of() and set_of(a={1})
    assert members(RunSet.of("a:9;b:1-3,7")) == {("a", 9), ("b", 1), ("b", 2), ("b", 3), ("b", 7)}
    # A study may have any name that a directory has.
    assert RunSet.of(set_of(**{"x:y z": {1}}).text).text == "x:y z:1"
    assert RunSet.of("nonsense;a:x-y;:;b:2-").text == "b:2"


@given(numbers, numbers, numbers)
def test_sets(first, second, third):
    runs = set_of(s=first)
    runs.add("s", second)
    exact = {("s", n) for n in first | second}
    assert members(runs) >= exact
    if "~" not in runs.text:
        assert members(runs) == exact
    assert members(RunSet.of(runs.text)) == members(runs)
    other = set_of(s=third)
    before = members(runs)
    both = runs.copy()
    both.update(other)
    assert members(both) >= before | members(other) and members(runs) == before


def test_texts_are_short_however_many_runs_there_are():
    runs = RunSet()
    for number in range(0, 100_000, 3):
        runs.add("s", [number])
    assert runs.text.count(",") < RANGES_MAX and runs.text.startswith("s:~0-")
    for number in range(500):
        runs.add(f"study {number}", [1])
    assert len(runs.text) <= TEXT_MAX
