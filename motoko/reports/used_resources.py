"""What the runs of a study have asked for, beside what they have used, and what to ask for."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from motoko.batch import registry
from motoko.batch.commands import Commands
from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.policy import Policy
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_tables import RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import parts
from motoko.runs.entry_table import OWN

RUNS_MIN = 3  # fewer runs tell too little for advice
# Of shorter runs, the share of a processor is mostly that of starting.
LONG_ENOUGH_S = 1.0
# How much more than the most that a run has used should be asked for.
SPARE_TIME, SPARE_MEMORY = 2.0, 1.25
# A time limit is advised against if runs have come this close to it, or stay this far below.
CLOSE, FAR = 0.8, 10.0
_MIB = 1 << 20
_READ = ("nproc", "start_time")
_OWN_READ = ("attempt_ended", "cpu_s", "max_rss_bytes", "batch_job_id")
JOBS_MAX = 2_000  # the last ones, whose memory accounting is asked for


@dataclass
class Tally:
    """One quantity of many runs.

    Attributes:
        count: of how many runs it is known; total: their sum.
        most: the largest value; run: the number of the run that has it.
    """

    count: int = 0
    total: float = 0.0
    most: float = 0.0
    run: int | None = None

    def add(self, number: int, value: float) -> None:
        """Count a run."""
        self.count += 1
        self.total += value
        if self.run is None or value > self.most:
            self.most, self.run = value, number

    @property
    def mean(self) -> float | None:
        """The mean; ``None`` if it is known of no run."""
        return self.total / self.count if self.count else None


@dataclass(frozen=True)
class Advice:
    """What to write into motoko.yaml below the study's name.

    Attributes:
        key, value: the line; why: the reason, in a few words.
    """

    key: str
    value: str
    why: str


@dataclass
class StudyUsage:
    """What the runs of a study have asked for and used.

    Attributes:
        study: its name.
        generator: what its runs are handed to.
        policy: how its runs are executed, if a run does not say it otherwise.
        runs: how many runs there are.
        nproc: the least and the most slots that its ended runs take.
        wall_s, cpu_s: the runs' times from start to end, and their processor times, in seconds.
        cores: processor time by wall time, of runs that took a second or longer.
        memory: the memory of each run's largest process, in bytes.
        jobs: the runs of which only accounting may know that, by the ids of their jobs.
    """

    study: str
    generator: str
    policy: Policy
    runs: int = 0
    nproc: tuple[int, int] | None = None
    wall_s: Tally = field(default_factory=Tally)
    cpu_s: Tally = field(default_factory=Tally)
    cores: Tally = field(default_factory=Tally)
    memory: Tally = field(default_factory=Tally)
    jobs: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        number: int,
        nproc: object,
        started: object,
        ended: object,
        cpu_s: object,
        memory: object,
        job: object = None,
    ) -> None:
        """Count a run, by its entries; a value of a wrong type is not known."""
        self.runs += 1
        wall = None
        if isinstance(started, datetime) and started.tzinfo and isinstance(ended, float):
            wall = ended - started.timestamp()
            if wall >= 0:
                self.wall_s.add(number, wall)
        if isinstance(memory, int):
            self.memory.add(number, memory)
        elif isinstance(job, str):
            self.jobs[job] = number
        if not isinstance(cpu_s, float):
            return
        self.cpu_s.add(number, cpu_s)
        if isinstance(nproc, int):
            least, most = self.nproc or (nproc, nproc)
            self.nproc = min(least, nproc), max(most, nproc)
        if wall is not None and wall >= LONG_ENOUGH_S:
            self.cores.add(number, cpu_s / wall)

    def advice(self, slots: int, host_memory: int) -> Iterator[Advice]:
        """What to change in motoko.yaml, if anything.

        Args:
            slots: the slots of this host.
            host_memory: its memory in bytes.
        """
        width = self.policy.nproc
        if self.cores.count >= RUNS_MIN:
            # A fifth of a processor more is nothing to take a slot for.
            width = max(1, math.ceil(self.cores.most - 0.2))
            if self.nproc == (self.policy.nproc, self.policy.nproc) and width != self.policy.nproc:
                why = f"runs kept at most {self.cores.most:.2g} processors busy"
                yield Advice("nproc", str(width), why)
        options = self.policy.options_for(self.generator)
        wanted: list[str] = []
        reasons: list[str] = []
        if self.wall_s.count >= RUNS_MIN:
            limit, most = self.policy.timeout, self.wall_s.most
            if limit is None or most > CLOSE * limit or most * FAR < limit - 60:
                why = f"the longest run took {most:.3g} s"
                yield Advice("timeout", _as_time(SPARE_TIME * most), why)
            if self.generator == "slurm":
                wanted.append(f"time={max(1, math.ceil(SPARE_TIME * most / 60))}")
                reasons.append(f"the longest run took {most:.3g} s")
        if self.memory.count >= RUNS_MIN:
            least = SPARE_MEMORY * self.memory.most * width
            if self.generator == "slurm" and "mem-per-cpu" not in options:
                wanted.append(f"mem={_rounded_up(least / _MIB)}M")
                reasons.append(f"the largest process had {self.memory.most / _MIB:.0f} MiB")
            held = slots // width * least
            if self.generator == registry.LOCAL and held > host_memory:
                fitting = max(1, int(host_memory / least)) * width
                why = f"{slots} slots' runs may need {held / _MIB:.0f} MiB, more than there is"
                yield Advice("slots", str(fitting), f"{why}; for all studies")
        if wanted:
            key = registry.options_key(self.generator)
            yield Advice(key, f"[{', '.join(wanted)}]", "; ".join(reasons))


def usage_of(config: WorkflowConfig, study: StudyConfig) -> StudyUsage:
    """What the runs of a study have used.

    Raises what :func:`motoko.mirror.current_mirror.current` raises.
    """
    with current(config, study) as moment:
        usage = recorded_usage(study, moment.tables)
    ask_accounting(usage)
    return usage


def recorded_usage(study: StudyConfig, tables: MirrorTables) -> StudyUsage:
    """What the runs of a study have used as far as they have recorded it, by its tables."""
    usage = StudyUsage(study.name, study.generator, study.policy)
    names = [Name(False, name) for name in (*_READ, *(OWN[name].key for name in _OWN_READ))]
    for part in parts(tables, [(RUNS, [name]) for name in names]):
        for values in zip(*part, strict=True):
            usage.add(*values)
    return usage


def ask_accounting(usage: StudyUsage) -> None:
    """Add the memory of jobs that only the batch system's accounting knows, if it has some."""
    if usage.jobs and usage.generator != registry.LOCAL:
        ids = list(usage.jobs)[-JOBS_MAX:]
        scheduler = registry.named(usage.generator).scheduler(Commands())
        for job, memory in asyncio.run(scheduler.memory_of(ids)).items():
            usage.memory.add(usage.jobs[job], memory)


def slots_of(config: WorkflowConfig) -> int:
    """The slots of this host."""
    return config.slots or os.cpu_count() or 1


def option_shown(usage: StudyUsage, names: Sequence[str]) -> str:
    """The first of these options of the study's batch jobs; empty if there is none."""
    options = usage.policy.options_for(usage.generator)
    return next((f"{name}={options[name]}" for name in names if name in options), "")


def _as_time(seconds: float) -> str:
    """A time limit, in whole minutes or hours."""
    minutes = max(1, math.ceil(seconds / 60))
    return f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"


def _rounded_up(number: float) -> int:
    """A number with two digits that is not smaller."""
    step = int(10 ** max(0, math.floor(math.log10(max(number, 1))) - 1))
    return math.ceil(number / step) * step
