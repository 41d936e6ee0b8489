"""motoko.yaml and each study's bd.yaml, as typed, validated, frozen values."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from motoko.errors import ConfigError

FILE_NAME = "motoko.yaml"
TYPES: Mapping[str, type] = MappingProxyType(
    {t.__name__: t for t in (int, float, str, bool, list, dict, tuple, complex, bytes)}
)
GENERATORS = ("bash", "slurm", "pbs", "sge")
WORKFLOW_KEYS = frozenset(
    [
        "task_managers",
        "aliases",
        "orchestrator",
        "generator",
        "slots",
        "retries",
        "runtime_dir",
        "supervisor",
    ]
) | {f"{generator}_options" for generator in GENERATORS}
STUDY_KEYS = frozenset(
    [
        "host",
        "retries",
        "insecure_tcp",
        "timeout",
        "nproc",
        "environment",
        "finish",
        "generator",
        "slurm_options",
        "modules",
    ]
)
# Attributes of Workflow, which would hide a study of that name.
RESERVED_NAMES = frozenset(
    [
        "create",
        "start_launcher_daemons",
        "add_action",
        "add_error_handler",
        "execute",
        "get_runs",
        "get_orchestrator_function",
        "orchestrator_script",
        "orchestrator_function",
        "actions",
        "params",
        "vars",
        "is_empty",
        "run_name",
        "finished",
        "directory",
        "config",
        "config_path",
        "task_managers",
        "aliases",
        "on_failure",
    ]
)
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TCP = re.compile(r".+:([0-9]{1,5})")
_NAMES_HINT = "start with a-z; then a-z, 0-9, _ and - (it names a directory as well)"
_KINDS: Mapping[type, str] = MappingProxyType(
    {
        **{dict: "a mapping", list: "a list", str: "a string", int: "an integer"},
        **{float: "a number", bool: "true or false", type(None): "nothing"},
    }
)


@dataclass(frozen=True)
class StudyConfig:
    """One study: its entry in motoko.yaml and its bd.yaml, both checked.

    When :func:`load` returned it, its directory, doIt.py, launch.sh and config files were there.

    Attributes:
        name: the key in ``task_managers``, and the name of its directory.
        directory: absolute.
        host: as written, or ``None``.
        jobs: declared job parameters, lower case, in the order of the file.
        runs: declared run parameters, likewise.
        job_space: defaults of job parameters, as written.
        run_params: defaults of run parameters, as written.
        config_files: files besides doIt.py, relative to ``directory`` unless absolute; each once.
        retries: how often a failed run is tried again.
        settings: the entry in motoko.yaml as it is there.
    """

    name: str
    directory: Path
    host: str | None
    jobs: Mapping[str, type]
    runs: Mapping[str, type]
    job_space: Mapping[str, Any]
    run_params: Mapping[str, Any]
    config_files: tuple[str, ...]
    retries: int
    settings: Mapping[str, Any]

    @property
    def is_local(self) -> bool:
        """Whether the database is the one in ``directory``, reached without TCP.

        So if there is no ``host:``, or if it is a path of that directory, through symbolic links
        or not. A relative path counts from the workflow's directory.
        """
        if self.host is None:
            return True
        target = self.host.removeprefix("zeo://")
        if _TCP.fullmatch(target):
            return False
        return os.path.realpath(self.directory.parent / target) == os.path.realpath(self.directory)

    @property
    def created(self) -> bool:
        """Whether the study has a database here. Looked up at each use."""
        return (self.directory / ".bd" / "bd.zeo").exists()


@dataclass(frozen=True)
class WorkflowConfig:
    """A workflow: motoko.yaml, checked, with all its studies.

    Attributes:
        path: of motoko.yaml, absolute; symbolic links are not resolved.
        directory: the directory of ``path``.
        studies: by name, at least one, in the order of the file.
        aliases: further names; each leads, perhaps through others, to a study.
        orchestrator: module and function. Whether they exist was not looked at.
        generator: ``bash``, ``slurm``, ``pbs`` or ``sge``.
        slots: how many runs may go on at once, or ``None``.
        runtime_dir: absolute, or ``None``. Whether it exists was not looked at.
        raw: the content of the file, keys of the user's own included; belongs to the caller.
        warnings: what is suspicious but no error, one line each.
    """

    path: Path
    directory: Path
    studies: Mapping[str, StudyConfig]
    aliases: Mapping[str, str]
    orchestrator: tuple[str, str]
    generator: str
    slots: int | None
    runtime_dir: Path | None
    raw: dict[str, Any]
    warnings: tuple[str, ...]


def find(where: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of a workflow's file, symbolic links not resolved.

    Args:
        where: the file itself, or its directory; ``None`` is the current directory.

    Raises:
        ConfigError: there is no such file.
    """
    try:
        path = Path(os.path.abspath("." if where is None else where))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{where or FILE_NAME}: the current directory has been deleted",
            hint="cd to the workflow's directory",
        ) from error
    if stat.S_ISDIR(_mode(path)):
        path /= FILE_NAME
    if not stat.S_ISREG(mode := _mode(path)):
        others = [name for name in _names_in(path.parent) if name.endswith((".yaml", ".yml"))]
        hint = f"cd to the workflow's directory, or name it; a workflow has a {FILE_NAME}"
        if near := _near(path.name, others):
            hint = f"there is a {near}: rename it, or name it in the command"
        problem = "is not a file" if mode else "there is no such file"
        raise ConfigError(f"{path}: {problem}", hint=hint)
    return path


