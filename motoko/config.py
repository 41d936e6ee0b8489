"""motoko.yaml and each study's bd.yaml, as typed, validated, frozen values."""

from __future__ import annotations

import keyword
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
    "task_managers aliases orchestrator generator slots retries runtime_dir supervisor".split()
) | {f"{generator}_options" for generator in GENERATORS}
STUDY_KEYS = frozenset(
    "host retries insecure_tcp timeout nproc environment finish generator slurm_options"
    " modules".split()
)
# Attributes of Workflow, which would hide a study of that name.
RESERVED_NAMES = frozenset(
    "create start_launcher_daemons add_action add_error_handler execute get_runs"
    " get_orchestrator_function orchestrator_script orchestrator_function actions params vars"
    " is_empty run_name finished directory config config_path task_managers aliases"
    " on_failure".split()
)
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_-]*")
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
        if _tcp_port(target) is not None:
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
    if not _mode(path):
        directory = path.parent
        others = [name for name in _names_in(directory) if name.endswith((".yaml", ".yml"))]
        above = next((p for p in directory.parents if _mode(p / FILE_NAME)), None)
        if near := _near(path.name, others):
            hint = f"there is a {near}: rename it, or name it in the command"
        elif path.name == FILE_NAME and above is not None:
            hint = f"there is one in {above}: cd there, or name that directory in the command"
        else:
            hint = f"cd to the workflow's directory, or name it; a workflow has a {FILE_NAME}"
        raise ConfigError(f"{path}: there is no such file", hint=hint)
    return path


def load(where: str | os.PathLike[str] | None = None) -> WorkflowConfig:
    """Find, read and check a workflow and its studies. Changes nothing, connects to nothing.

    Args:
        where: as for :func:`find`.

    Raises:
        ConfigError: what is wrong first, with its file and key, and a hint.
    """
    path = find(where)
    directory = path.parent
    file = _File(path, path.name)
    raw = file.content
    file.warn_unknown(raw, WORKFLOW_KEYS)
    generator = _generator(file)
    for key in (f"{name}_options" for name in GENERATORS):
        file.strings(key)
    slots = file.integer(raw, "slots", 1)
    retries = file.integer(raw, "retries", 0) or 0
    runtime_dir = _runtime_dir(file)
    orchestrator = _orchestrator(file)
    if raw.get("task_managers") is None:
        state = "is empty" if "task_managers" in raw else "is missing"
        raise file.error("task_managers", state, _managers_hint([]))
    entries = file.value(raw, "task_managers", dict, _managers_hint(raw["task_managers"]))
    if not entries:
        raise file.error("task_managers", "is empty: {}", _managers_hint([]))
    studies = {name: _study(file, name, entry, retries) for name, entry in entries.items()}
    return WorkflowConfig(
        path=path,
        directory=directory,
        studies=MappingProxyType(studies),
        aliases=_aliases(file, studies),
        orchestrator=orchestrator,
        generator=generator,
        slots=slots,
        runtime_dir=runtime_dir,
        raw=raw,
        warnings=tuple(file.warnings),
    )


