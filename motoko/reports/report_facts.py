"""What `motoko report` tells of a workflow, as typed values."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.report_settings import ReportPlot
from motoko.config.run_files import LAUNCH
from motoko.errors import ConfigError, MotokoError
from motoko.host.files import end_of
from motoko.reports import orchestrator_states, status
from motoko.reports.chosen_runs import Wanted, chosen_runs
from motoko.reports.orchestrator_states import OrchestratorState
from motoko.reports.overview import column
from motoko.reports.plotted import Axes, Plot, plotted
from motoko.reports.result_columns import FIRST
from motoko.reports.run_graph import Graph, Row, of_studies, rows_in
from motoko.reports.status import WorkflowStatus
from motoko.reports.timeline import Bar
from motoko.reports.used_resources import StudyUsage, ask_accounting, recorded_usage
from motoko.reports.value_ranges import ValueRange
from motoko.runs.outputs import stderr_path, tail
from motoko.runs.run_times import started
from motoko.runs.states import RUNNING_STATES

NAMED = 10  # of the runs that failed for one reason, this many are named
REASONS = 50  # at most this many reasons are kept apart
OTHER_REASONS = "other reasons"
NO_REASON = "no reason is recorded"
PLOTS = 3  # of a study, if motoko.yaml names none
SERIES = 8  # by is chosen among parameters with at most this many values
_OWN = ("attempt_ended", "failure_reason", "batch_nodes")
_READ = ("run_path", "start_time", "machine_name", "job_id")


@dataclass
class FailureGroup:
    """The runs that failed for one reason.

    Attributes:
        reason: the reason, as the first line of the runs' ``failure_reason``.
        count: how many runs these are; ``runs``: the first of them, as STUDY.ID.
        stderr: the end of the first one's standard error.
    """

    reason: str
    count: int = 0
    runs: list[str] = field(default_factory=list)
    stderr: str = ""


@dataclass
class StudyFacts:
    """What is told of a study.

    Attributes:
        name: its name.
        tid: the transaction whose state all of this shows.
        without: why the study's mirror could not give all values; ``None`` if it did.
        states: how many runs are in each state.
        parameters: the values of the jobs' and runs' parameters; ``results``: those of results.
        bars: when and where runs were executed.
        untimed: how many runs were started, but not at a known time.
        seconds: how long the runs took that have ended well.
        failures: the failed runs by reason, the most frequent one first.
        launch: its launch.sh, which starts the runs; empty if that cannot be read.
        usage: what its runs have asked for and used.
        plots: plots of results.
        not_plotted: what is wrong with plots that motoko.yaml asks for.
    """

    name: str
    tid: str = ""
    without: str | None = None
    states: Counter[str] = field(default_factory=Counter)
    parameters: list[ValueRange] = field(default_factory=list)
    results: list[ValueRange] = field(default_factory=list)
    bars: list[tuple[str, Bar]] = field(default_factory=list)
    untimed: int = 0
    seconds: array[float] = field(default_factory=lambda: array("d"))
    failures: list[FailureGroup] = field(default_factory=list)
    launch: str = ""
    usage: StudyUsage | None = None
    plots: list[Plot] = field(default_factory=list)
    not_plotted: list[str] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.states.total()


@dataclass(frozen=True)
class WorkflowFacts:
    """What is told of a workflow.

    Attributes:
        title: the report's title.
        workflow: the path of motoko.yaml.
        now: when this was read (seconds since 1970).
        studies: the studies that could be read.
        unread: the other studies, and why each could not be read.
        graph: how runs have led to runs.
        status: the workflow's processes; orchestrators: those that run or were in the background.
    """

    title: str
    workflow: Path
    now: float
    studies: Sequence[StudyFacts]
    unread: Mapping[str, str]
    graph: Graph
    status: WorkflowStatus
    orchestrators: Sequence[OrchestratorState]


def collect(
    config: WorkflowConfig,
    chosen: Sequence[StudyConfig],
    run_name: str | None,
    now: float | None = None,
) -> WorkflowFacts:
    """What is told of some studies' runs (of a run_name, or all). Changes nothing.

    ``now`` is the moment as of which it is told (seconds since 1970), by default the present one.

    Raises ``ConfigError`` if ``report:`` in motoko.yaml plots a study that does not exist. A study
    that cannot be read is among the ``unread``.
    """
    settings = config.report
    for plot in settings.plots or ():
        if plot.study not in config.studies:
            raise ConfigError(
                f"{config.path}: report.plots: there is no study {plot.study!r}",
                hint=f"studies: {', '.join(config.studies)}",
            )
    now = time.time() if now is None else now
    studies, unread = [], {}
    rows: list[Row] = []
    for study in chosen:
        if study.is_local and not study.created:
            unread[study.name] = "it has no database yet"
            continue
        try:
            facts, its_rows = _study_facts(config, study, run_name, now)
            wanted = _wanted_plots(study, facts, settings.plots)
            _add_plots(config, study, facts, wanted, run_name, is_asked=settings.plots is not None)
        except MotokoError as error:
            unread[study.name] = str(error)
        else:
            studies.append(facts)
            rows += its_rows
    return WorkflowFacts(
        settings.title or config.directory.name,
        config.path,
        now,
        studies,
        unread,
        of_studies("How runs led to runs", [study.name for study in studies], rows),
        status.collect(config),
        orchestrator_states.collect(config),
    )


def _study_facts(
    config: WorkflowConfig, study: StudyConfig, run_name: str | None, now: float
) -> tuple[StudyFacts, list[Row]]:
    """What is told of a study, and its runs for the graph, all as of one transaction."""
    facts = StudyFacts(study.name, launch=end_of(study.directory / LAUNCH))
    with chosen_runs(config, study, Wanted(run_name=run_name)) as runs:
        facts.tid, facts.without = runs.moment.tid, runs.moment.without
        shown = [c for c in runs.columns.shown() if c.names[-1].name not in (*FIRST, *_READ)]
        declared = {*study.jobs, *study.runs}
        ranges = [ValueRange(column.label) for column in shown]
        for one, of in zip(ranges, shown, strict=True):
            (facts.parameters if of.names[-1].name in declared else facts.results).append(one)
        first = [runs.columns.field("runs", name) for name in ("state", "run_name", *_READ)]
        own = [runs.columns.named(f"runs.{name}") for name in _OWN]
        groups: dict[str, FailureGroup] = {}
        for part in runs.parts([*first, *own, *shown]):
            for one, values in zip(ranges, part[1 + len(first) + len(own) :], strict=True):
                one.add(values)
            for entries in _entries(part):
                _add_run(facts, study, entries, now, groups)
        usage = recorded_usage(study, runs.moment.tables)
        rows = [*rows_in(study, runs.moment.tables, run_name)]
    ask_accounting(usage)
    facts.usage = usage
    facts.results = [one for one in facts.results if one.count]
    facts.failures = sorted(groups.values(), key=lambda group: -group.count)
    return facts, rows


def _entries(part: Sequence[Sequence[Any]]) -> Iterator[dict[str, Any]]:
    names = ("id", "state", "run_name", *_READ, *_OWN)
    for row in zip(*part[: len(names)], strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


def _add_run(
    facts: StudyFacts,
    study: StudyConfig,
    entries: dict[str, Any],
    now: float,
    groups: dict[str, FailureGroup],
) -> None:
    state = str(entries.get("state"))
    facts.states[state] += 1
    kind = column(state)
    if kind == "failed":
        _add_failure(study, entries, groups)
    if kind == "created":
        return
    start = _start(entries, study)
    end = now if state in RUNNING_STATES else entries.get("attempt_ended")
    if start is None or not isinstance(end, float) or end < start:
        facts.untimed += 1
        return
    run = f"{study.name}.{entries['id']}"
    facts.bars.append((_place(entries), Bar(start, end, (study.name, kind), run)))
    if kind not in ("running", "failed"):
        facts.seconds.append(end - start)


def _start(entries: Mapping[str, Any], study: StudyConfig) -> float | None:
    at = entries.get("start_time")
    if isinstance(at, datetime) and at.tzinfo is UTC:
        return at.timestamp()
    moment = started(entries, study.policy.environment)
    return None if moment is None else moment.timestamp()


def _place(entries: Mapping[str, Any]) -> str:
    """The nodes of a run's job, or the host that executes it."""
    return str(entries.get("batch_nodes") or entries.get("machine_name") or "localhost")


