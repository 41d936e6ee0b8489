"""One study: its entry in motoko.yaml and its bd.yaml, as a typed, checked, frozen value."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Struct, field

from motoko.batch import registry
from motoko.config import policy as policies
from motoko.config.bd_defaults import defaults, parameter_content
from motoko.config.database_files import DatabaseFiles
from motoko.config.declared_types import TYPES
from motoko.config.decoding import Hint, OneOf, WrongValue, nearest
from motoko.config.left_out import NOTHING, Without
from motoko.config.policy import Policy
from motoko.config.reserved_names import why_reserved
from motoko.config.result_rules import refuse_clashes
from motoko.config.run_files import DO_IT, LAUNCH, listed_files, name_in_run
from motoko.config.yaml_document import YamlDocument
from motoko.config.yaml_file import YamlFile, mode_of
from motoko.errors import NotCreated, StudyUnavailable
from motoko.host.addresses import is_this_host
from motoko.host.closed_places import remedy

# Attributes of Workflow, which would hide a study of that name.
RESERVED_NAMES = frozenset(
    {"create", "start_launcher_daemons", "add_action", "add_error_handler", "execute", "get_runs"}
    | {"get_orchestrator_function", "orchestrator_script", "orchestrator_function", "actions"}
    | {"params", "vars", "is_empty", "run_name", "finished", "directory", "config", "config_path"}
    | {"task_managers", "aliases", "on_failure", "motoko_engine"}
)
# Attributes that 0.1.4 does not have: a study or an alias of such a name hides them.
GIVING_WAY = frozenset({"close", "progress"})
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_BD_NAME = re.compile(r"\w[\w.-]*")
_TCP = re.compile(r"(.+):([0-9]{1,5})")
_SCHEME = "zeo://"
_HOST_HINT = "write zeo:///path/of/the/study, or zeo://name:port"

_FileNames = Annotated[
    tuple[Annotated[str, Hint("put it in quotes")], ...], Hint("write `{key}: [...]`")
]
Generator = Annotated[str, OneOf(registry.spellings)]
_JOB_HINT = "write a mapping of its parameters' names to types: `job: {x: float}`"
_TypeName = Annotated[Any, OneOf(lambda: TYPES)]


class StudyEntry(Struct, frozen=True):
    """A study's entry in motoko.yaml, without its policies."""

    host: Annotated[str, Hint(_HOST_HINT)] | None = None
    insecure_tcp: bool | None = None  # a setting of 0.1.4, without effect
    generator: Generator | None = None


class ParameterFile(Struct, frozen=True):
    """The part of a bd.yaml that Motoko reads."""

    job: Annotated[Mapping[str, _TypeName], Hint(_JOB_HINT)]
    study: str | None = None
    run: Mapping[str, _TypeName] = field(default_factory=dict)
    job_space: Mapping[str, Any] = field(default_factory=dict)
    run_params: Mapping[str, Any] = field(default_factory=dict)
    config_files: _FileNames = ()


