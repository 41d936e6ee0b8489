"""The options by which commands choose studies and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from motoko.cli.consent import all_are_meant
from motoko.cli.texts import TEXT
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import ConfigError, MotokoError
from motoko.runs.references import reference

if TYPE_CHECKING:
    from motoko.operations.choosing import Choice

F = TypeVar("F", bound=Callable[..., Any])
ALL = "all"
HOW_TO_CHOOSE = "name runs (STUDY.ID), or give --constraints or --bd_study; --yes means all"


def _study_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str | CompletionItem]:
    """The studies' names that a shell completes."""
    try:
        names = load().studies
    except MotokoError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def study_option(text: str, *names: str) -> Callable[[F], F]:
    """The option ``--bd_study`` of motoko 0.1.4, also under other names: a study, or ``all``."""
    return click.option(
        *("bd_study", *names, "--bd_study", "-bd"),
        default=ALL,
        type=TEXT,
        metavar="STUDY",
        help=text,
        shell_complete=_study_names,
    )


def study_argument() -> Callable[[F], F]:
    """The argument ``STUDY``: a study's name, or an alias."""
    return click.argument("bd_study", type=TEXT, metavar="STUDY", shell_complete=_study_names)


def study_arguments() -> Callable[[F], F]:
    """The arguments ``STUDY...``: names of studies, or aliases; none means all."""
    return click.argument(
        "studies", nargs=-1, type=TEXT, metavar="[STUDY]...", shell_complete=_study_names
    )


def constraints_option(text: str) -> Callable[[F], F]:
    """The option ``--constraints``, which may be given several times."""
    return click.option("--constraints", multiple=True, type=TEXT, metavar="CONSTRAINTS", help=text)


def yes_option(*names: str) -> Callable[[F], F]:
    """The option ``--yes``: the command asks nothing."""
    return click.option("--yes", "-y", *names, is_flag=True, help="Ask nothing.")


def chosen(config: WorkflowConfig, bd_study: str) -> list[StudyConfig]:
    """The studies that ``--bd_study`` means; it may be an alias."""
    if bd_study == ALL:
        return list(config.studies.values())
    return [study_named(config, bd_study)]


def created(studies: Iterable[StudyConfig]) -> list[StudyConfig]:
    """The studies that may have runs: a study without a database has none."""
    return [study for study in studies if not study.is_local or study.created]


def with_databases(config: WorkflowConfig, bd_study: str) -> list[StudyConfig]:
    """The studies that a name means, or of all of them those that have a database.

    Raises ``NotCreated`` for a study that is named and has none.
    """
    studies = chosen(config, bd_study)
    if bd_study == ALL:
        return created(studies)
    studies[0].check_created()
    return studies


@dataclass(frozen=True)
class Concern:
    """Which runs a command changes when all are meant, and what it does to them.

    Attributes:
        becomes: what is done to the runs: ``"reset"``.
        columns: the columns of :data:`motoko.reports.overview.COLUMNS` whose runs the command
            changes; empty: all runs.
    """

    becomes: str
    columns: tuple[str, ...] = ()


def choice_of(
    config: WorkflowConfig,
    runs: tuple[str, ...],
    bd_study: str,
    constraints: tuple[str, ...],
    concern: Concern,
    *,
    yes: bool,
) -> Choice:
    """The runs that are named as STUDY.ID, and those of ``--bd_study`` and ``--constraints``.

    If the user has chosen none, all runs are meant: consent is asked for, unless ``yes`` gives it.
    Raises what :func:`motoko.cli.consent.all_are_meant` raises.
    """
    from motoko.operations.choosing import Choice

    named = named_runs(config, runs)
    studies: list[StudyConfig] = []
    if bd_study != ALL:
        studies = chosen(config, bd_study)
    elif constraints or not runs:
        studies = created(chosen(config, ALL))
    is_chosen = bool(runs or constraints or bd_study != ALL)
    if not is_chosen and not yes and (held := _held(config, studies, concern)):
        all_are_meant(concern.becomes, held, HOW_TO_CHOOSE)
    return Choice(named, studies, constraints)


def _held(config: WorkflowConfig, studies: Sequence[StudyConfig], concern: Concern) -> str:
    """The runs that a command would change, by study and state, in lines."""
    from motoko.reports.overview import column
    from motoko.reports.workflow_overview import collect

    overview = collect(config, studies, None, keep=False, failures_max=0)
    for error in overview.errors:
        raise error
    lines = []
    for study in overview.studies:
        counts = {
            state: count
            for state, count in sorted(study.states.items())
            if not concern.columns or column(state) in concern.columns
        }
        if counts:
            summary = ", ".join(f"{count} {state}" for state, count in counts.items())
            lines.append(f"  {study.study}: {summary}")
    return "\n".join(lines)


def study_named(config: WorkflowConfig, name: str) -> StudyConfig:
    """A study by its name or alias; ``ConfigError`` if there is none."""
    target = name
    while target in config.aliases:
        target = config.aliases[target]
    if target not in config.studies:
        raise ConfigError(
            f"there is no study {name!r} in {config.path}",
            hint=f"the studies are: {', '.join(config.studies)}",
        )
    return config.studies[target]


def named_runs(config: WorkflowConfig, runs: tuple[str, ...]) -> dict[str, list[int]]:
    """The runs that are named as STUDY.ID, by study; ``ConfigError`` if a text names none."""
    named: dict[str, list[int]] = {}
    for text in runs:
        study, number = named_run(config, text)
        numbers = named.setdefault(study.name, [])
        if number not in numbers:
            numbers.append(number)
    return named


def named_run(config: WorkflowConfig, text: str) -> tuple[StudyConfig, int]:
    """The study and id that STUDY.ID means; ``ConfigError`` if it names no run."""
    run = reference(text)
    if run is None:
        raise ConfigError(
            f"{text!r} names no run", hint="write STUDY.ID, such as mult.3; see `motoko info`"
        )
    return study_named(config, run.study), run.run_id
