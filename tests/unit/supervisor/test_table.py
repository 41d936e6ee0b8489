"""The process table's state machine: no processes, no clock."""

import pytest

from motoko.config.supervision import Supervision
from motoko.supervisor.daemon_specs import Spec, may_start
from motoko.supervisor.table import Decision, Entry, Policy, State, overall


def entry(**options):
    return Entry("zeo:mult", jitter=lambda: 0.0, **options)


def ready(now=0.0, **options):
    found = entry(**options)
    found.spawned(now, 100)
    assert found.became_ready(now)
    return found


def test_waits_until_it_is_started():
    found = entry()
    assert found.waiting and found.wake_at is None
    found.spawned(0.0, 100)
    assert not found.waiting and found.state is State.STARTING and found.pid == 100


def test_becomes_ready_once():
    found = ready()
    assert found.state is State.READY
    assert found.wake_at is None  # a quiet daemon costs no timer
    assert not found.became_ready(1.0)


def test_a_death_after_readiness_restarts_at_once():
    found = ready()
    assert found.died(60.0, "died by SIGKILL") is Decision.SPAWN
    assert (found.state, found.restarts, found.pid) == (State.STARTING, 1, None)
    assert found.last_exit == "died by SIGKILL"


def test_deaths_before_readiness_back_off_and_double():
    found, delays, now = entry(policy=Policy(attempts=9)), [], 0.0
    for _ in range(8):
        found.spawned(now, 100)
        assert found.died(now, "exited with 1") is Decision.NOTHING
        assert found.state is State.BACKOFF
        delays.append(found.wake_at - now)
        now = found.wake_at
        assert found.tick(now - 0.001) is Decision.NOTHING
        assert found.tick(now) is Decision.SPAWN
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert found.restarts == 8


def test_jitter_lengthens_and_never_exceeds_the_longest():
    for jitter in (0.0, 0.5, 1.0):
        found = Entry("bus", jitter=lambda jitter=jitter: jitter)
        found.spawned(0.0, 100)
        found.died(0.0, "exited with 1")
        assert found.wake_at == pytest.approx(0.5 * (1 + jitter / 4))


def test_five_deaths_in_a_row_before_readiness_give_up():
    found, decisions = entry(), []
    for now in range(0, 500, 100):
        found.spawned(float(now), 100)
        decisions.append(found.died(float(now), "exited with 1"))
        found.tick(float(now + 50))
    assert decisions == [Decision.NOTHING] * 4 + [Decision.GIVE_UP]
    assert found.state is State.FAILED and found.wake_at is None
    assert found.tick(10_000.0) is Decision.NOTHING


def test_what_cannot_be_started_is_tried_again_and_never_given_up():
    one = entry()
    for number in range(20):
        assert one.died(number * 100.0, "no such program", unstarted=True) is Decision.NOTHING
        assert one.state is State.BACKOFF and one.restarts == 0
        assert one.tick(one.wake_at) is Decision.SPAWN
    one.spawned(5000.0, 7)
    assert one.last_exit == "no such program" and one.died(5001.0, "x") is Decision.NOTHING


def test_retry_of_a_failed_one_has_a_clean_slate():
    found = entry(policy=Policy(attempts=2))
    assert found.retry() is Decision.NOTHING
    for _ in range(2):
        found.spawned(0.0, 100)
        found.died(0.0, "exited with 1")
    assert found.state is State.FAILED
    assert found.retry() is Decision.SPAWN and found.state is State.STARTING
    found.spawned(0.0, 101)
    assert found.died(0.0, "exited with 1") is Decision.NOTHING
    assert found.state is State.BACKOFF


def test_settled_readiness_forgets_earlier_failures():
    found, now = entry(), 0.0
    for _ in range(20):
        found.spawned(now, 100)
        assert found.died(now, "exited with 1") is Decision.NOTHING
        found.tick(now := now + 40)
        found.spawned(now, 100)
        found.became_ready(now)
        now += 5.0
        assert found.died(now, "died by SIGKILL") is Decision.SPAWN


def test_short_readiness_forgets_no_failures():
    found, now = entry(), 0.0
    for _ in range(2):
        for _ in range(2):
            found.spawned(now, 100)
            found.died(now, "exited with 1")
            found.tick(now := now + 40)
        found.spawned(now, 100)
        found.became_ready(now)
        found.died(now := now + 1.0, "died by SIGKILL")
    found.spawned(now, 100)
    assert found.died(now, "exited with 1") is Decision.GIVE_UP


def test_a_loop_of_readiness_and_death_backs_off_but_never_gives_up():
    found, now, delays = entry(), 0.0, []
    for _ in range(12):
        found.spawned(now, 100)
        found.became_ready(now)
        decision = found.died(now + 0.1, "exited with 1")
        now = found.wake_at or now + 0.1
        delays.append(0.0 if decision is Decision.SPAWN else found.wake_at)
        assert found.state is not State.FAILED
        if decision is Decision.NOTHING:
            assert found.tick(now) is Decision.SPAWN
    assert delays[:3] == [0.0, 0.0, 0.0]  # somebody kills it: back at once
    assert all(delays[3:])


