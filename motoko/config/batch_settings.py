"""How Motoko looks after batch jobs: ``batch:`` in motoko.yaml, and its defaults."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from motoko.batch.batch_system import LATE_RECORD_S, POLL_LEAST_S, POLL_MOST_S
from motoko.config.decoding import Hint
from motoko.config.quantities import Seconds

LATE_MOST_S = 3600.0


class BatchSettings(Struct, frozen=True):
    """The settings of a workflow's batch jobs.

    Attributes:
        poll_interval: seconds between two queries of the scheduler while something changes.
        max_submitted: how many jobs of the workflow may be in the queue at a time, if limited.
        arrays: whether runs that are alike are submitted as job arrays, if the scheduler has them.
        late_record: how many seconds the launcher waits for the exit record of a job that is over.
    """

    poll_interval: Annotated[
        Seconds,
        Meta(ge=POLL_LEAST_S, le=POLL_MOST_S),
        Hint("schedulers are shared: a query every few seconds is the most they should get"),
    ] = 30.0
    max_submitted: Annotated[int, Meta(ge=1)] | None = None
    arrays: bool = True
    late_record: Annotated[Seconds, Meta(ge=0.0, le=LATE_MOST_S)] = LATE_RECORD_S
