"""Options of sbatch, as users write them: read and merged. Pure logic.

Users write ``time=5``, ``--time=5``, ``-t 5`` or ``exclusive``, in lists, and ``#SBATCH`` lines in
their launch.sh. All of them become long options, so that a later option replaces an earlier one of
the same name, and those that it excludes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from types import MappingProxyType

from motoko.batch.batch_system import JobOptions, Options, WrongOption
from motoko.host.durations import seconds

# sbatch's short options.
_LONG = MappingProxyType(
    {
        **{"A": "account", "a": "array", "b": "begin", "B": "extra-node-info"},
        **{"C": "constraint", "c": "cpus-per-task", "D": "chdir", "d": "dependency"},
        **{"e": "error", "F": "nodefile", "G": "gpus", "H": "hold", "i": "input"},
        **{"J": "job-name", "k": "no-kill", "L": "licenses", "M": "clusters"},
        **{"m": "distribution", "N": "nodes", "n": "ntasks", "O": "overcommit"},
        **{"o": "output", "p": "partition", "q": "qos", "Q": "quiet", "s": "oversubscribe"},
        **{"S": "core-spec", "t": "time", "V": "version", "v": "verbose", "w": "nodelist"},
        **{"W": "wait", "x": "exclude"},
    }
)
_OTHER_NAMES = MappingProxyType({"workdir": "chdir", "share": "oversubscribe"})
# The options of each set exclude or contradict each other: the later one counts.
_ONE_OF: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            ("requeue", "no-requeue"),
            ("mem", "mem-per-cpu", "mem-per-gpu"),
            ("exclusive", "oversubscribe"),
            ("cpus-per-task", "cpus-per-gpu"),
            ("ntasks-per-gpu", "gpus-per-task"),
            ("ntasks-per-gpu", "gpus-per-socket"),
            ("ntasks-per-gpu", "ntasks-per-node"),
            ("ntasks-per-gpu", "ntasks-per-tres"),
            ("core-spec", "thread-spec"),
            ("spread-job", "use-min-nodes"),
            ("hint", "threads-per-core"),
            ("hint", "ntasks-per-core"),
        ),
    )
)
# These options together say how many tasks there are: one of them in a later level of options
# replaces all of them in the earlier one.
_TASKS = frozenset(
    {"ntasks", "ntasks-per-node", "ntasks-per-socket", "ntasks-per-gpu", "ntasks-per-tres"}
)
_NAME = re.compile("[a-z][a-z0-9-]*")
# Options that would break the connection between a run and its job, and why.
REFUSED = MappingProxyType(
    {
        "array": "Motoko makes arrays by itself: create a task for each element",
        "clusters": "jobs are followed on the default cluster only",
        "wait": "the launcher waits for the job itself",
        "wrap": "the job executes launch.sh",
        "version": "it prints a version and submits nothing",
        "help": "it prints a help text and submits nothing",
        "usage": "it prints a help text and submits nothing",
        "test-only": "it submits nothing",
        "uid": "jobs are submitted as the user who supervises",
        "gid": "jobs are submitted as the user who supervises",
    }
)
# Options that Motoko sets itself: those of users are left out.
OWN = frozenset({"job-name", "chdir", "parsable", "quiet", "verbose"})
# With any of these the user has decided how many processors a job takes: `nproc` sets no tasks.
_SIZES = _TASKS | {"cpus-per-task", "nodes", "exclusive", "nodefile", "gpus"}
# Jobs with these options cannot be elements of an array: files are named relative to the job's
# directory, and elements share one; a singleton depends on all jobs of the same name.
_ALONE = frozenset({"output", "error", "input"})
_SINGLETON = "singleton"
OPTION_MAX = 1000  # characters


def read(items: Iterable[str]) -> Options:
    """The options in a list such as ``["time=5", "--mem=1G", "-p debug", "exclusive"]``.

    Raises ``WrongOption`` for a text that is no option, and for options that a run's job cannot
    have.
    """
    options: dict[str, str | None] = {}
    for item in items:
        text = item.strip()
        if not text or len(text) > OPTION_MAX or "\n" in text or "\0" in text:
            raise WrongOption(f"{item[:80]!r} is no option such as time=5 or --mem=1G")
        if not text.startswith("-"):
            short = len(re.split("[ =]", text, maxsplit=1)[0]) == 1
            text = f"-{text}" if short else f"--{text}"
        options = _added(options, _parse(_words(text, item)))
    return options


def directives(script: str, prefix: str = "#SBATCH") -> Options:
    """The options on the directive lines of a script, above its first command."""
    options: dict[str, str | None] = {}
    for line in script.splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            break
        if line.startswith(prefix) and line[len(prefix) :][:1].isspace():
            options = _added(options, _parse(_words(line[len(prefix) :], line)))
    return options


def merge(earlier: Options, later: Options) -> dict[str, str | None]:
    """Both levels of options; each one in ``later`` replaces what it excludes in ``earlier``."""
    if _TASKS & later.keys():
        earlier = {name: value for name, value in earlier.items() if name not in _TASKS}
    return _added(earlier, later)


def _added(earlier: Options, later: Options) -> dict[str, str | None]:
    """Both parts of one level of options; a later option replaces those that it excludes."""
    merged = dict(earlier)
    for name, value in later.items():
        for rivals in _ONE_OF:
            if name in rivals:
                for rival in rivals - {name}:
                    merged.pop(rival, None)
        merged[name] = value
    return merged


def job_options(script: str, chosen: Options, tasks: int) -> JobOptions:
    """A job's options: see :class:`motoko.batch.batch_system.BatchSystem`."""
    options = of_job(script, chosen, tasks)
    is_alone = bool(_ALONE & options.keys()) or _SINGLETON in (options.get("dependency") or "")
    return JobOptions(
        *(arguments(options), "output" in options, "error" in options, is_alone),
        limit=_time(options.get("time") or ""),
    )


