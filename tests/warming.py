"""What the tests of warm runs share: runs that a template executes, and who executes them."""

import os
from pathlib import Path

from launching import identity, place, wrapper_of
from support import wait_until

from motoko.host.identity import Identity

WARM, COLD = {"python": "warm"}, {}
CALL = "#!/bin/bash\n# as usual\nset -e\nexport WHAT='so and so'\npython doIt.py --an option\n"
# Who executes it, last of all.
WHO = (
    "run['who'] = Path(f'/proc/{os.getppid()}/cmdline').read_bytes().decode(); "
    "transaction.commit(); "
)
END = WHO + "run.start(); run.finish()"


def is_warm(run):
    return "warm_template.py" in run["who"]


def warmed(session, script=CALL, **params):
    """Have a run executed by a template: the first ones start cold, as long as that loads."""
    for number in range(40):
        text = f"{script}# {os.urandom(8).hex()} {number}\n"
        run = session.create(text, END, **WARM, **params)
        assert session.ends(run) == [None]
        session.refresh()
        if is_warm(run):
            return run
    raise AssertionError("no run was ever executed by a template")


def template_of(session, flow):
    launcher = identity(flow, "launcher:mult")
    warmed(session)
    for path in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        if b"warm_template.py" in Path(f"/proc/{path}/cmdline").read_bytes():
            return Identity.of(int(path))
    raise AssertionError("the launcher has no template")


WAITS = (
    WHO + "run.start(); Path('here').touch()\nwhile not Path('go').exists(): time.sleep(0.05)\n"
    "run['after'] = 1; run.finish()"
)


def waiting(flow, session, **params):
    run = session.create(f"{CALL}# {os.urandom(8).hex()}", WAITS, **WARM, **params)
    wait_until((place(flow, run) / "here").exists, "it has begun")
    return run


def wrapper_that_waits(session, flow):
    """The wrapper that waits for another turn, and the run that it has forked ahead."""
    run = session.until(warmed(session), exit_code=0)  # else it may be the run that is seen
    wrapper = wrapper_of(place(flow, run)).process
    return wrapper, standby_of(wrapper)


def standby_of(wrapper):
    """The run that a wrapper has forked ahead."""

    def forked():
        children = Path(f"/proc/{wrapper.pid}/task/{wrapper.pid}/children").read_text().split()
        return Identity.of(int(children[0])) if children else None

    return wait_until(forked, "a run is forked ahead")


def executed_by(session, flow):
    """The wrapper of another run."""
    run = session.create(f"{CALL}# {os.urandom(8).hex()}", END, **WARM)
    assert session.ends(run) == [None]
    session.until(run, state="FINISHED", attempt=1, exit_code=0)
    assert is_warm(run)
    return wrapper_of(place(flow, run)).process
