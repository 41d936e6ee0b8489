"""What has happened to a workflow since it was last looked at. Pure logic.

Everything is told from states, not from messages: a notifier that did not run for a while finds
what has happened meanwhile, and tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from motoko.config.notices import DISK, ENDED, FAILED, FINISHED, GIVEN_UP, STALLED, Notices
from motoko.host.durations import counted, duration
from motoko.host.sizes import megabytes
from motoko.runs.states import FAILED_STATES

FAILURES = 5  # runs that are named at once
SETTLE_S = 5.0  # so long nothing must have run: the next runs may be about to be created


@dataclass(frozen=True)
class StudySeen:
    """The runs of one study.

    Attributes:
        active: how many wait or run; failed, finished: how many have failed or finished.
        failures: of the last failed runs the numbers, and a line for each.
    """

    active: int = 0
    failed: int = 0
    finished: int = 0
    failures: tuple[tuple[int, str], ...] = ()

    @property
    def failed_runs(self) -> list[int]:
        """The numbers of the last failed runs."""
        return [number for number, _ in self.failures]

    @property
    def over(self) -> int:
        """How many have ended."""
        return self.failed + self.finished


@dataclass(frozen=True)
class Seen:
    """A workflow at one moment.

    Attributes:
        studies: those whose runs could be looked at.
        awaits: how many things orchestrators wait for.
        orchestrators: the pids of the orchestrators that work, by run name.
        ends: when the orchestrators that were started in the background have ended (seconds since
            1970) and how, by run name.
        given_up: the daemons that were given up, and why.
        free: how many bytes of the disk are free.
    """

    studies: Mapping[str, StudySeen] = field(default_factory=dict)
    awaits: int = 0
    orchestrators: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    given_up: Mapping[str, str] = field(default_factory=dict)
    free: int | None = None


class Known(msgspec.Struct):
    """What has been told, or needs not be. Times in seconds since 1970."""

    failed: dict[str, int] = {}
    failures: dict[str, list[int]] = {}
    over: dict[str, int] = {}
    was_active: bool = False
    idle_since: float | None = None
    orchestrators: list[str] = []
    ends: dict[str, float] = {}
    given_up: list[str] = []
    is_low: bool = False
    waits_since: float | None = None
    is_stalled: bool = False


def first_known(seen: Seen, ended: Mapping[str, Mapping[int, str]], since: float) -> Known:
    """What needs not be told to somebody who wants to be told what has happened since a moment.

    Args:
        seen: the workflow now.
        ended: the runs of each study that have ended since then: their states by number.
        since: the moment (seconds since 1970).
    """
    known = Known(
        ends={name: at for name, (at, _) in seen.ends.items() if at < since},
        orchestrators=sorted(seen.orchestrators),
    )
    for study, at in seen.studies.items():
        new = ended.get(study, {})
        failed = sum(state in FAILED_STATES for state in new.values())
        known.failed[study] = max(at.failed - failed, 0)
        known.failures[study] = [number for number in at.failed_runs if number not in new]
        known.over[study] = max(at.over - len(new), 0)
    return known


def occurrences(
    seen: Seen, known: Known, settings: Notices, now: float, *, last: bool = False
) -> Iterator[tuple[str, str]]:
    """The events' names, with a line each; ``known`` is brought up to date.

    Args:
        seen: the workflow now.
        known: what was known before.
        settings: what the user has asked for.
        now: the time in seconds since 1970.
        last: whether the workflow is being stopped, so that nothing more will happen.
    """
    for study, runs in seen.studies.items():
        new = runs.failed - known.failed.get(study, 0)
        known.failed[study] = runs.failed
        if new > 0:
            before = known.failures.get(study, [])
            lines = [line for number, line in runs.failures if number not in before]
            shown = lines[-min(new, FAILURES) :]
            more = [f"and {new - len(shown)} more"] if new > len(shown) else []
            text = f"{counted(new, 'run')} of {study} failed"
            yield FAILED, "\n".join([text, *(f"  {line}" for line in (*shown, *more))])
        known.failures[study] = runs.failed_runs
    yield from _ended(seen, known)
    for name, why in seen.given_up.items():
        if name not in known.given_up:
            yield GIVEN_UP, why
    known.given_up = sorted(seen.given_up)
    if seen.free is not None:
        is_low = seen.free < settings.disk_free * (2 if known.is_low else 1)
        if is_low and not known.is_low:
            yield DISK, f"{megabytes(seen.free)} are free on the workflow's disk"
        known.is_low = is_low
    yield from _finished(seen, known, now, last=last)
    yield from _stalled(seen, known, settings, now)


def _ended(seen: Seen, known: Known) -> Iterator[tuple[str, str]]:
    ended = set()
    for name, (at, how) in seen.ends.items():
        if at != known.ends.get(name):
            known.ends[name] = at
            ended.add(name)
            yield ENDED, f"orchestrator {name} has ended{how}"
    for name in known.orchestrators:
        if name not in seen.orchestrators and name not in ended:
            yield ENDED, f"orchestrator {name} has ended"
    known.orchestrators = sorted(seen.orchestrators)


def _finished(seen: Seen, known: Known, now: float, *, last: bool) -> Iterator[tuple[str, str]]:
    over = {study: runs.over for study, runs in seen.studies.items()}
    # Runs may have waited, run and ended between two looks.
    if any(count > known.over.get(study, 0) for study, count in over.items()):
        known.was_active = True
    known.over = over
    if seen.orchestrators or any(runs.active for runs in seen.studies.values()):
        known.was_active, known.idle_since = True, None
        return
    if not known.was_active:
        return
    if known.idle_since is None:
        known.idle_since = now
    if last or now - known.idle_since >= SETTLE_S:
        known.was_active, known.idle_since = False, None
        parts = [
            f"{study}: {runs.finished:,} finished, {runs.failed:,} failed"
            for study, runs in seen.studies.items()
            if runs.finished or runs.failed
        ]
        yield FINISHED, "\n".join(["no run waits or runs any more", *(f"  {p}" for p in parts)])


def _stalled(seen: Seen, known: Known, settings: Notices, now: float) -> Iterator[tuple[str, str]]:
    if not seen.awaits or any(runs.active for runs in seen.studies.values()):
        known.waits_since, known.is_stalled = None, False
        return
    if known.waits_since is None:
        known.waits_since = now
    waited = now - known.waits_since
    if waited >= settings.stalled_after and not known.is_stalled:
        known.is_stalled = True
        names = ", ".join(seen.orchestrators) or "a script"
        yield (
            STALLED,
            f"{names} has been waiting for {duration(waited)}, and no run waits or runs: "
            "`motoko ps` says for what",
        )
