"""What is known of a run's batch job, in words. Pure logic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SYSTEMS = {"slurm": "Slurm"}
# What a submission's state is before it has a job.
SUBMITTING = "submitting"


def is_followed(entries: Mapping[str, Any]) -> bool:
    """Whether a run is a job, or about to be one, whose end is not recorded yet."""
    return bool(entries.get("batch_name"))


@dataclass(frozen=True)
class JobFacts:
    """A run's job.

    Attributes:
        system: the batch system's name.
        id: the job's; ``None`` if it has none yet.
        state: what the run's entries say of it.
        nodes: where it runs or ran.
        followed: whether its end is not recorded yet.
        said: state and reason as the scheduler has said them last; empty if it does not show it.
        silent: why the scheduler did not answer the last query; empty if it did.
    """

    system: str
    id: str | None
    state: str
    nodes: str
    followed: bool
    said: str = ""
    silent: str = ""

    @classmethod
    def of(
        cls, entries: Mapping[str, Any], said: str = "", silent: str = "", nodes: str = ""
    ) -> JobFacts | None:
        """From a run's entries; ``None`` if they name no job."""
        if not entries.get("batch_system") or not (
            entries.get("batch_name") or entries.get("batch_job_id")
        ):
            return None
        return cls(
            system=SYSTEMS.get(str(entries["batch_system"]), str(entries["batch_system"])),
            id=entries.get("batch_job_id"),
            state=str(entries.get("batch_state") or ""),
            nodes=str(nodes or entries.get("batch_nodes") or ""),
            followed=is_followed(entries),
            said=said if is_followed(entries) else "",
            silent=silent if is_followed(entries) else "",
        )

    @property
    def described(self) -> str:
        """Number, state and nodes."""
        parts = [self.id or "none yet", self.said or self.state]
        return ", ".join([*filter(None, parts), *([f"on {self.nodes}"] if self.nodes else [])])

    @property
    def short(self) -> str:
        """The same for a column of a table."""
        return " ".join(filter(None, [self.id, self.said or self.state]))

    def why_waiting(self) -> Iterator[tuple[str, str, str | None]]:
        """Why it has not started: a code, the sentence, and a command that helps, if one does."""
        if self.silent:
            yield "scheduler-silent", f"{self.system} gives no answer: {self.silent}", None
        if self.id is None:
            if self.state == SUBMITTING:
                yield "submitting", f"it is being submitted to {self.system}", None
            else:
                yield "not-submitted", self.state, None
            return
        said = self.said or f"{self.state}, when {self.system} was last heard of"
        yield "in-queue", f"its job {self.id} is in {self.system}'s queue: {said}", None