def _time(text: str) -> float | None:
    """A time limit in seconds; ``None`` if it is none. A number alone means minutes."""
    try:
        limit = float(text) * 60 if text.isdigit() else seconds(text)
    except ValueError:  # UNLIMITED, or what sbatch will refuse
        return None
    return limit or None


def of_job(script: str, chosen: Options, tasks: int) -> Options:
    """A job's options: those of its launch.sh, overridden by those that were chosen elsewhere."""
    options = merge(merge({"no-requeue": None}, directives(script)), chosen)
    if tasks > 1 and not _SIZES & options.keys():
        options["ntasks"] = str(tasks)
    return {name: value for name, value in options.items() if name not in OWN}


def arguments(options: Options) -> list[str]:
    """The options as arguments of a command."""
    return [
        f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()
    ]


def _words(text: str, item: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise WrongOption(f"{item.strip()!r}: {error}") from None


def _parse(words: list[str]) -> dict[str, str | None]:
    """Options from words; a word that does not begin with a dash is the value of the one before."""
    options: dict[str, str | None] = {}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        value: str | None
        if word.startswith("--"):
            name, equals, rest = word[2:].partition("=")
            value = rest if equals else None
        elif word.startswith("-") and len(word) > 1:
            short = _LONG.get(word[1])
            if short is None:
                raise WrongOption(f"{word!r} is no option of sbatch")
            name, value = short, word[2:].removeprefix("=") or None
        else:
            raise WrongOption(f"{word!r} is no option such as --time=5")
        if value is None and position < len(words) and not words[position].startswith("-"):
            value = words[position]
            position += 1
        name = _OTHER_NAMES.get(name, name)
        if not _NAME.fullmatch(name):
            raise WrongOption(f"{word!r} is no option such as --time=5")
        if name in REFUSED:
            raise WrongOption(f"{name} cannot be used: {REFUSED[name]}")
        options = _added(options, {name: value})
    return options