@dataclass(frozen=True)
class StudyConfig:
    """One study: its entry in motoko.yaml and its bd.yaml, both checked.

    When it was loaded, its directory, doIt.py, launch.sh and config files existed.
    """

    name: str  # the key in task_managers, and the name of its directory
    bd_name: str  # what bd.yaml calls it: BlackDynamite's name of the database and of BD-...-runs
    directory: Path  # absolute
    host: str | None  # as written; None if absent
    jobs: Mapping[str, type]  # declared job parameters, lower case, in the order of the file
    runs: Mapping[str, type]  # declared run parameters, in the same way
    job_space: Mapping[str, Any]  # defaults of job parameters, of their types, names as written
    run_params: Mapping[str, Any]  # defaults of run parameters, also undeclared, names as written
    config_files: tuple[str, ...]  # besides doIt.py, each once, as written
    policy: Policy  # how its runs are executed
    generator: str  # what its runs are handed to: see batch.registry
    settings: Mapping[str, Any]  # the entry in motoko.yaml, as written
    # Whether the database is the one in `directory`, served from this host: there is no `host:`, or
    # it is a path of this directory, or a TCP address of this host. Decided when it was loaded.
    is_local: bool = True
    tcp_address: tuple[str, int] | None = None  # the host and port in `host:`, if it has them

    def declared(self, kind: str) -> Mapping[str, type]:
        """The declared parameters of the study's jobs (``"job"``) or of its runs (``"run"``)."""
        return self.jobs if kind == "job" else self.runs

    def check_created(self) -> None:
        """Raise ``NotCreated`` if the study should have a database here and has none."""
        if self.is_local and not self.created:
            raise NotCreated(
                f"study {self.name} has no database yet",
                hint="`motoko create --missing` makes one, and so does `motoko run`",
            )

    @property
    def database(self) -> DatabaseFiles:
        """Where the files of its database are, if it is local."""
        return DatabaseFiles.of(self.directory)

    @property
    def launch_script(self) -> Path:
        """The launch.sh that its runs execute."""
        return self.directory / LAUNCH

    @property
    def files(self) -> dict[str, Path]:
        """The paths of the files that are copied into run directories, by their names there.

        launch.sh is not among them. doIt.py is left out if it may be missing, and is: this is
        looked up at each use.
        """
        files = {name_in_run(text): self.directory / text for text in self.config_files}
        do_it = self.directory / DO_IT
        return files if self.policy.on_exit and not do_it.exists() else {DO_IT: do_it, **files}

    @property
    def contents_directory(self) -> Path | None:
        """The directory of the contents of its runs' large files; ``None`` if not on this host."""
        directory = self.directory if self.is_local else self.host_path
        return None if directory is None else DatabaseFiles.of(directory).contents

    @property
    def host_path(self) -> Path | None:
        """The directory that ``host:`` names; ``None`` if it names none.

        A relative path counts from the workflow's directory.
        """
        if self.host is None or self.tcp_address:
            return None
        return self.directory.parent / self.host.removeprefix(_SCHEME)

    @property
    def is_kept(self) -> bool:
        """Whether a relay keeps the study's clients on this host while its ZEO server is away."""
        return self.is_local and self.tcp_address is None and self.policy.patience_here > 0

    @property
    def created(self) -> bool:
        """Whether the study has a database here. Looked up at each use.

        Raises ``StudyUnavailable`` if this account may not know.
        """
        try:
            return self.database.transactions.exists()
        except PermissionError as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: PermissionError) -> StudyUnavailable:
        """The error that this account may not read the study's database."""
        path = self.database.transactions
        return StudyUnavailable(f"{path} cannot be read: {error.strerror}", hint=remedy(path))


def warn_of_giving_way(file: YamlFile, key: str, name: str) -> None:
    """Warn if a study or an alias hides a method of ``Workflow``."""
    if name in GIVING_WAY:
        file.warn(key, f"hides Motoko's own workflow.{name}()")


def why_no_study(name: str) -> str | None:
    """Why a name cannot be a study's, as the end of the error; ``None`` if it can."""
    if name in RESERVED_NAMES:
        return f": workflow.{name} is something else"
    return None if _STUDY_NAME.fullmatch(name) else ""


def study_config(
    file: YamlFile,
    name: str,
    value: Any,
    default_policy: Policy,
    default_generator: str,
    without: Without = NOTHING,
) -> StudyConfig:
    """A study of a motoko.yaml, checked with its bd.yaml and files.

    ``value`` is its entry in the file; the defaults are the workflow's. Raises ``ConfigError`` for
    the first thing that is wrong.
    """
    key = f"task_managers.{name}"
    if (why := why_no_study(name)) is not None:
        hint = "rename it: a study's name starts with a-z and goes on with a-z, 0-9, _ and -"
        raise file.error(key, f"{name!r} is a name that cannot be a study{why}", hint)
    warn_of_giving_way(file, key, name)
    if value is not None and not isinstance(value, dict):
        hint = f"write `{name}:` alone, or settings such as `host:` indented below it"
        raise file.wrong(key, value, "a mapping, or nothing", hint)
    settings = value or {}
    entry = file.decoded(StudyEntry, settings, key)
    file.warn_unknown(StudyEntry, policies.keys(), settings, key)
    policy = read_policy(file, default_policy, settings, f"{key}.")
    generator = registry.generator(entry.generator or default_generator)
    try:
        policy.refuse_contradictions(generator)
    except WrongValue as wrong:
        raise file.refusal(wrong, f"{key}." if wrong.name in settings else "") from None
    host = _checked_host(file, f"{key}.host", entry.host)
    directory = file.path.parent / name
    _require_files(file, key, directory, policy)
    path = directory / "bd.yaml"
    document = YamlDocument(path)
    content = without.of(path, parameter_content(document))
    bd = YamlFile(path, f"{name}/bd.yaml", content, file.warnings, document.line_of)
    parameters = bd.decoded(ParameterFile, bd.content)
    if parameters.study is None:
        bd.warn("study", f"is missing: it is taken for {name!r}")
    elif not _BD_NAME.fullmatch(parameters.study):
        hint = f"a name goes on with letters, digits, _ . and -: `study: {name}`"
        raise bd.wrong("study", parameters.study, "a name", hint)
    config_files = listed_files(bd, parameters.config_files, directory)
    jobs, runs = _types(bd, "job", parameters.job), _types(bd, "run", parameters.run)
    _refuse_reserved(bd, "run_params", "run", parameters.run_params)
    try:
        refuse_clashes(policy.results, {"job": jobs, "run": runs}, "results")
    except WrongValue as wrong:
        raise file.refusal(wrong, f"{key}." if "results" in settings else "") from None
    run_params = defaults(bd, "run_params", parameters.run_params, runs)
    own = {key.lower(): value for key, value in run_params.items() if key.lower() not in runs}
    try:
        read_policy(bd, policy, own, "run_params.").refuse_contradictions(generator)
    except WrongValue as wrong:
        raise bd.refusal(wrong, "run_params.") from None
    return StudyConfig(
        name=name,
        bd_name=parameters.study or name,
        directory=directory,
        host=host,
        jobs=jobs,
        runs=runs,
        job_space=defaults(bd, "job_space", parameters.job_space, jobs),
        run_params=run_params,
        config_files=config_files,
        policy=policy,
        generator=generator,
        settings=MappingProxyType(dict(settings)),
        is_local=host is None or _is_local(host, directory),
        tcp_address=None if host is None else _tcp_address(host),
    )