def test_not_ready_by_the_deadline_is_killed_and_counted():
    found = entry()
    found.spawned(0.0, 100)
    assert found.tick(29.9) is Decision.NOTHING
    assert found.tick(30.0) is Decision.KILL
    assert found.tick(31.0) is Decision.NOTHING  # once is enough
    assert not found.became_ready(31.0)  # too late: it is being killed
    assert found.died(31.0, "died by SIGKILL") is Decision.NOTHING
    assert found.state is State.BACKOFF
    assert found.last_exit == "not ready after 30 s, killed"


def test_a_sign_of_life_moves_the_deadline():
    found = entry()
    found.spawned(0.0, 100)
    found.sign_of_life(20.0)
    assert found.tick(49.9) is Decision.NOTHING
    assert found.tick(50.0) is Decision.KILL


def test_hung_daemon_is_killed_once_and_says_why():
    found = ready()
    assert found.hung("no heartbeat for 10 s") is Decision.KILL
    assert found.hung("no heartbeat for 10 s") is Decision.NOTHING
    assert found.died(20.0, "died by SIGKILL") is Decision.SPAWN
    assert found.last_exit == "no heartbeat for 10 s, killed"
    assert found.hung("no heartbeat for 10 s") is Decision.NOTHING  # there is no process


def test_adopted_has_to_pass_the_check_too():
    found = entry()
    found.spawned(0.0, 100, adopted=True)
    assert found.adopted and found.state is State.STARTING
    assert found.became_ready(0.1)
    assert found.died(60.0, "ended") is Decision.SPAWN
    found.spawned(60.0, 101)
    assert not found.adopted


def test_stopping():
    found = ready()
    found.stop()
    assert found.state is State.STOPPING
    assert found.died(1.0, "exited with 0") is Decision.NOTHING
    assert found.state is State.STOPPED


@pytest.mark.parametrize("prepare", ["waiting", "backoff"])
def test_stopping_without_a_process(prepare):
    found = entry()
    if prepare == "backoff":
        found.spawned(0.0, 100)
        found.died(0.0, "exited with 1")
    found.stop()
    assert found.state is State.STOPPED
    assert found.tick(100.0) is Decision.NOTHING


def test_every_death_is_counted_and_has_a_reason():
    found = entry(policy=Policy(attempts=2))
    found.spawned(0.0, 100)
    found.became_ready(0.0)
    found.died(60.0, "died by SIGSEGV")
    assert (found.restarts, found.last_exit) == (1, "died by SIGSEGV")
    for death in (2, 3):
        found.spawned(60.0, 100)
        found.died(60.0, "exited with 1")
        assert found.restarts == death
        found.tick(100.0)
    assert found.state is State.FAILED
    assert found.retry() is Decision.SPAWN and found.restarts == 3


def test_a_second_process_is_no_death():
    found = entry()
    found.spawned(0.0, 100)
    assert found.died(1.0, "exited with 75", is_double=True) is Decision.NOTHING
    assert (found.state, found.restarts, found.last_exit) == (State.BACKOFF, 0, "exited with 75")


def test_an_end_that_was_asked_for_is_no_restart_and_says_who_asked():
    found = ready()
    found.stop("stopped by request")
    assert found.died(1.0, "died by SIGTERM") is Decision.NOTHING
    assert (found.restarts, found.last_exit) == (0, "stopped by request")


def test_policy_of_settings():
    settings = Supervision(attempts=2, backoff_min=3.0, backoff_max=4.0, start_timeout=9.0)
    found, now = entry(policy=Policy.of(settings)), 0.0
    found.spawned(now, 100)
    assert found.wake_at == 9.0
    found.died(now, "exited with 1")
    assert found.wake_at == 3.0
    found.tick(3.0)
    found.spawned(3.0, 100)
    assert found.died(3.0, "exited with 1") is Decision.GIVE_UP
    assert Policy.of(Supervision()) == Policy()


def test_overall_state():
    waiting, there, gone = entry(), ready(), ready()
    assert overall([there, waiting]) == "starting"
    assert overall([there]) == "ready"
    gone.died(60.0, "died by SIGKILL")
    assert overall([there, gone]) == "degraded"
    failed = entry(policy=Policy(attempts=1))
    failed.spawned(0.0, 100)
    failed.died(0.0, "exited with 1")
    assert overall([there, waiting, failed]) == "degraded"


STARTING, READY, FAILED, STOPPED = State.STARTING, State.READY, State.FAILED, State.STOPPED


@pytest.mark.parametrize(
    ("kind", "states", "allowed"),
    [
        ("zeo", {}, True),
        ("bus", {}, True),
        ("watcher", {"bus": READY, "zeo:a": READY}, True),
        ("watcher", {"bus": READY, "zeo:a": STARTING}, False),
        ("watcher", {"bus": STARTING, "zeo:a": READY}, False),
        ("watcher", {"bus": READY, "zeo:a": READY, "zeo:b": FAILED}, True),
        ("watcher", {"bus": READY, "zeo:a": READY, "zeo:b": STOPPED}, True),
        ("watcher", {"bus": READY, "zeo:a": READY, "zeo:b": State.STOPPING}, False),
        ("watcher", {"bus": FAILED, "zeo:a": READY}, False),
        ("launcher", {"watcher": READY, "zeo:a": READY}, True),
        ("launcher", {"watcher": STARTING, "zeo:a": READY}, False),
        ("launcher", {"watcher": READY, "zeo:a": FAILED}, False),
    ],
)
def test_order_of_starting(kind, states, allowed):
    assert may_start(Spec(kind, kind, (), "a"), states) is allowed