def load(where: str | os.PathLike[str] | None = None) -> WorkflowConfig:
    """Find, read and check a workflow and its studies. Changes nothing, connects to nothing.

    Args:
        where: as for :func:`find`.

    Raises:
        ConfigError: what is wrong first, with its file and key, and a hint.
    """
    path = find(where)
    file = _File(path, path.name, [])
    file.warn_unknown(file.content, WORKFLOW_KEYS)
    generator = file.value(file.content, "generator", str) or "bash"
    file.choice("generator", generator, (*GENERATORS, *(f"{name}Coat" for name in GENERATORS)))
    for name in GENERATORS:
        file.strings(f"{name}_options")
    retries = file.integer(file.content, "retries", 0) or 0
    hint = "below `task_managers:`, write one indented line `name:` for each study"
    if file.content.get("task_managers") in (None, {}):
        raise file.error("task_managers", "is missing or empty", hint)
    entries = file.value(file.content, "task_managers", dict, hint)
    studies = {name: _study(file, name, entry, retries) for name, entry in entries.items()}
    return WorkflowConfig(
        path=path,
        directory=path.parent,
        studies=MappingProxyType(studies),
        aliases=_aliases(file, studies),
        orchestrator=_orchestrator(file),
        generator=generator.removesuffix("Coat"),
        slots=file.integer(file.content, "slots", 1),
        runtime_dir=_runtime_dir(file),
        raw=file.content,
        warnings=tuple(file.warnings),
    )


