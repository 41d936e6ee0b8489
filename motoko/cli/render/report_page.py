"""The report of a workflow as one HTML page, which needs nothing from anywhere else."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from motoko.cli.render import charts, figures, usage_tables
from motoko.cli.render.page_parts import Content, element, page, picture, table
from motoko.errors import ConfigError
from motoko.host.durations import counted, duration, moment
from motoko.reports import layered_drawing
from motoko.reports.overview import COLUMNS, column
from motoko.reports.plotted import Plot
from motoko.reports.report_facts import FailureGroup, StudyFacts, WorkflowFacts
from motoko.reports.run_graph import Graph
from motoko.reports.status import unrecorded
from motoko.reports.timeline import histogram, lanes
from motoko.reports.value_ranges import ValueRange


def rendered(facts: WorkflowFacts, surroundings: Mapping[str, str]) -> str:
    """The page, as HTML. ``surroundings``: what the workflow runs on, by name."""
    studies = facts.studies
    content: list[Content] = [
        element("h1", facts.title),
        element("p", f"As of {moment(facts.now)} ({time.strftime('%Z')}). ", _running(facts)),
        *(element("p", text, class_="note") for text in _unknown(facts)),
        element("h2", "Studies"),
        _studies(studies),
        charts.legend(dict.fromkeys(kind for study in studies for kind in _columns(study))),
        *_graph(facts.graph),
        *_timeline(studies),
        *_usage(studies),
    ]
    for study in studies:
        content += _study(study)
    content += [
        *_orchestrators(facts),
        element("h2", "What it ran on"),
        table(("", ""), [[name, text] for name, text in surroundings.items()]),
    ]
    return page(facts.title, content)


def _running(facts: WorkflowFacts) -> str:
    supervisor = facts.status.supervisor
    if not facts.status.answers:
        return ""  # why is said among what the report cannot tell
    where = f" on {supervisor.host}" if supervisor.host else ""
    return f"The workflow is supervised{where}: the supervisor is {supervisor.state}."


def _unknown(facts: WorkflowFacts) -> Iterator[str]:
    """What the report cannot tell."""
    for text in unrecorded(facts.status):
        yield f"{text[:1].upper()}{text[1:]}"
    for name, why in facts.unread.items():
        yield f"Study {name} is not in this report: {why}"
    for study in facts.studies:
        if study.without is not None:
            yield f"Study {study.name} was read from its database: {study.without}"


def _columns(study: StudyFacts) -> dict[str, int]:
    counts = dict.fromkeys(COLUMNS, 0)
    for state, count in study.states.items():
        counts[column(state)] = counts.get(column(state), 0) + count
    return {kind: count for kind, count in counts.items() if count}


def _studies(studies: Sequence[StudyFacts]) -> Element:
    rows: list[Sequence[Content]] = []
    for study in studies:
        counts = _columns(study)
        times = sorted(study.seconds)
        rows.append(
            [
                element("a", study.name, href=f"#study-{study.name}"),
                str(study.runs),
                *(str(counts.get(kind, 0)) for kind in COLUMNS),
                duration(times[len(times) // 2]) if times else "-",
                duration(times[-1]) if times else "-",
                charts.state_bar(counts.items()),
            ]
        )
    heads = ("study", "runs", *COLUMNS, "median time", "longest", "states")
    return table(heads, rows, range(1, 8))


def _graph(graph: Graph) -> Iterator[Element]:
    if not graph.edges:
        return
    yield element("h2", graph.title)
    before = ", ".join(f"{text} of {one} to {other}" for (one, other), text in graph.edges.items())
    drawn = picture(layered_drawing.svg(graph).encode(), f"{graph.title}: {before}")
    caption = "An arrow says how many runs were created after runs of another study."
    yield _figure(drawn, caption)


def _usage(studies: Sequence[StudyFacts]) -> Iterator[Element]:
    rows = [
        row for one in studies if one.usage is not None for row in usage_tables.rows_of(one.usage)
    ]
    if any(row[3] != "-" for row in rows):
        yield element("h2", "What runs asked for, and used")
        yield table(usage_tables.COLUMNS, rows, (3, 4, 6))


def _timeline(studies: Sequence[StudyFacts]) -> Iterator[Element]:
    bars = [placed for study in studies for placed in study.bars]
    untimed = sum(study.untimed for study in studies)
    if not bars and not untimed:
        return
    yield element("h2", "When runs were executed")
    if bars:
        yield _figure(charts.timeline(lanes(bars)), None)
    if untimed:
        yield element(
            "p",
            f"{counted(untimed, 'run')} without a recorded start or end: not shown.",
            class_="soft",
        )


def _study(study: StudyFacts) -> Iterator[Element]:
    heading = element("h2", f"Study {study.name}", id=f"study-{study.name}")
    yield heading
    yield element("p", f"State after transaction {study.tid}.", class_="soft")
    own = {s: c for s, c in study.states.items() if column(s) not in COLUMNS}
    if own:
        listed = ", ".join(f"{count} {state}" for state, count in sorted(own.items()))
        yield element("p", f"Runs in states of your own: {listed}.")
    if study.parameters:
        yield element("h3", "Parameters")
        yield _ranges(study.parameters)
    if study.results:
        yield element("h3", "Results")
        yield _ranges(study.results)
    yield from _plots(study)
    if study.launch:
        yield element("h3", "Its launch.sh")
        yield element("pre", study.launch)
    yield from _times(study)
    if study.failures:
        yield element("h3", "Failures")
        for group in study.failures:
            yield _failures(group)


def _times(study: StudyFacts) -> Iterator[Element]:
    bins = histogram(study.seconds)
    if len(bins) < 2:
        return
    yield element("h3", "How long runs took")
    caption = f"{counted(len(study.seconds), 'run')} that ended well."
    yield _figure(charts.histogram(bins), caption, "small")


def _ranges(ranges: Iterable[ValueRange]) -> Element:
    rows = [[one.name, one.described, str(one.count)] for one in ranges]
    return table(("name", "values", "runs"), rows, [2])


def _plots(study: StudyFacts) -> Iterator[Element]:
    if not study.plots and not study.not_plotted:
        return
    yield element("h3", "Plots")
    for why in study.not_plotted:
        yield element("p", why, class_="note")
    drawn = []
    try:
        drawn = [_figure(_drawn(plot), _left_out(plot)) for plot in study.plots]
    except ConfigError as error:  # there is no matplotlib
        yield element("p", f"{error}: {error.hint}", class_="note")
    yield element("div", *drawn, class_="plots")


def _drawn(plot: Plot) -> Element:
    buffer = io.BytesIO()
    figures.draw_small(plot, buffer)
    return picture(buffer.getvalue(), plot.title)


def _left_out(plot: Plot) -> str:
    more = f" {counted(plot.left_out, 'run')} without a value left out." if plot.left_out else ""
    return f"{plot.title}.{more}"


def _failures(group: FailureGroup) -> Element:
    more = group.count - len(group.runs)
    runs = ", ".join(group.runs) + (f" and {more} more" if more else "")
    return element(
        "div",
        element("p", element("strong", f"{counted(group.count, 'run')}: "), group.reason),
        element("p", runs, class_="soft"),
        element("pre", group.stderr) if group.stderr else None,
        class_="group",
    )


def _orchestrators(facts: WorkflowFacts) -> Iterator[Element]:
    if not facts.orchestrators:
        return
    yield element("h2", "Orchestrators")
    rows = []
    for one in facts.orchestrators:
        error = one.background.error if one.background else None
        rows.append([one.run_name, one.state, error or "; ".join(one.waiting) or "-"])
    yield table(("run_name", "state", "awaits, or has ended with"), rows)


def _figure(drawn: Element, caption: str | None, kind: str = "wide") -> Element:
    text = element("figcaption", caption) if caption else None
    return element("figure", element("div", drawn, class_=kind), text)
