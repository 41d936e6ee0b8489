"""motoko.yaml and each study's bd.yaml, as typed, validated, frozen values."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from motoko import policy as policies
from motoko.batch_settings import BatchSettings, batch_settings
from motoko.errors import ConfigError
from motoko.hosts import is_this_host
from motoko.policy import Policy, WrongPolicy
from motoko.supervision import Supervision, supervision
from motoko.yaml_file import Section, mode_of, nearest, read_mapping

FILE_NAME = "motoko.yaml"
GENERATORS = ("bash", "slurm", "pbs", "sge")
TYPES: Mapping[str, type] = MappingProxyType(
    {t.__name__: t for t in (int, float, str, bool, list, dict, tuple, complex, bytes)}
)
WORKFLOW_KEYS = frozenset(
    {"task_managers", "aliases", "orchestrator", "slots", "runtime_dir", "supervisor", "batch"}
    | policies.NAMES
    | {"generator", "bash_options", "pbs_options", "sge_options"}
)
STUDY_KEYS = frozenset({"host", "insecure_tcp", "generator"} | policies.NAMES)
# Attributes of Workflow, which would hide a study of that name.
RESERVED_NAMES = frozenset(
    {"create", "start_launcher_daemons", "add_action", "add_error_handler", "execute", "get_runs"}
    | {"get_orchestrator_function", "orchestrator_script", "orchestrator_function", "actions"}
    | {"params", "vars", "is_empty", "run_name", "finished", "directory", "config", "config_path"}
    | {"task_managers", "aliases", "on_failure"}
)
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TCP = re.compile(r".+:([0-9]{1,5})")


@dataclass(frozen=True)
class StudyConfig:
    """One study: its entry in motoko.yaml and its bd.yaml, both checked.

    When :func:`load` returned it, its directory, doIt.py, launch.sh and config files were there.
    """

    name: str  # the key in task_managers, and the name of its directory
    directory: Path  # absolute
    host: str | None  # as written; None if absent
    jobs: Mapping[str, type]  # declared job parameters, lower case, in the order of the file
    runs: Mapping[str, type]  # declared run parameters, likewise
    job_space: Mapping[str, Any]  # defaults of job parameters, as written
    run_params: Mapping[str, Any]  # defaults of run parameters, as written
    config_files: tuple[str, ...]  # besides doIt.py, each once, relative to `directory`
    policy: Policy  # how its runs are executed
    generator: str  # what they are handed to: one of GENERATORS
    settings: Mapping[str, Any]  # the entry in motoko.yaml, as it is there

    @property
    def is_local(self) -> bool:
        """Whether the database is the one in ``directory``, served from here.

        So without a ``host:``, if that is a path of this directory, links resolved (a relative
        path counts from the workflow's directory), or if it is a TCP address of this host.
        """
        if self.host is None:
            return True
        target = self.host.removeprefix("zeo://")
        if self.tcp_address:
            return is_this_host(self.tcp_address[0])
        return os.path.realpath(self.directory.parent / target) == os.path.realpath(self.directory)

    @property
    def tcp_address(self) -> tuple[str, int] | None:
        """The TCP host and port that ``host:`` names, if it does."""
        target = (self.host or "").removeprefix("zeo://")
        if not _TCP.fullmatch(target):
            return None
        name, _, port = target.rpartition(":")
        return name, int(port)

    @property
    def created(self) -> bool:
        """Whether the study has a database here. Looked up at each use."""
        return (self.directory / ".bd" / "bd.zeo").exists()


@dataclass(frozen=True)
class WorkflowConfig:
    """A workflow: motoko.yaml, checked, with all its studies."""

    path: Path  # of motoko.yaml, absolute, symbolic links not resolved
    directory: Path  # the one that `path` is in
    studies: Mapping[str, StudyConfig]  # at least one, in the order of the file
    aliases: Mapping[str, str]  # each leads, perhaps through others, to a study
    orchestrator: tuple[str, str]  # module and function; whether they exist was not looked at
    generator: str  # one of GENERATORS
    slots: int | None
    batch: BatchSettings
    runtime_dir: Path | None  # absolute; whether it exists was not looked at
    supervision: Supervision
    raw: dict[str, Any]  # the file's content, keys of the user's own included; the caller's to keep
    warnings: tuple[str, ...]  # what is suspicious but no error, one line each


def find(where: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of a workflow's file (symbolic links not resolved), which is there.

    ``where`` is the file, or its directory: by default the current one. Else ``ConfigError``.
    """
    try:
        path = Path(os.path.abspath("." if where is None else where))  # noqa: PTH100 (keeps links)
    except FileNotFoundError as error:
        raise ConfigError("the current directory is gone", hint="cd to the workflow") from error
    if stat.S_ISDIR(mode_of(path)):
        path /= FILE_NAME
    if not stat.S_ISREG(mode := mode_of(path)):
        hint = f"cd to the workflow's directory, or name it; a workflow has a {FILE_NAME}"
        if near := nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")]):
            hint = f"there is a {near}: rename it, or name it in the command"
        problem = "is not a file" if mode else "there is no such file"
        raise ConfigError(f"{path}: {problem}", hint=hint)
    return path


def load(where: str | os.PathLike[str] | None = None) -> WorkflowConfig:
    """Find, read and check a workflow and its studies. Changes nothing, connects to nothing.

    ``where`` is as for :func:`find`. Raises ``ConfigError`` for the first thing that is wrong: it
    names the file and the key, and its hint says what to do.
    """
    path = find(where)
    file = Section(path, path.name, [], read_mapping(path))
    file.warn_unknown(WORKFLOW_KEYS)
    generator = _generator(file, "bash")
    for name in ("bash", "pbs", "sge"):
        file.strings(f"{name}_options")
    policy = _policy(file, Policy())
    hint = "below `task_managers:`, write one indented line `name:` for each study"
    entries = file.mapping("task_managers", hint)
    if not entries:
        raise file.error("task_managers", "is missing or empty", hint)
    studies = {
        name: _study(file, name, entry, policy, generator) for name, entry in entries.items()
    }
    return WorkflowConfig(
        path=path,
        directory=path.parent,
        studies=MappingProxyType(studies),
        aliases=_aliases(file, studies),
        orchestrator=_orchestrator(file),
        generator=generator,
        slots=file.integer("slots", 1),
        batch=batch_settings(file),
        runtime_dir=_runtime_dir(file),
        supervision=supervision(file),
        raw=file.content,
        warnings=tuple(file.warnings),
    )


def _study(file: Section, name: str, value: Any, policy: Policy, generator: str) -> StudyConfig:
    key = f"task_managers.{name}"
    if not _STUDY_NAME.fullmatch(name) or name in RESERVED_NAMES:
        why = f": workflow.{name} is something else" if name in RESERVED_NAMES else ""
        hint = "rename it: a study's name starts with a-z and goes on with a-z, 0-9, _ and -"
        raise file.error(key, f"{name!r} is a name that cannot be a study{why}", hint)
    if value is not None and not isinstance(value, dict):
        hint = f"write `{name}:` alone, or settings such as `host:` indented below it"
        raise file.wrong(key, value, "a mapping, or nothing", hint)
    entry = Section(file.path, file.name, file.warnings, value or {}, f"{key}.")
    entry.warn_unknown(STUDY_KEYS)
    entry.value("insecure_tcp", bool)
    policy = _policy(entry, policy)
    host = _host(entry)
    directory = file.path.parent / name
    if not stat.S_ISDIR(mode := mode_of(directory)):
        near = nearest(name, [folder.name for folder in file.path.parent.glob("*/")])
        hint = f"did you mean {near!r}?" if near else "create the directory, or correct the name"
        problem = "is not a directory" if mode else "there is no such directory"
        raise file.error(key, f"{directory}: {problem}", hint)
    for needed in ("bd.yaml", "launch.sh", *(() if policy.on_exit else ("doIt.py",))):
        file.require_file(key, directory / needed, f"every study has a {needed}: create it")
    path = directory / "bd.yaml"
    bd = Section(path, f"{name}/bd.yaml", file.warnings, read_mapping(path))
    if (study := bd.value("study", str)) != name:
        is_what = "missing" if study is None else repr(study)
        bd.warnings.append(f"{bd.name}: study: is {is_what}, but its directory is {name!r}")
    if bd.value("job", dict) is None:
        raise bd.error("job", "is missing or empty", "name its parameters: `job: {x: float}`")
    config_files = tuple(f for f in dict.fromkeys(bd.strings("config_files")) if f != "doIt.py")
    for needed in config_files:
        bd.require_file("config_files", directory / needed, "create it, or remove it there")
    return StudyConfig(
        name=name,
        directory=directory,
        host=host,
        jobs=_types(bd, "job"),
        runs=_types(bd, "run"),
        job_space=bd.mapping("job_space"),
        run_params=bd.mapping("run_params"),
        config_files=config_files,
        policy=policy,
        generator=_generator(entry, generator),
        settings=MappingProxyType(dict(entry.content)),
    )


def _generator(section: Section, default: str) -> str:
    """What runs are handed to; with ``Coat`` behind, it is BlackDynamite's name for the same."""
    generator: str = section.value("generator", str) or default
    section.choice("generator", generator, (*GENERATORS, *(f"{name}Coat" for name in GENERATORS)))
    return generator.removesuffix("Coat")


def _policy(section: Section, default: Policy) -> Policy:
    try:
        return default.changed(section.content)
    except WrongPolicy as error:
        raise section.wrong(error.name, error.value, error.expected) from None


def _types(bd: Section, section: str) -> Mapping[str, type]:
    types: dict[str, type] = {}
    for name, kind in bd.mapping(section).items():
        bd.choice(f"{section}.{name}", kind, TYPES)
        if name.lower() in types:
            raise bd.error(f"{section}.{name}", "is there twice, but for its case", "rename one")
        types[name.lower()] = TYPES[kind]
    return MappingProxyType(types)


def _host(entry: Section) -> str | None:
    hint = "write zeo:///path/of/the/study, or zeo://name:port"
    host: str | None = entry.value("host", str, hint)
    if host is not None:
        scheme, _, target = host.partition("://")
        tcp = _TCP.fullmatch(target)
        known = 0 < int(tcp[1]) < 65536 if tcp else target[:1] == "/" or ":" not in target
        if scheme != "zeo" or not target or not known:
            raise entry.wrong("host", host, "of the form zeo://...", hint)
    return host


def _aliases(file: Section, studies: Mapping[str, StudyConfig]) -> Mapping[str, str]:
    aliases = file.mapping("aliases")
    for name, target in aliases.items():
        key, chain = f"aliases.{name}", [name]
        if name in studies:
            raise file.error(key, f"{name!r} is a study already", "give the alias another name")
        if name in RESERVED_NAMES:
            file.warnings.append(f"{file.name}: {key}: hidden by workflow.{name}, another thing")
        while not isinstance(target, str) or target not in studies:
            if not isinstance(target, str):
                raise file.wrong(f"aliases.{chain[-1]}", target, "a string", "name a study there")
            if target in chain:
                loop = " -> ".join([*chain, target])
                raise file.error(key, f"goes in a circle: {loop}", "let one of them name a study")
            if target not in aliases:
                near = nearest(target, [*studies, *aliases])
                hint = f"did you mean {near!r}?" if near else f"studies: {', '.join(studies)}"
                raise file.error(key, f"{target!r} is no study and no alias", hint)
            chain.append(target)
            target = aliases[target]
    return aliases


def _orchestrator(file: Section) -> tuple[str, str]:
    hint = "write module.function: orchestrator.main is the function main of orchestrator.py"
    text = file.value("orchestrator", str, hint)
    if text is None:
        raise file.error("orchestrator", "is missing or empty", hint)
    module, _, function = text.partition(".")
    if not module.isidentifier() or not function.isidentifier():
        raise file.wrong("orchestrator", text, "module.function", hint)
    return module, function


def _runtime_dir(file: Section) -> Path | None:
    text = file.value("runtime_dir", str)
    if not text:
        return None
    try:
        path = file.path.parent / Path(text).expanduser()
    except RuntimeError as error:
        raise file.wrong("runtime_dir", text, "a path", "there is no such user") from error
    return Path(os.path.abspath(path))  # noqa: PTH100 (keeps links)