class _File:
    """The mapping in a YAML file, and errors that name the file."""

    def __init__(self, path: Path, short_name: str, warnings: list[str]) -> None:
        self.path, self.short_name, self.warnings = path, short_name, warnings
        self.content = _read(path)

    def error(self, key: str, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {problem}", hint=hint)

    def wrong(self, key: str, value: Any, expected: str, hint: str | None = None) -> ConfigError:
        problem = f"must be {expected}, and is {_found(value)}"
        return self.error(key, problem, hint or f"make {key} {expected}")

    def warn_unknown(self, keys: Iterable[Any], known: Iterable[str], prefix: str = "") -> None:
        for key in keys:
            if key not in known:
                near = _near(key, known)
                also = f" (did you mean {near!r}?)" if near else ""
                self.warnings.append(f"{self.short_name}: {prefix}unknown key {key!r}{also}")

    def value(
        self, where: Mapping[str, Any], key: str, kind: type, hint: str | None = None, at: str = ""
    ) -> Any:
        """The value of a key if it is of that very type, ``None`` if it is absent or null."""
        value = where.get(key)
        if value is not None and type(value) is not kind:
            raise self.wrong(at + key, value, _KINDS[kind], hint)
        return value

    def integer(self, where: Mapping[str, Any], key: str, least: int, at: str = "") -> int | None:
        value: int | None = where.get(key)
        if value is not None and (type(value) is not int or value < least):
            raise self.wrong(at + key, value, f"an integer of at least {least}")
        return value

    def choice(self, key: str, value: Any, choices: Iterable[str]) -> None:
        if value not in tuple(choices):
            near = _near(value, choices)
            hint = f"did you mean {near!r}?" if near else None
            raise self.wrong(key, value, f"one of {', '.join(choices)}", hint)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The mapping at a key, all of whose own keys are strings; empty if absent or null."""
        found = self.value(self.content, key, dict) or {}
        for name in found:
            if not isinstance(name, str):
                hint = "names that YAML takes for something else (yes, no, on, off, 1) need quotes"
                raise self.wrong(f"{key}.{name}", name, "a string", hint)
        return MappingProxyType(found)

    def strings(self, key: str) -> list[str]:
        found: list[str] = self.value(self.content, key, list, f"write `{key}: [...]`") or []
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
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", hint="check the file's permissions"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(
            f"{path}: {place}not valid YAML: {problem}",
            hint="look there and just above: indent with spaces, and quote what is special",
        ) from error
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
        name, line = (item[0].tag, item[0].value), item[0].start_mark.line + 1
        if name in lines:
            raise ConfigError(
                f"{path}: line {line}: {name[1]}: is there twice, first in line {lines[name]}",
                hint="remove or rename one of them: YAML would silently take the last",
            )
        lines[name] = line


def _study(file: _File, name: Any, entry: Any, retries: int) -> StudyConfig:
    key = f"task_managers.{name}"
    if not isinstance(name, str):
        raise file.wrong(key, name, "a string", f"put the name in quotes; {_NAMES_HINT}")
    if not _STUDY_NAME.fullmatch(name) or name in RESERVED_NAMES:
        why = f": workflow.{name} is something else" if name in RESERVED_NAMES else ""
        hint = f"rename the study and its directory: {_NAMES_HINT}"
        raise file.error(key, f"{name!r} is a name that cannot be a study{why}", hint)
    if entry is not None and not isinstance(entry, dict):
        hint = f"write `{name}:` alone, or settings such as `host:` indented below it"
        raise file.wrong(key, entry, "a mapping, or nothing", hint)
    settings = entry or {}
    file.warn_unknown(settings, STUDY_KEYS, f"{key}: ")
    own_retries = file.integer(settings, "retries", 0, f"{key}.")
    file.value(settings, "insecure_tcp", bool, at=f"{key}.")
    host = _host(file, settings, f"{key}.")
    directory = file.path.parent / name
    if not stat.S_ISDIR(mode := _mode(directory)):
        folders = [
            n for n in _names_in(file.path.parent) if stat.S_ISDIR(_mode(file.path.parent / n))
        ]
        near = _near(name, folders)
        hint = f"did you mean {near!r}?" if near else "create the directory, or correct the name"
        problem = "is not a directory" if mode else "there is no such directory"
        raise file.error(key, f"{directory}: {problem}", hint)
    for needed in ("bd.yaml", "doIt.py", "launch.sh"):
        file.require_file(key, directory / needed, f"every study has a {needed}: create it")
    bd = _File(directory / "bd.yaml", f"{name}/bd.yaml", file.warnings)
    study = bd.value(bd.content, "study", str)
    if study != name:
        state = "missing" if study is None else repr(study)
        bd.warnings.append(f"{bd.short_name}: study: is {state}, its directory is {name!r}")
    if bd.content.get("job") is None:
        hint = "declare the job's parameters, e.g. `job: {x: float}`"
        raise bd.error("job", "is missing or empty", hint)
    config_files = tuple(f for f in dict.fromkeys(bd.strings("config_files")) if f != "doIt.py")
    for needed in config_files:
        hint = f"create {needed}, or take it out of {bd.short_name}"
        bd.require_file("config_files", directory / needed, hint)
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
        settings=MappingProxyType(settings),
    )


def _types(bd: _File, section: str) -> Mapping[str, type]:
    types: dict[str, type] = {}
    for name, kind in bd.mapping(section).items():
        bd.choice(f"{section}.{name}", kind, TYPES)
        if name.lower() in types:
            problem = "is there twice: upper and lower case are the same here"
            raise bd.error(f"{section}.{name}", problem, "rename or remove one of them")
        types[name.lower()] = TYPES[kind]
    return MappingProxyType(types)


def _host(file: _File, settings: Mapping[str, Any], at: str) -> str | None:
    hint = "write zeo:///path/of/the/study, or zeo://name:port"
    host: str | None = file.value(settings, "host", str, hint, at)
    if host is not None:
        scheme, _, target = host.partition("://")
        tcp = _TCP.fullmatch(target)
        known = 0 < int(tcp[1]) < 65536 if tcp else target[:1] == "/" or ":" not in target
        if scheme != "zeo" or not target or not known:
            raise file.wrong(f"{at}host", host, "of the form zeo://...", hint)
    return host


def _aliases(file: _File, studies: Mapping[str, StudyConfig]) -> Mapping[str, str]:
    aliases = file.mapping("aliases")
    for name in aliases:
        key, chain = f"aliases.{name}", [name]
        if name in studies:
            raise file.error(key, f"{name!r} is a study already", "give the alias another name")
        if name in RESERVED_NAMES:
            hidden = f"workflow.{name} is something else, which hides the alias"
            file.warnings.append(f"{file.short_name}: {key}: {hidden}")
        while chain[-1] not in studies:
            target = aliases.get(chain[-1])
            if chain[-1] in aliases and not isinstance(target, str):
                raise file.wrong(key, target, "a string", "an alias names a study")
            if target is None:
                near = _near(chain[-1], [*studies, *aliases])
                hint = f"did you mean {near!r}?" if near else f"studies: {', '.join(studies)}"
                raise file.error(key, f"{chain[-1]!r} is no study and no alias", hint)
            if target in chain:
                loop = " -> ".join([*chain, target])
                raise file.error(key, f"goes in a circle: {loop}", "let one of them name a study")
            chain.append(target)
    return aliases


def _orchestrator(file: _File) -> tuple[str, str]:
    hint = "write module.function: orchestrator.main is the function main of orchestrator.py"
    text = file.value(file.content, "orchestrator", str, hint)
    if text is None:
        raise file.error("orchestrator", "is missing or empty", hint)
    module, _, function = text.partition(".")
    if not module.isidentifier() or not function.isidentifier():
        raise file.wrong("orchestrator", text, "module.function", hint)
    return module, function


def _runtime_dir(file: _File) -> Path | None:
    text = file.value(file.content, "runtime_dir", str)
    if text is None:
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = None
    if not text or path is None:
        raise file.wrong("runtime_dir", text, "a directory's path", "~name needs a user's name")
    return Path(os.path.abspath(file.path.parent / path))


def _mode(path: Path) -> int:
    """What a path is, as in ``st_mode``; 0 if there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from error


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _near(name: Any, names: Iterable[str]) -> str | None:
    import difflib  # only wrong names come here

    lower = {other.lower(): other for other in names if other != name}
    found = difflib.get_close_matches(str(name).lower(), lower, 1)
    return lower[found[0]] if found else None


def _found(value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    return f"{text} ({_KINDS.get(type(value), type(value).__name__)})"
