"""A colleague on another host: another account, which sees the files, and no process."""

from host import STRANGER
from support import motoko_command

VIEWS = ("info", "table mult", "explain mult.1", "logs", "logs mult.1", "graph", "usage", "du")


def seen(host, flow, line):
    return host.run(
        *motoko_command(*line.split()), check=False, user=STRANGER, cwd=flow.directory, timeout=90
    )


def check(host, flow):
    """All is shown, from the files; what changes something says whose workflow it is, and where."""
    for line in VIEWS:
        done = seen(host, flow, line)
        assert done.returncode == 0, (line, done)
        first = done.stderr.splitlines()[0]
        assert first.startswith("motoko: as of 20") and "the workflow is root's" in first, done
        assert "supervisor on head answers only it" in first, done
        for command in ("supervise", "create", "upgrade"):
            assert f"motoko {command}" not in done.stdout + done.stderr, (line, done)
    done = seen(host, flow, "ps")
    assert "on another host" in done.stdout and "on head" in done.stdout, done
    for line in ("cancel mult.1", "retry mult.1", "kill", "supervise --detach", "events"):
        done = seen(host, flow, line)
        assert done.returncode == 1, (line, done)
        assert "belongs to root, who supervises it on head" in done.stderr, (line, done)


def test_colleague(placed, lab):
    """While it is supervised, and after kill -9 of its supervisor and watcher."""
    flow, session = placed()
    numbers = session.create("python doIt.py", "run.start(); run['y'] = 2; run.finish()", count=2)
    session.finished(numbers)
    here = flow.pids()
    check(lab.nodes[0], flow)
    assert flow.pids() == here and flow.state() == "ready"
    for word in ("motoko.workers.watcher", "motoko.supervisor"):
        for process in lab.head.processes(word):
            process.identity.signal(9)
    check(lab.nodes[0], flow)
