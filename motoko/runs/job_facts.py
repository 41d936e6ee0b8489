"""What is known of a run's batch job, for people. Pure logic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from motoko.batch import registry
from motoko.runs.entries import OwnEntries

# The state of a submission that has no job yet.
SUBMITTING = "submitting"
# The state of a run that waits to be submitted in a pack, for the first time.
PACKING = "submitting in a pack"
# The state of a run that will be in another pack, together with others.
GATHERED = "not submitted again yet: it waits for others while runs of its study go on"
# The state of a run of a pack whose job runs, but has not come to this run yet.
IN_PACK = "waits in its pack"


def is_followed(entries: Mapping[str, Any]) -> bool:
    """Whether a run is a job, or about to be one, whose end is not recorded yet."""
    return OwnEntries(entries).is_job


@dataclass(frozen=True)
class JobFacts:
    """A run's job.

    Attributes:
        system: the batch system's name for people.
        id: the job's id; ``None`` if there is none yet.
        state: the job's state in the run's entries.
        nodes: where it runs or ran.
        followed: whether its end is not recorded yet.
        state_shown: state and reason in the scheduler's last answer; empty if that does not show
            the job.
        silent: why the scheduler did not answer the last query; empty if it did.
    """

    system: str
    id: str | None
    state: str
    nodes: str
    followed: bool
    state_shown: str = ""
    silent: str = ""

    @classmethod
    def of(
        cls, entries: Mapping[str, Any], state_shown: str = "", silent: str = "", nodes: str = ""
    ) -> JobFacts | None:
        """The job that a run's entries name; ``None`` if they name none."""
        own = OwnEntries(entries)
        if not own.batch_system or not (own.batch_name or own.batch_job_id):
            return None
        return cls(
            system=registry.title(own.batch_system),
            id=own.batch_job_id,
            state=own.batch_state or "",
            nodes=nodes or own.batch_nodes or "",
            followed=own.is_job,
            state_shown=state_shown if own.is_job and own.batch_state != IN_PACK else "",
            silent=silent if own.is_job else "",
        )

    @property
    def described(self) -> str:
        """Its id, state and nodes."""
        parts = [self.id or "none yet", self.state_shown or self.state]
        return ", ".join([*filter(None, parts), *([f"on {self.nodes}"] if self.nodes else [])])

    @property
    def short(self) -> str:
        """Its id and state, for a column of a table."""
        return " ".join(filter(None, [self.id, self.state_shown or self.state]))

    def why_waiting(self) -> Iterator[tuple[str, str, str | None]]:
        """Why it has not started: codes, sentences, and for each a command that helps, if any."""
        if self.silent:
            yield "scheduler-silent", f"{self.system} gives no answer: {self.silent}", None
        if self.id is None:
            if self.state in (SUBMITTING, PACKING):
                yield "submitting", f"it is being submitted to {self.system}", None
            else:
                yield "not-submitted", self.state, None
            return
        if self.state == IN_PACK:
            yield "in-pack", f"its job {self.id} executes other runs of its pack first", None
            return
        state_shown = self.state_shown or f"{self.state}, when {self.system} was last heard of"
        yield "in-queue", f"its job {self.id} is in {self.system}'s queue: {state_shown}", None
