"""How batch jobs are looked after: ``batch:`` of motoko.yaml, and its defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass

from motoko.policy import seconds
from motoko.yaml_file import Section

POLL_LEAST_S = 5.0
POLL_MOST_S = 120.0
# Seconds, for the tests of batch jobs, which have a scheduler of their own.
POLL_VARIABLE = "MOTOKO_BATCH_POLL_S"
# What runs can be handed to, and the batch systems that are not there yet.
LOCAL = "bash"
SLURM = "slurm"
THERE = (LOCAL, SLURM)


@dataclass(frozen=True)
class BatchSettings:
    """The settings of a workflow's batch jobs.

    Attributes:
        poll_interval: seconds between two queries of the scheduler while something changes.
        max_submitted: how many jobs of the workflow may be in the queue at a time, if limited.
    """

    poll_interval: float = 30.0
    max_submitted: int | None = None


def batch_settings(file: Section) -> BatchSettings:
    """The settings in a motoko.yaml; ``ConfigError`` for the first that is wrong."""
    section = file.section("batch", "write settings such as `poll_interval: 30s` indented below it")
    section.warn_unknown(["poll_interval", "max_submitted"])
    default = BatchSettings()
    value = section.content.get("poll_interval")
    interval = default.poll_interval
    if value is not None:
        expected = f"a duration from {POLL_LEAST_S:g}s to {POLL_MOST_S:g}s"
        try:
            interval = seconds(value)
        except ValueError:
            raise section.wrong("poll_interval", value, expected) from None
        if not POLL_LEAST_S <= interval <= POLL_MOST_S:
            hint = "schedulers are shared: a query every few seconds is the most they should get"
            raise section.wrong("poll_interval", value, expected, hint)
    interval = float(os.environ.get(POLL_VARIABLE, interval))
    return BatchSettings(interval, section.integer("max_submitted", 1))
