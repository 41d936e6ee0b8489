"""motoko.yaml and each study's bd.yaml, as typed, validated, frozen values."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from motoko.errors import ConfigError

FILE_NAME = "motoko.yaml"
GENERATORS = ("bash", "slurm", "pbs", "sge")
TYPES: Mapping[str, type] = MappingProxyType(
    {t.__name__: t for t in (int, float, str, bool, list, dict, tuple, complex, bytes)}
)
WORKFLOW_KEYS = frozenset(
    {"task_managers", "aliases", "orchestrator", "slots", "retries", "runtime_dir", "supervisor"}
    | {"generator", "bash_options", "slurm_options", "pbs_options", "sge_options"}
)
STUDY_KEYS = frozenset(
    {"host", "retries", "insecure_tcp", "timeout", "nproc", "environment", "finish"}
    | {"generator", "slurm_options", "modules"}
)
# Attributes of Workflow, which would hide a study of that name.
RESERVED_NAMES = frozenset(
    {"create", "start_launcher_daemons", "add_action", "add_error_handler", "execute", "get_runs"}
    | {"get_orchestrator_function", "orchestrator_script", "orchestrator_function", "actions"}
    | {"params", "vars", "is_empty", "run_name", "finished", "directory", "config", "config_path"}
    | {"task_managers", "aliases", "on_failure"}
)
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TCP = re.compile(r".+:([0-9]{1,5})")
_KINDS: Mapping[type, str] = MappingProxyType(
    {dict: "a mapping", list: "a list", str: "a string", int: "an integer"}
    | {float: "a number", bool: "true or false", type(None): "nothing"}
)


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
    retries: int  # how often a failed run is tried again
    settings: Mapping[str, Any]  # the entry in motoko.yaml, as it is there

    @property
    def is_local(self) -> bool:
        """Whether the database is the one in ``directory``, reached without TCP.

        So without a ``host:``, or if that is a path of this directory, links resolved. A relative
        path counts from the workflow's directory.
        """
        if self.host is None:
            return True
        target = self.host.removeprefix("zeo://")
        if self.tcp_address:
            return False
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
    runtime_dir: Path | None  # absolute; whether it exists was not looked at
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
    if stat.S_ISDIR(_mode(path)):
        path /= FILE_NAME
    if not stat.S_ISREG(mode := _mode(path)):
        hint = f"cd to the workflow's directory, or name it; a workflow has a {FILE_NAME}"
        if near := _near(path.name, [other.name for other in path.parent.glob("*.y*ml")]):
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
    file = _Section(path, path.name, [], _read(path))
    file.warn_unknown(WORKFLOW_KEYS)
    generator = file.value("generator", str) or "bash"
    file.choice("generator", generator, (*GENERATORS, *(f"{name}Coat" for name in GENERATORS)))
    for name in GENERATORS:
        file.strings(f"{name}_options")
    retries = file.integer("retries", 0) or 0
    hint = "below `task_managers:`, write one indented line `name:` for each study"
    entries = file.mapping("task_managers", hint)
    if not entries:
        raise file.error("task_managers", "is missing or empty", hint)
    studies = {name: _study(file, name, entry, retries) for name, entry in entries.items()}
    return WorkflowConfig(
        path=path,
        directory=path.parent,
        studies=MappingProxyType(studies),
        aliases=_aliases(file, studies),
        orchestrator=_orchestrator(file),
        generator=generator.removesuffix("Coat"),
        slots=file.integer("slots", 1),
        runtime_dir=_runtime_dir(file),
        raw=file.content,
        warnings=tuple(file.warnings),
    )


@dataclass(frozen=True)
class _Section:
    """A mapping in a YAML file, and the errors about it."""

    path: Path
    name: str  # the file's, in warnings
    warnings: list[str]
    content: dict[str, Any]
    at: str = ""  # precedes keys in messages

    def error(self, key: str, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"{self.path}: {self.at}{key}: {problem}", hint=hint)

    def wrong(self, key: str, value: Any, expected: str, hint: str | None = None) -> ConfigError:
        problem = f"must be {expected}, and is {_found(value)}"
        return self.error(key, problem, hint or f"make {key} {expected}")

    def warn_unknown(self, known: Collection[str]) -> None:
        for key in self.content:
            if key not in known:
                near = _near(key, known, 0.65)  # 0.6 takes temperature for generator
                text = f"unknown key {key!r}" + (f" (did you mean {near!r}?)" if near else "")
                self.warnings.append(": ".join(filter(None, (self.name, self.at[:-1], text))))

    def value(self, key: str, kind: type, hint: str | None = None) -> Any:
        """The value of a key if it is of that very type, ``None`` if it is absent or null."""
        value = self.content.get(key)
        if value is not None and type(value) is not kind:
            raise self.wrong(key, value, _KINDS[kind], hint)
        return value

    def integer(self, key: str, least: int) -> int | None:
        value: int | None = self.content.get(key)
        if value is not None and (type(value) is not int or value < least):
            raise self.wrong(key, value, f"an integer of at least {least}")
        return value

    def choice(self, key: str, value: Any, choices: Collection[str]) -> None:
        if not isinstance(value, str) or value not in choices:
            near = _near(value, choices)
            hint = f"did you mean {near!r}?" if near else None
            raise self.wrong(key, value, f"one of {', '.join(choices)}", hint)

    def mapping(self, key: str, hint: str | None = None) -> Mapping[str, Any]:
        """The mapping at a key, all of whose own keys are strings; empty if absent or null."""
        found = self.value(key, dict, hint) or {}
        for name in found:
            if not isinstance(name, str):
                hint = "names that YAML takes for something else (yes, no, on, off, 1) need quotes"
                raise self.wrong(f"{key}.{name}", name, "a string", hint)
        return MappingProxyType(dict(found))

    def strings(self, key: str) -> list[str]:
        found: list[str] = self.value(key, list, f"write `{key}: [...]`") or []
        for position, item in enumerate(found):
            if not isinstance(item, str):
                raise self.wrong(f"{key}[{position}]", item, "a string", "put it in quotes")
        return found

    def require_file(self, key: str, path: Path, hint: str) -> None:
        if not stat.S_ISREG(mode := _mode(path)):
            problem = "is not a file" if mode else "there is no such file"
            raise self.error(key, f"{path}: {problem}", hint)


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a key that is there twice is an error."""
    import yaml  # here, since not every command reads a workflow

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_bytes())
        node = loader.get_single_node()
        _refuse_duplicates(path, node, set())
        content = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        hint = "look there and just above: indent with spaces, and quote what is special"
        raise ConfigError(f"{path}: {place}not valid YAML: {problem}", hint=hint) from error
    if not isinstance(content, dict):
        problem = "is empty" if content is None else f"must be a mapping, and is {_found(content)}"
        raise ConfigError(f"{path}: {problem}", hint="write `key: value` lines into it")
    return content


