"""How daemons are looked after: ``supervisor:`` of motoko.yaml, and its defaults.

The one place for these figures: the restart policy, the watchdog, the order and the deadlines of
stopping, and the sizes of logs are taken from here.
"""

from __future__ import annotations

import dataclasses
import math
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from motoko.timing import HEARTBEAT_S
from motoko.yaml_file import Section, nearest

T = TypeVar("T")

KINDS = ("zeo", "bus", "watcher", "launcher")
# When a detached orchestrator that has died is started again.
RESTARTS = ("on-kill", "on-failure", "never")
ORCHESTRATOR_STOP_S = 5.0
MB = 1_000_000
# Less than two heartbeats and a half would be a busy machine's silence.
SILENCE_LEAST_S = 2.5 * HEARTBEAT_S
# Before its first line of Python a daemon takes more than this.
MAX_RSS_LEAST = 10 * MB
LOG_SIZE_LEAST = 1000
# What ending a group takes beyond its deadline, if it has to be killed.
KILL_DEADLINE_S = 5.0
_UNITS = MappingProxyType({"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12})
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(KB|MB|GB|TB)")


@dataclass(frozen=True)
class StopGroup:
    """How the daemons of one kind are told to end, and how long they have for it."""

    kind: str
    signal: int
    deadline: float


def _each(value: T) -> Mapping[str, T]:
    return MappingProxyType(dict.fromkeys(KINDS, value))


@dataclass(frozen=True)
class Supervision:
    """The settings of a workflow's supervisor. Times in seconds, sizes in bytes."""

    nice: Mapping[str, int] = field(default_factory=lambda: _each(0))  # by kind
    max_rss: Mapping[str, int | None] = field(default_factory=lambda: _each(None))  # by kind
    log_size: int = 5 * MB  # a longer log is continued in a fresh file
    log_files: int = 3  # how many of the earlier files are kept
    attempts: int = 5  # deaths in a row before readiness, then a daemon is given up
    backoff_min: float = 0.5
    backoff_max: float = 30.0
    start_timeout: float = 30.0  # from its start until a daemon is ready, or has said something
    silence: float = 10.0  # without a heartbeat or an answer a daemon counts as hung
    stop_timeout: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({**_each(5.0), "launcher": 15.0})
    )  # by kind
    restart: str = RESTARTS[0]  # of detached orchestrators

    @property
    def stop_order(self) -> tuple[StopGroup, ...]:
        """In which order the kinds end when all is stopped: the reverse of who needs whom.

        SIGUSR1 tells a launcher to end its local runs and to mark them FAILED, which takes the
        databases and the bus. At SIGTERM it leaves them to its successor. It tells an orchestrator
        that the workflow is being stopped.
        """
        return (
            StopGroup("orchestrator", signal.SIGUSR1, ORCHESTRATOR_STOP_S),
            StopGroup("launcher", signal.SIGUSR1, self.stop_timeout["launcher"]),
            *self.leave_order[2:],
        )

    @property
    def leave_order(self) -> tuple[StopGroup, ...]:
        """The same for daemons that are to come back: runs go on, for the next launcher."""
        return (
            StopGroup("orchestrator", signal.SIGTERM, ORCHESTRATOR_STOP_S),
            *(
                StopGroup(kind, signal.SIGTERM, self.stop_timeout[kind])
                for kind in ("launcher", "watcher", "zeo", "bus")
            ),
        )

    @property
    def stopped_s(self) -> float:
        """How long it may take until all have ended."""
        groups = self.stop_order
        return sum(each.deadline for each in groups) + (len(groups) - 1) * KILL_DEADLINE_S

    @property
    def started_s(self) -> float:
        """How long a command waits for all daemons to be ready: two, one after the other."""
        return max(60.0, 2 * self.start_timeout)


def supervision(file: Section) -> Supervision:
    """The settings in a motoko.yaml; ``ConfigError`` for the first that is wrong."""
    section = file.section("supervisor", "write settings such as `nice: 10` indented below it")
    section.warn_unknown([each.name for each in dataclasses.fields(Supervision)])
    default = Supervision()
    least = _seconds(section, "backoff_min", 0.1) or default.backoff_min
    most = _seconds(section, "backoff_max", least)
    return Supervision(
        nice=_by_kind(section, "nice", default.nice, _nice),
        max_rss=_by_kind(section, "max_rss", default.max_rss, _max_rss),
        log_size=_size(section, "log_size", LOG_SIZE_LEAST) or default.log_size,
        log_files=section.integer("log_files", 1) or default.log_files,
        attempts=section.integer("attempts", 1) or default.attempts,
        backoff_min=least,
        backoff_max=max(least, default.backoff_max) if most is None else most,
        start_timeout=_seconds(section, "start_timeout", 1.0) or default.start_timeout,
        silence=_seconds(section, "silence", SILENCE_LEAST_S) or default.silence,
        stop_timeout=_by_kind(
            section, "stop_timeout", default.stop_timeout, lambda s, key: _seconds(s, key, 1.0)
        ),
        restart=_restart(section) or default.restart,
    )


def _by_kind(
    section: Section, key: str, default: Mapping[str, T], read: Callable[[Section, str], T | None]
) -> Mapping[str, T]:
    """One value for all daemons, or a mapping with values for some kinds of them."""
    if not isinstance(section.content.get(key), dict):
        value = read(section, key)
        return default if value is None else _each(value)
    kinds = section.section(key, "")
    for kind in kinds.content:
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            hint = f"did you mean {near!r}?" if near else f"the kinds are {', '.join(KINDS)}"
            raise kinds.error(kind, "is no kind of daemon", hint)
    found = {kind: read(kinds, kind) for kind in kinds.content}
    return MappingProxyType({**default, **{k: v for k, v in found.items() if v is not None}})


def _restart(section: Section) -> str | None:
    value: str | None = section.value("restart", str)
    if value is not None:
        section.choice("restart", value, RESTARTS)
    return value


def _nice(section: Section, key: str) -> int | None:
    value: int | None = section.content.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= 19):
        hint = "0 is as usual, 19 is the least urgent"
        raise section.wrong(key, value, "an integer from 0 to 19", hint)
    return value


def _max_rss(section: Section, key: str) -> int | None:
    return _size(section, key, MAX_RSS_LEAST)


def _seconds(section: Section, key: str, least: float) -> float | None:
    value = section.number(key, least)
    if value is not None and math.isinf(value):
        raise section.wrong(key, value, "a finite number")
    return value


def _size(section: Section, key: str, least: int) -> int | None:
    """A size such as ``500MB``, in bytes."""
    value: Any = section.content.get(key)
    if value is None:
        return None
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise section.wrong(key, value, "a size such as 500MB", "write a number with KB, MB or GB")
    size = round(float(match[1]) * _UNITS[match[2]])
    if size < least:
        what = f"{least // MB}MB" if least >= MB else f"{least // 1000}KB"
        raise section.wrong(key, value, f"a size of at least {what}")
    return size
