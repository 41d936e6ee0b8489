"""In which order holders of slots are listed."""

import itertools

from motoko.reports.run_facts import Holder
from motoko.reports.slot_use import in_order


def test_runs_that_were_started_together_are_listed_by_their_ids():
    wanted = ["mult.11", "add.3", "mult.2", "mult.10", "pid 7"]
    ticks = [6, 7, 7, 7, 7]
    # What the clock says of starts at the same tick differs by chance.
    holding = [
        (tick, Holder(name, 1, 100.0 - tick)) for tick, name in zip(ticks, wanted, strict=True)
    ]
    for mixed in itertools.permutations(holding):
        assert [holder.name for holder in in_order(mixed)] == wanted
