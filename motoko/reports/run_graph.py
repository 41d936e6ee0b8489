"""How runs have led to runs: a graph of the studies, or of single runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.host.durations import counted
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_tables import RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import parts
from motoko.runs.entry_table import OWN
from motoko.runs.references import reference
from motoko.runs.run_sets import RunSet
from motoko.runs.states import FAILED_STATES, FINISHED, WAITING_STATES

RUNS_MAX = 300  # single runs in a graph
WAITING, RUNNING, DONE, FAILED_ONES = "waiting", "running", "finished", "failed"
_READ = ("run_name", "state", OWN["created_after"].key, "dependencies")


@dataclass(frozen=True)
class Node:
    """A study, a run, or a junction: several runs led to each of several others.

    Attributes:
        key: names it in the graph.
        label: what is written in it, in lines; none in a junction.
        status: ``waiting``, ``running``, ``finished`` or ``failed``: how the least happy of its
            runs stands; empty if it has none.
    """

    key: str
    label: tuple[str, ...] = ()
    status: str = ""

    @property
    def is_junction(self) -> bool:
        """Whether it only joins edges."""
        return not self.label


@dataclass
class Graph:
    """Nodes, and edges from what was before to what came after.

    Attributes:
        nodes: by key, in the order of motoko.yaml, and of the runs' numbers.
        edges: by the keys of both ends, what is written on the edge.
        title: what it shows.
        notes: as of when, and what is not known; written below the drawing, or in its title.
    """

    title: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def add(self, *nodes: Node) -> None:
        """Add nodes."""
        self.nodes |= {node.key: node for node in nodes}


@dataclass(frozen=True)
class Row:
    """A run, as far as the graph needs it.

    Attributes:
        after: the runs that have led to it, as :class:`motoko.runs.run_sets.RunSet` writes them.
        named: the runs that its creator has named by ``after=``, as STUDY.ID.
    """

    study: str
    number: int
    state: str
    after: str
    named: tuple[str, ...] = ()


def rows_of(
    config: WorkflowConfig, studies: Iterable[StudyConfig], run_name: str | None = None
) -> list[Row]:
    """The runs of some studies; raises what :func:`motoko.mirror.current_mirror.current` raises.

    Args:
        run_name: only runs of this name.
    """
    rows: list[Row] = []
    for study in studies:
        with current(config, study) as moment:
            rows += rows_in(study, moment.tables, run_name)
    return rows


def rows_in(study: StudyConfig, tables: MirrorTables, run_name: str | None = None) -> Iterator[Row]:
    """The runs of a study, by its tables."""
    wanted = [(RUNS, [Name(False, name)]) for name in _READ]
    for part in parts(tables, wanted):
        for number, name, state, after, named in zip(*part, strict=True):
            if run_name is None or name == run_name:
                yield Row(study.name, number, str(state), _text(after), _names(named))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()


def of_studies(title: str, studies: Iterable[str], rows: Sequence[Row]) -> Graph:
    """The graph of the studies: an edge says how many runs of one came after runs of the other."""
    graph = Graph(title)
    states: dict[str, Counter[str]] = {study: Counter() for study in studies}
    edges: Counter[tuple[str, str]] = Counter()
    before: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}
    for row in rows:
        states[row.study][row.state] += 1
        key = row.after, row.named
        if key not in before:
            before[key] = frozenset(study for study, _ in ranges_before(*key))
        edges.update((study, row.study) for study in before[key] if study in states)
    for study, counts in states.items():
        total = sum(counts.values())
        shown = [f"{count:,} {state}" for state, count in counts.most_common()]
        graph.add(Node(study, (study, counted(total, "run"), *shown), _status(counts)))
    graph.edges |= {ends: f"{edges[ends]:,}" for ends in sorted(edges)}
    return graph


def of_runs(title: str, rows: Sequence[Row]) -> Graph:
    """The graph of single runs. Raises ``ConfigError`` if there are more than ``RUNS_MAX``."""
    if len(rows) > RUNS_MAX:
        raise ConfigError(
            f"{counted(len(rows), 'run')} are too many for a graph of single runs "
            f"(at most {RUNS_MAX})",
            hint="leave out --runs, or choose some with --run_name or --bd_study",
        )
    graph = Graph(title)
    numbers: dict[str, list[int]] = {}
    after: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        key = f"{row.study}.{row.number}"
        graph.add(Node(key, (key, row.state), _status({row.state: 1})))
        numbers.setdefault(row.study, []).append(row.number)
        after.setdefault((row.after, row.named), []).append(key)
    before: dict[str, dict[str, None]] = {}  # of each run, all runs that it came after
    for (text, named), runs in after.items():
        all_before = {
            f"{study}.{number}": None
            for study, (first, last) in ranges_before(text, named)
            for number in numbers.get(study, ())
            if first <= number <= last
        }
        before |= {run: {k: None for k in all_before if k != run} for run in runs}
    for runs in after.values():
        led = before[runs[0]]
        # What came before one of these runs needs no arrow of its own.
        implied = set().union(*(before[source].keys() for source in led))
        sources = [source for source in led if source not in implied]
        if len(sources) * len(runs) > len(sources) + len(runs):
            junction = Node(f"junction {len(graph.nodes)}")
            graph.add(junction)
            graph.edges |= {(source, junction.key): "" for source in sources}
            sources = [junction.key]
        graph.edges |= {(source, run): "" for source in sources for run in runs}
    return graph


def ranges_before(after: str, named: Sequence[str]) -> list[tuple[str, tuple[int, int]]]:
    """The study and range of the runs that a run came after, by what its row says."""
    runs = [one for one in map(reference, named) if one is not None]
    return [*RunSet.of(after), *((one.study, (one.run_id, one.run_id)) for one in runs)]


def _status(counts: Mapping[str, int]) -> str:
    """How the least happy of some runs stands, by how many are in which state."""
    there = {state for state, count in counts.items() if count}
    if there & FAILED_STATES:
        return FAILED_ONES
    if there <= {FINISHED}:
        return DONE if there else ""
    return WAITING if there <= {*WAITING_STATES, FINISHED} else RUNNING