def _add_failure(
    study: StudyConfig, entries: dict[str, Any], groups: dict[str, FailureGroup]
) -> None:
    lines = str(entries.get("failure_reason") or "").strip().splitlines()
    reason = lines[0] if lines else NO_REASON
    if reason not in groups and len(groups) >= REASONS:
        reason = OTHER_REASONS
    group = groups.setdefault(reason, FailureGroup(reason))
    if not group.count:
        group.stderr = tail(stderr_path(entries, study))
    group.count += 1
    if len(group.runs) < NAMED:
        group.runs.append(f"{study.name}.{entries['id']}")


def _wanted_plots(
    study: StudyConfig, facts: StudyFacts, asked: Iterable[ReportPlot] | None
) -> list[ReportPlot]:
    """The plots that motoko.yaml asks for; else some of the first results over a parameter."""
    if asked is not None:
        return [plot for plot in asked if plot.study == study.name]
    varied = [one for one in facts.parameters if one.different > 1]
    x = next((one for one in varied if one.is_numeric), None)
    if x is None:
        return []
    others = [one for one in varied if one is not x and one.different <= SERIES]
    by = others[0].name if others else None
    results = [one for one in facts.results if one.is_numeric and one.different > 1]
    return [ReportPlot(study.name, x.name, one.name, by) for one in results[:PLOTS]]


def _add_plots(
    config: WorkflowConfig,
    study: StudyConfig,
    facts: StudyFacts,
    wanted: Iterable[ReportPlot],
    run_name: str | None,
    *,
    is_asked: bool,
) -> None:
    for plot in wanted:
        constraints = (plot.constraints,) if plot.constraints else ()
        try:
            axes = Axes(plot.x, plot.y, plot.by)
            facts.plots.append(plotted(config, study, axes, constraints, run_name))
        except ConfigError as error:
            if is_asked:
                facts.not_plotted.append(str(error))
