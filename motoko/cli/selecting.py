"""The options by which commands choose studies and runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import ConfigError, MotokoError

F = TypeVar("F", bound=Callable[..., Any])
ALL = "all"


def _study_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str | CompletionItem]:
    """What shells complete."""
    try:
        names = load().studies
    except MotokoError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def study_option(text: str, *names: str) -> Callable[[F], F]:
    """``--bd_study``, as in motoko 0.1.4, or other names: a study's name, or ``all``."""
    return click.option(
        *("bd_study", *names, "--bd_study", "-bd"),
        default=ALL,
        metavar="STUDY",
        help=text,
        shell_complete=_study_names,
    )


def constraints_option(text: str) -> Callable[[F], F]:
    """``--constraints``, which may be given several times."""
    return click.option("--constraints", multiple=True, metavar="CONSTRAINTS", help=text)


def chosen(config: WorkflowConfig, bd_study: str) -> list[StudyConfig]:
    """The studies that ``--bd_study`` means; an alias will do."""
    if bd_study == ALL:
        return list(config.studies.values())
    return [study_named(config, bd_study)]


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
    """The runs that are named as STUDY.ID, by study; ``ConfigError`` for what names none."""
    named: dict[str, list[int]] = {}
    for text in runs:
        name, _, number = text.rpartition(".")
        if not name or not number.isdecimal():
            raise ConfigError(
                f"{text!r} names no run", hint="write STUDY.ID, such as mult.3, as `motoko info`"
            )
        numbers = named.setdefault(study_named(config, name).name, [])
        if int(number) not in numbers:
            numbers.append(int(number))
    return named