def _refuse_duplicates(path: Path, node: Any, seen: set[int]) -> None:
    """Raise for a key that is twice in a mapping; overriding a merged one (``<<``) is fine."""
    if node is None or id(node) in seen or isinstance(node.value, str):
        return
    seen.add(id(node))
    lines: dict[tuple[str, str], int] = {}
    for item in node.value:
        for child in item if isinstance(item, tuple) else (item,):
            _refuse_duplicates(path, child, seen)
        if not isinstance(item, tuple) or not isinstance(item[0].value, str):
            continue
        key, line = (item[0].tag, item[0].value), item[0].start_mark.line + 1
        if key in lines:
            problem = f"line {line}: {key[1]}: is there twice, first in line {lines[key]}"
            hint = "remove or rename one of them: YAML would silently take the last"
            raise ConfigError(f"{path}: {problem}", hint=hint)
        lines[key] = line


def _study(file: _Section, name: str, value: Any, retries: int) -> StudyConfig:
    key = f"task_managers.{name}"
    if not _STUDY_NAME.fullmatch(name) or name in RESERVED_NAMES:
        why = f": workflow.{name} is something else" if name in RESERVED_NAMES else ""
        hint = "rename it: a study's name starts with a-z and goes on with a-z, 0-9, _ and -"
        raise file.error(key, f"{name!r} is a name that cannot be a study{why}", hint)
    if value is not None and not isinstance(value, dict):
        hint = f"write `{name}:` alone, or settings such as `host:` indented below it"
        raise file.wrong(key, value, "a mapping, or nothing", hint)
    entry = _Section(file.path, file.name, file.warnings, value or {}, f"{key}.")
    entry.warn_unknown(STUDY_KEYS)
    entry.value("insecure_tcp", bool)
    own_retries = entry.integer("retries", 0)
    host = _host(entry)
    directory = file.path.parent / name
    if not stat.S_ISDIR(mode := _mode(directory)):
        near = _near(name, [folder.name for folder in file.path.parent.glob("*/")])
        hint = f"did you mean {near!r}?" if near else "create the directory, or correct the name"
        problem = "is not a directory" if mode else "there is no such directory"
        raise file.error(key, f"{directory}: {problem}", hint)
    for needed in ("bd.yaml", "doIt.py", "launch.sh"):
        file.require_file(key, directory / needed, f"every study has a {needed}: create it")
    path = directory / "bd.yaml"
    bd = _Section(path, f"{name}/bd.yaml", file.warnings, _read(path))
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
        retries=retries if own_retries is None else own_retries,
        settings=MappingProxyType(dict(entry.content)),
    )


