"""Adapting a database's jobs and runs to what bd.yaml declares now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from motoko.config.declared_types import Unfit, converted
from motoko.errors import ConfigError, ParameterError
from motoko.store.base import StudyBase
from motoko.store.declarations import KINDS, Difference, differences
from motoko.store.job_index import OWN_INDEX, JobPlace
from motoko.store.trees import is_tree
from motoko.store.values import plain, same_parameter

_SHOWN = 5


@dataclass
class Plan:
    """The changes to make in a study's database.

    Attributes:
        lines: the changes, for a user to read.
        entries: the future parameters of each job and run that changes, by kind and id.
        left: what is not changed, and why.
    """

    lines: list[str] = field(default_factory=list)
    entries: dict[str, dict[int, dict[str, Any]]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    left: list[str] = field(default_factory=list)


def plan(base: StudyBase, renames: Mapping[str, str], dropped: Collection[str]) -> Plan:
    """The plan that makes all jobs and runs agree with the declarations; changes nothing.

    Args:
        base: the study's base, in a fresh view.
        renames: the present names of parameters that were renamed, by their old names.
        dropped: names that are no longer declared, and are removed from jobs and runs.

    Raises ``ConfigError`` if there is no such plan: a parameter has no default, a value cannot be
    converted, or jobs would become the same.
    """
    differing = differences(base)
    _check_names(base, differing, renames, dropped)
    made, problems = Plan(), list[str]()
    for kind in KINDS:
        changes = [difference for difference in differing if difference.kind == kind]
        for difference in changes:
            _one(base, difference, renames, dropped, made, problems)
    _refuse_twins(base, made, problems)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ConfigError(
            f"study {base.study.name} cannot be upgraded: {'; '.join(problems[:_SHOWN])}{more}",
            hint=f"nothing was changed; write defaults below job_space: and run_params: of "
            f"{base.study.name}/bd.yaml, and --rename OLD=NEW says what was renamed",
        )
    return made


def apply(base: StudyBase, renames: Mapping[str, str], dropped: Collection[str]) -> Plan:
    """Carry out what :func:`plan` returns, in the present transaction, and return it, too."""
    made = plan(base, renames, dropped)
    for kind in KINDS:
        types = base.content[f"{kind}_desc"].types
        objects = _objects(base, kind)
        for number, entries in made.entries[kind].items():
            _replace(objects[number], entries, base.study.declared(kind), types)
        for name, kind_of in base.study.declared(kind).items():
            if types.entries.get(name) is not kind_of:
                types.entries[name] = kind_of
        for name in {*renames, *dropped} - base.study.declared(kind).keys():
            types.entries.pop(name, None)
    if made.entries["job"]:
        _index_anew(base)
    return made


def _check_names(
    base: StudyBase,
    differing: list[Difference],
    renames: Mapping[str, str],
    dropped: Collection[str],
) -> None:
    study = base.study.name
    old = {
        (difference.kind, difference.name)
        for difference in differing
        if difference.declared is None
    }
    new = {
        (difference.kind, difference.name) for difference in differing if difference.stored is None
    }
    for name in (*renames, *dropped):
        if not any((kind, name) in old for kind in KINDS):
            names = ", ".join(sorted({name for _, name in old})) or "none"
            raise ConfigError(
                f"study {study}: {name!r} is no parameter that jobs or runs have and bd.yaml does "
                "not declare",
                hint=f"those are: {names}",
            )
    for before, after in renames.items():
        if not any((kind, before) in old and (kind, after) in new for kind in KINDS):
            raise ConfigError(
                f"study {study}: {before!r} cannot become {after!r}: that is not declared, or jobs "
                "and runs have it already",
                hint=f"declare it in {study}/bd.yaml",
            )


def _one(
    base: StudyBase,
    difference: Difference,
    renames: Mapping[str, str],
    dropped: Collection[str],
    made: Plan,
    problems: list[str],
) -> None:
    """Add one difference to the plan."""
    kind, name, study = difference.kind, difference.name, base.study
    objects = _objects(base, kind)
    if difference.declared is None:
        if name in renames:
            return  # the new name's line says so
        having = [number for number, entries in objects.items() if name in entries.entries]
        if name not in dropped:
            made.left.append(
                f"{difference}: {len(having)} {kind}s keep it; --drop {name} removes it"
            )
            return
        for number in having:
            del _changed(made, objects, kind, number)[name]
        made.lines.append(f"{kind} parameter {name} goes: {len(having)} {kind}s")
        return
    before = next((old for old, new in renames.items() if new == name), "")
    is_renamed = before in base.stored_types(kind)
    defaults = study.job_space if kind == "job" else study.run_params
    default = {key.lower(): value for key, value in defaults.items()}
    renamed = given = conversions = 0
    for number, entries in objects.items():
        if is_renamed and before in entries.entries:
            mine = _changed(made, objects, kind, number)
            value, renamed = mine.pop(before), renamed + 1
        elif name in entries.entries:
            value = entries.entries[name]
        else:
            value = default.get(name)
            if name not in default or (isinstance(value, list) and difference.declared is not list):
                problems.append(f"{kind} parameter {name} has no default")
                return
            given += 1
            _changed(made, objects, kind, number)[name] = value
            continue
        try:
            fitting = converted(value, difference.declared)
        except Unfit:
            problems.append(
                f"{kind} {number}: {name} = {value!r} is no {difference.declared.__name__}"
            )
            continue
        if is_renamed or type(fitting) is not type(value):
            _changed(made, objects, kind, number)[name] = fitting
            conversions += type(fitting) is not type(value)
    if is_renamed:
        made.lines.append(f"{kind} parameter {before} becomes {name}: {renamed} {kind}s")
    if given or not (is_renamed or conversions or difference.stored):
        made.lines.append(
            f"{kind} parameter {name} = {default.get(name)!r}: {given} {kind}s get it"
        )
    if conversions or (difference.stored is not None and not is_renamed):
        stored = base.stored_types(kind).get(before if is_renamed else name)
        change = Difference(kind, name, stored, difference.declared)
        made.lines.append(f"{change}: {conversions} {kind}s have their values converted")


def _objects(base: StudyBase, kind: str) -> dict[int, Any]:
    container = (base.jobs if kind == "job" else base.runs).entries
    known = base.loaded((number, container[number]) for number in list(container.keys()))
    return dict(known)


def _changed(made: Plan, objects: Mapping[int, Any], kind: str, number: int) -> dict[str, Any]:
    """The future entries of a job or run."""
    if number not in made.entries[kind]:
        made.entries[kind][number] = dict(objects[number].entries.items())
    return made.entries[kind][number]


def _refuse_twins(base: StudyBase, made: Plan, problems: list[str]) -> None:
    """Note as problems jobs that differ today and would become the same."""
    seen: dict[tuple[str, ...], list[tuple[int, dict[str, Any]]]] = {}
    if not made.entries["job"]:
        return
    for number, job in _objects(base, "job").items():
        entries = made.entries["job"].get(number) or dict(job.entries.items())
        mine = {name: plain(value) for name, value in entries.items() if name != "id"}
        others = seen.setdefault((repr(sorted(mine.items(), key=lambda pair: pair[0])),), [])
        for other, theirs in others:
            if mine.keys() == theirs.keys() and all(
                same_parameter(mine[name], theirs[name]) for name in mine
            ):
                problems.append(f"jobs {other} and {number} would be the same")
        others.append((number, mine))


def _replace(
    target: Any, entries: Mapping[str, Any], types: Mapping[str, type], of_all: Any
) -> None:
    for name in set(target.entries.keys()) - entries.keys():
        del target.entries[name]
    for name, value in entries.items():
        if name not in target.entries or target.entries[name] is not value:
            target.entries[name] = value
    if not is_tree(target.entries):
        target._p_changed = True  # a dict does not tell its owner
    if target.types is not of_all:  # objects that BlackDynamite made have a copy
        for name, kind in types.items():
            target.types.entries[name] = kind


def _index_anew(base: StudyBase) -> None:
    """Index all jobs by their present parameters."""
    content = base.content
    content["JobsIndex"].clear()
    if OWN_INDEX in content.entries:
        content[OWN_INDEX].clear()
    for number, job in sorted(_objects(base, "job").items()):
        entries = {name: value for name, value in job.entries.items() if name != "id"}
        try:
            JobPlace(content, base.study.name, entries).note(number)
        except ParameterError:
            continue  # such a value cannot be found again, and could not be found before
