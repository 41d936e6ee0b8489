"""How many runs of a study are in each state, and when the last ones ended: for live views."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from motoko.config import StudyConfig, WorkflowConfig
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_tables import RUNS, Name
from motoko.mirror.scalars import PLAIN
from motoko.runs.entry_table import PREFIX

ENDS = 200  # enough to tell how fast runs end


@dataclass(frozen=True)
class StateCounts:
    """The runs of a study just after one transaction.

    Attributes:
        tid: the transaction.
        states: how many runs are in each state.
        ends: when the last runs ended (seconds since 1970), as far as that is noted.
    """

    tid: str = ""
    states: Counter[str] = field(default_factory=Counter)
    ends: tuple[float, ...] = ()


def state_counts(config: WorkflowConfig, study: StudyConfig) -> StateCounts:
    """The present counts; raises what :func:`motoko.mirror.current_mirror.current` raises."""
    with current(config, study) as moment:
        execute = moment.tables.connection.execute
        rows = execute("SELECT state, count(*) FROM runs GROUP BY state")
        states = Counter({str(state): count for state, count in rows})
        columns = moment.tables.fields(RUNS).get(Name(False, f"{PREFIX}attempt_ended"), [])
        ends: list[float] = []
        for column in columns:
            if column.kind == PLAIN:
                query = (
                    f"SELECT {column.column} FROM runs WHERE typeof({column.column}) = 'real' "
                    f"ORDER BY 1 DESC LIMIT {ENDS}"
                )
                ends += [end for (end,) in execute(query)]
        return StateCounts(moment.tid, states, tuple(ends))