class _File:
    """The mapping in a YAML file, and errors that name the file."""

    def __init__(self, path: Path, short_name: str, warnings: list[str] | None = None) -> None:
        self.path = path
        self.short_name = short_name
        self.warnings: list[str] = [] if warnings is None else warnings
        self.content = _read(path)

    def error(self, key: str, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {problem}", hint=hint)

    def wrong(self, key: str, value: Any, expected: str, hint: str | None = None) -> ConfigError:
        found = _KINDS.get(type(value), f"a {type(value).__name__}")
        problem = f"must be {expected}, and is {_short(value)} ({found})"
        return self.error(key, problem, hint or f"make {key} {expected}")

    def warn(self, text: str) -> None:
        self.warnings.append(f"{self.short_name}: {text}")

    def warn_unknown(self, keys: Iterable[Any], known: Iterable[str], prefix: str = "") -> None:
        for key in keys:
            if key not in known:
                self.warn(f"{prefix}unknown key {_short(key)}{_did_you_mean(key, known)}")

    def value(
        self, where: Mapping[str, Any], key: str, kind: type, hint: str | None = None, at: str = ""
    ) -> Any:
        """The value of a key if it is of that very type, ``None`` if it is absent or null."""
        value = where.get(key)
        if value is not None and type(value) is not kind:
            raise self.wrong(at + key, value, _KINDS[kind], hint)
        return value

    def integer(
        self, where: Mapping[str, Any], key: str, least: int, at: str = ""
    ) -> int | None:
        value = where.get(key)
        if value is not None and (type(value) is not int or value < least):
            raise self.wrong(at + key, value, f"an integer of at least {least}")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The mapping at a key, all of whose own keys are strings; empty if absent or null."""
        found = self.value(self.content, key, dict) or {}
        for name in found:
            if not isinstance(name, str):
                hint = "a name that YAML reads as something else (yes, no, on, 1) needs quotes"
                raise self.wrong(f"{key}.{name}", name, "a string", hint)
        return MappingProxyType(found)

    def strings(self, key: str) -> list[str]:
        found: list[str] = self.value(self.content, key, list, f"write it as `{key}: [...]`") or []
        for position, item in enumerate(found):
            if not isinstance(item, str):
                raise self.wrong(f"{key}[{position}]", item, "a string", "put it in quotes")
        return found


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a key that is there twice is an error."""
    import yaml

    try:
        data = path.read_bytes()
    except OSError as error:
        kind = "a directory" if isinstance(error, IsADirectoryError) else error.strerror
        raise ConfigError(
            f"{path}: cannot be read: {kind}", hint=f"make it a file that you may read: {path}"
        ) from error
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(data)
        try:
            node = loader.get_single_node()
            _refuse_duplicates(path, node)
            content = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(
            f"{path}: {place}not valid YAML: {problem}",
            hint="look there and just above: indent with spaces, and quote what is special",
        ) from error
    if content is None:
        raise ConfigError(f"{path}: is empty", hint="write `key: value` lines into it")
    if not isinstance(content, dict):
        found = _KINDS.get(type(content), type(content).__name__)
        raise ConfigError(
            f"{path}: must hold a mapping, and holds {_short(content)} ({found})",
            hint="write `key: value` lines",
        )
    return content


def _refuse_duplicates(path: Path, root: Any) -> None:
    # On the nodes, before merge keys (`<<`) are resolved: overriding a merged key is no duplicate.
    seen, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen or isinstance(node.value, str):
            continue
        seen.add(id(node))
        if node.id == "sequence":
            stack.extend(node.value)
            continue
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            stack += (key, value)
            if not isinstance(key.value, str):
                continue
            line = key.start_mark.line + 1
            first = lines.setdefault((key.tag, key.value), line)
            if first != line or (key.tag, key.value) in seen:
                raise ConfigError(
                    f"{path}: line {line}: the key {key.value!r} is there twice, first in line"
                    f" {first}",
                    hint="remove or rename one: YAML would silently take the last",
                )


def _study(file: _File, name: Any, entry: Any, retries: int) -> StudyConfig:
    key = f"task_managers.{name}"
    if not isinstance(name, str):
        raise file.wrong(key, name, "a string", f"quote the name, or choose another: {_NAMES_HINT}")
    if not _STUDY_NAME.fullmatch(name):
        raise file.error(key, f"{_short(name)} is a name that cannot be a study", _NAMES_HINT)
    if name in RESERVED_NAMES:
        problem = f"{name!r} is a name that cannot be a study: workflow.{name} is something else"
        raise file.error(key, problem, "rename the study and its directory")
    if entry is not None and not isinstance(entry, dict):
        hint = f"write `{name}:` alone, or settings such as `host:` indented below it"
        raise file.wrong(key, entry, "a mapping, or nothing", hint)
    settings = entry or {}
    file.warn_unknown(settings, STUDY_KEYS, f"{key}: ")
    own_retries = file.integer(settings, "retries", 0, f"{key}.")
    file.value(settings, "insecure_tcp", bool, None, f"{key}.")
    host = _host(file, settings, key)
    directory = file.path.parent / name
    if not stat.S_ISDIR(_mode(directory)):
        found = "is not a directory" if _mode(directory) else "there is no such directory"
        folders = [n for n in _names_in(file.path.parent) if (file.path.parent / n).is_dir()]
        problem = f"{directory}: {found}{_did_you_mean(name, folders)}"
        raise file.error(key, problem, "create the study's directory, or correct the name")
    where = directory / "bd.yaml"
    if not _mode(where):
        raise file.error(key, f"{where}: there is no such file", "a study describes its jobs there")
    bd = _File(where, f"{name}/bd.yaml", file.warnings)
    study = bd.value(bd.content, "study", str)
    if study != name:
        state = "is missing" if study is None else f"is {study!r}"
        bd.warn(f"study: {state}, and the study's directory is {name!r}")
    if bd.content.get("job") is None:
        raise bd.error("job", "is missing", "declare the job parameters: `job:`, then `x: float`")
    jobs, runs = _types(bd, "job"), _types(bd, "run")
    job_space, run_params = bd.mapping("job_space"), bd.mapping("run_params")
    config_files = tuple(f for f in dict.fromkeys(bd.strings("config_files")) if f != "doIt.py")
    for needed in ("doIt.py", "launch.sh", *config_files):
        if not stat.S_ISREG(_mode(directory / needed)):
            found = "is not a file" if _mode(directory / needed) else "there is no such file"
            problem = f"{directory / needed}: {found}"
            if needed in config_files:
                raise bd.error("config_files", problem, f"create {needed}, or take it out there")
            raise file.error(key, problem, "every study has a doIt.py and a launch.sh")
    return StudyConfig(
        name=name,
        directory=directory,
        host=host,
        jobs=jobs,
        runs=runs,
        job_space=job_space,
        run_params=run_params,
        config_files=config_files,
        retries=retries if own_retries is None else own_retries,
        settings=MappingProxyType(settings),
    )