def read_policy(file: YamlFile, default: Policy, content: Mapping[str, Any], below: str) -> Policy:
    """The policy ``default`` with the changes that part of a file, below some keys, makes.

    Raises ``ConfigError`` for a value that is not allowed.
    """
    try:
        return default.changed(content)
    except WrongValue as wrong:
        raise file.refusal(wrong, below) from None


def _require_files(file: YamlFile, key: str, directory: Path, policy: Policy) -> None:
    if not stat.S_ISDIR(mode := mode_of(directory)):
        near = nearest(directory.name, [folder.name for folder in file.path.parent.glob("*/")])
        hint = f"did you mean {near!r}?" if near else "create the directory, or correct the name"
        problem = "is not a directory" if mode else "there is no such directory"
        raise file.error(key, f"{directory}: {problem}", hint)
    needed = ("bd.yaml", LAUNCH, *(() if policy.on_exit else (DO_IT,)))
    hints = {directory / name: f"every study has a {name}: create it" for name in needed}
    file.require_files(key, hints)


def _types(bd: YamlFile, section: str, names: Mapping[str, str]) -> Mapping[str, type]:
    types: dict[str, type] = {}
    for name, kind in names.items():
        if name.lower() in types:
            raise bd.error(f"{section}.{name}", "is there twice, but for its case", "rename one")
        types[name.lower()] = TYPES[kind]
    _refuse_reserved(bd, section, section, names)
    return MappingProxyType(types)


def _refuse_reserved(bd: YamlFile, section: str, kind: str, names: Mapping[str, Any]) -> None:
    for name in names:
        if why := why_reserved(kind, name, names):
            problem = f"{name!r} is a name that no {kind} parameter can have: {why}"
            raise bd.error(f"{section}.{name}", problem, "rename it, and where it is used")


def _checked_host(file: YamlFile, key: str, host: str | None) -> str | None:
    if host is not None:
        target = host.removeprefix(_SCHEME)
        tcp = _TCP.fullmatch(target)
        known = 0 < int(tcp[2]) < 65536 if tcp else target[:1] == "/" or ":" not in target
        if not host.startswith(_SCHEME) or not target or not known:
            raise file.wrong(key, host, "of the form zeo://...", _HOST_HINT)
    return host


def _tcp_address(host: str) -> tuple[str, int] | None:
    match = _TCP.fullmatch(host.removeprefix(_SCHEME))
    return (match[1], int(match[2])) if match else None


def _is_local(host: str, directory: Path) -> bool:
    """Whether ``host:`` names this host, or the path of the directory, links resolved.

    A relative path counts from the workflow's directory.
    """
    if address := _tcp_address(host):
        return is_this_host(address[0])
    target = directory.parent / host.removeprefix(_SCHEME)
    return os.path.realpath(target) == os.path.realpath(directory)
