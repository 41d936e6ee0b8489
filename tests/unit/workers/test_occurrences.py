"""What the notifier tells, and how often."""

import math

import pytest

from motoko.config.notices import Notices
from motoko.workers.notifier.occurrences import (
    SETTLE_S,
    Seen,
    StudySeen,
    first_known,
    occurrences,
)

SETTINGS = Notices(command=("mail",), stalled_after=600.0, disk_free=100)
IDLE, BUSY = StudySeen(), StudySeen(active=2)


def seen(*, orchestrators=None, awaits=0, ends=None, given_up=None, free=1000, **studies):
    return Seen(studies, awaits, orchestrators or {}, ends or {}, given_up or {}, free)


class Watch:
    """What is told, one look after the other."""

    def __init__(self, first, ended=None, since=math.inf):
        self.known, self.now = first_known(first, ended or {}, since), 0.0

    def __call__(self, at, *, after=1.0, last=False):
        self.now += after
        told = list(occurrences(at, self.known, SETTINGS, self.now, last=last))
        assert list(occurrences(at, self.known, SETTINGS, self.now, last=last)) == []
        return dict(told)


def failed(count, **others):
    lines = tuple((n, f"s.{n}: why") for n in range(1, count + 1))
    return StudySeen(failed=count, failures=lines, **others)


def test_failures():
    watch = Watch(seen(s=failed(2)))
    assert watch(seen(s=failed(2))) == {}
    told = watch(seen(s=failed(3, active=1)))
    assert told == {"failed": "1 run of s failed\n  s.3: why"}
    told = watch(seen(s=failed(10, active=1)))
    assert told["failed"].startswith("7 runs of s failed\n  s.6: why")
    assert told["failed"].endswith("s.10: why\n  and 2 more")
    assert watch(seen(s=failed(8, active=3))) == {}  # two are retried
    assert "failed" in watch(seen(s=failed(9, active=2)))


def test_what_has_happened_since_the_workflow_began_is_told():
    now = seen(s=failed(3, finished=2), ends={"a": (4.0, ""), "b": (6.0, "")})
    watch = Watch(now, {"s": {2: "FAILED", 5: "FINISHED"}}, since=5.0)
    told = watch(now)
    assert told["failed"] == "1 run of s failed\n  s.2: why"
    assert told["ended"] == "orchestrator b has ended"
    assert "finished" in watch(now, after=SETTLE_S)
    assert Watch(now, {"t": {2: "FAILED"}}, since=6.5)(now) == {}


def test_runs_fail_in_any_order():
    watch = Watch(seen(s=IDLE))
    late, early = (7, "s.7: why"), (3, "s.3: why")
    told = watch(seen(s=StudySeen(failed=1, active=1, failures=(late,))))
    assert told == {"failed": "1 run of s failed\n  s.7: why"}
    told = watch(seen(s=StudySeen(failed=2, failures=(early, late))))
    assert told["failed"] == "1 run of s failed\n  s.3: why"


def test_finished():
    watch = Watch(seen(s=IDLE))
    assert watch(seen(s=IDLE), after=100) == {}  # nothing has begun
    assert watch(seen(s=BUSY)) == {}
    assert watch(seen(s=IDLE)) == {}  # the next runs may be about to be created
    assert watch(seen(s=BUSY)) == {}
    working = {"orchestrators": {"first": 7}}
    assert watch(seen(s=IDLE, **working), after=100) == {}
    watch.known.orchestrators = []
    done = StudySeen(finished=3)
    assert watch(seen(s=done)) == {}
    told = watch(seen(s=done), after=SETTLE_S)
    assert told == {"finished": "no run waits or runs any more\n  s: 3 finished, 0 failed"}
    assert watch(seen(s=done), after=100) == {}
    more = StudySeen(finished=4)  # it has waited, run and ended between two looks
    assert watch(seen(s=more)) == {}
    assert list(watch(seen(s=more), after=SETTLE_S)) == ["finished"]


def test_at_the_end_nothing_is_waited_for():
    watch = Watch(seen(s=IDLE))
    assert watch(seen(s=BUSY)) == {}
    assert list(watch(seen(s=IDLE), last=True)) == ["finished"]
    watch = Watch(seen(s=IDLE))
    watch(seen(s=BUSY))
    assert watch(seen(s=StudySeen(active=1)), last=True) == {}  # it is executed again


def test_orchestrators():
    watch = Watch(seen(s=BUSY, ends={"old": (1.0, "")}))
    assert watch(seen(s=BUSY, orchestrators={"a": 1, "b": 2}, ends={"old": (1.0, "")})) == {}
    assert watch(seen(s=BUSY, orchestrators={"a": 3, "b": 2}, ends={"old": (1.0, "")})) == {}
    ends = {"old": (1.0, ""), "a": (2.0, " with exit code 1: boom")}
    told = watch(seen(s=BUSY, orchestrators={"b": 2}, ends=ends))
    assert told == {"ended": "orchestrator a has ended with exit code 1: boom"}
    assert watch(seen(s=BUSY, ends=ends)) == {"ended": "orchestrator b has ended"}


def test_stalled():
    watch = Watch(seen(s=IDLE))
    waits = {"orchestrators": {"a": 1}, "awaits": 1}
    assert watch(seen(s=IDLE, **waits)) == {}
    assert watch(seen(s=BUSY, **waits), after=599) == {}
    assert watch(seen(s=IDLE, **waits)) == {}
    told = watch(seen(s=IDLE, **waits), after=600)
    assert "a has been waiting for 10m 0s" in told["stalled"]
    assert watch(seen(s=IDLE, **waits), after=600) == {}
    assert watch(seen(s=BUSY, **waits)) == {}
    watch(seen(s=IDLE, **waits))
    assert "stalled" in watch(seen(s=IDLE, **waits), after=600)


@pytest.mark.parametrize("free", [99, 0])
def test_disk(free):
    watch = Watch(seen(s=IDLE))
    assert "disk" in watch(seen(s=IDLE, free=free))
    assert watch(seen(s=IDLE, free=150)) == {}  # not well above
    assert watch(seen(s=IDLE, free=99)) == {}
    assert watch(seen(s=IDLE, free=None)) == watch(seen(s=IDLE, free=200)) == {}
    assert "disk" in watch(seen(s=IDLE, free=free))


def test_given_up():
    watch = Watch(seen(s=IDLE))
    lost = {"launcher:s": "launcher:s was given up (exited with 1)"}
    assert watch(seen(s=IDLE, given_up=lost)) == {"given_up": lost["launcher:s"]}
    assert watch(seen(s=IDLE, given_up=lost)) == watch(seen(s=IDLE)) == {}
    assert watch(seen(s=IDLE, given_up=lost)) == {"given_up": lost["launcher:s"]}