def _types(bd: _Section, section: str) -> Mapping[str, type]:
    types: dict[str, type] = {}
    for name, kind in bd.mapping(section).items():
        bd.choice(f"{section}.{name}", kind, TYPES)
        if name.lower() in types:
            raise bd.error(f"{section}.{name}", "is there twice, but for its case", "rename one")
        types[name.lower()] = TYPES[kind]
    return MappingProxyType(types)


def _host(entry: _Section) -> str | None:
    hint = "write zeo:///path/of/the/study, or zeo://name:port"
    host: str | None = entry.value("host", str, hint)
    if host is not None:
        scheme, _, target = host.partition("://")
        tcp = _TCP.fullmatch(target)
        known = 0 < int(tcp[1]) < 65536 if tcp else target[:1] == "/" or ":" not in target
        if scheme != "zeo" or not target or not known:
            raise entry.wrong("host", host, "of the form zeo://...", hint)
    return host


def _aliases(file: _Section, studies: Mapping[str, StudyConfig]) -> Mapping[str, str]:
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
                near = _near(target, [*studies, *aliases])
                hint = f"did you mean {near!r}?" if near else f"studies: {', '.join(studies)}"
                raise file.error(key, f"{target!r} is no study and no alias", hint)
            chain.append(target)
            target = aliases[target]
    return aliases


def _orchestrator(file: _Section) -> tuple[str, str]:
    hint = "write module.function: orchestrator.main is the function main of orchestrator.py"
    text = file.value("orchestrator", str, hint)
    if text is None:
        raise file.error("orchestrator", "is missing or empty", hint)
    module, _, function = text.partition(".")
    if not module.isidentifier() or not function.isidentifier():
        raise file.wrong("orchestrator", text, "module.function", hint)
    return module, function


def _runtime_dir(file: _Section) -> Path | None:
    text = file.value("runtime_dir", str)
    if not text:
        return None
    try:
        path = file.path.parent / Path(text).expanduser()
    except RuntimeError as error:
        raise file.wrong("runtime_dir", text, "a path", "there is no such user") from error
    return Path(os.path.abspath(path))  # noqa: PTH100 (keeps links)


def _mode(path: Path) -> int:
    """What a path is, as in ``st_mode``; 0 if there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: cannot be read: {error.strerror}", hint="check its permissions")


def _near(name: Any, names: Collection[str], cutoff: float = 0.6) -> str | None:
    import difflib  # only wrong names come here

    lower = {other.lower(): other for other in names if other != name}
    found = difflib.get_close_matches(str(name).lower(), lower, 1, cutoff)
    return lower[found[0]] if found else None


def _found(value: Any) -> str:
    text, kind = repr(value), _KINDS.get(type(value), type(value).__name__)
    return f"{text[:80]}{'...' if len(text) > 80 else ''} ({kind})"
