"""Runs of ``python: warm``: their doIt.py is executed as if by a Python that was just started."""

import difflib
import json
import re
import signal
import textwrap

import pytest
from launching import all_slots_free, kill_daemon, nothing_lives, place, supervising
from support import wait_until
from warming import CALL, COLD, END, WARM, WHO, is_warm, template_of, waiting, warmed

from motoko.runs.entries import DocumentedEntries


@pytest.fixture
def supervised(workflow):
    with supervising(workflow) as make:
        yield make


# What doIt.py does; each is executed cold and warm, and may not be told apart.
PROGRAMS = {
    "seen": """\
        import __main__, gc, random, resource, threading
        own = {"PWD", "OLDPWD", "SHLVL", "_", "MOTOKO_RUN", "BLACKDYNAMITE_RUN_ID"}
        print(sorted((k, v) for k, v in os.environ.items() if k not in own))
        print(sorted(vars(__main__)), __name__, __file__, __spec__, __package__, __cached__)
        print(sys.argv, sys.orig_argv, sys.path, sys.flags, sys.executable)
        print(os.getcwd(), os.getpgrp() == os.getsid(0))
        print([resource.getrlimit(n) for n in range(10)], os.umask(0o77))
        print(sorted(os.listdir("/proc/self/fd"))[:3], os.isatty(0))
        print([signal.getsignal(n) for n in range(1, 32)])
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering, sys.stdout.name)
        print(sys.stdout.write_through, sys.stderr.write_through, sys.stdin.read())
        print(threading.active_count(), threading.main_thread().ident == threading.get_ident())
        print(sys.excepthook is sys.__excepthook__, sys.gettrace(), gc.isenabled(), __annotations__)
        run.start(); run.finish()""",
    "exception": """\
        run.start()
        def deep(n):
            return 1 / n
        deep(0)""",
    "syntax": "run.start(); exec('1 +')",
    "code": "run.start(); run.finish(); sys.exit(7)",
    "text": "run.start(); sys.exit('it is over')",
    "interrupted": "run.start(); raise KeyboardInterrupt",
    "killed": "run.start(); os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "run.start(); os.kill(os.getpid(), signal.SIGTERM)",
    "at once": "run.start(); run.finish(); os._exit(3)",
    "at exit": """\
        import atexit, threading
        class Late:
            def __del__(self):
                print("deleted")
        late = Late()
        atexit.register(print, "first registered")
        atexit.register(lambda: 1 / 0)
        def slow():
            time.sleep(0.3); print("a thread")
        threading.Thread(target=slow).start()
        run.start(); run.finish()
        print("last line")""",
    "left open": """\
        import io
        class Ended(io.FileIO):
            def close(self):
                if not self.closed:
                    self.write(b"the end")
                super().close()
        class Loop:
            def __init__(self):
                self.me, self.file = self, open("loop.txt", "w")
                self.file.write("in a loop")
        mine, loop = open("mine.txt", "w"), Loop()
        mine.write("held by doIt.py")
        os.theirs, os.ended = open("theirs.txt", "w"), Ended("ended.txt", "w")
        os.theirs.write("held by a module")
        print("no line break", end="")
        run.start(); run.finish()
        sys.exit(256 + 3)""",
    "children": """\
        import multiprocessing, subprocess
        run.start()
        print(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(pool.map(abs, [-1]))
        os.system("echo $WHAT; ls /proc/self/fd | wc -l > count")
        run.finish()""",
    "pickled": """\
        import pickle
        class Mine:
            pass
        print(pickle.dumps(Mine()), pickle.loads(pickle.dumps(Mine())))
        run["values"] = [1.5, "text", None, {"a": (1, 2)}]
        run.start(); run.finish()""",
    "hook": """\
        sys.excepthook = lambda kind, error, trace: print("mine", kind, trace.tb_lineno)
        run.start()
        raise ValueError""",
    "logged": """\
        import logging
        class Kept(logging.Handler):
            def emit(self, record):
                kept.append((record.levelname, record.name, record.funcName))
        kept, logger = [], logging.getLogger("BlackDynamite")
        logger.addHandler(Kept(logging.DEBUG))
        run.start(); run.finish()
        print(len(kept) > 4, kept)
        logger.handlers.clear()
        logging.getLogger("BlackDynamite.base").warning("nobody takes it")
        logger.debug("nobody takes it, either")""",
    "never finished": "pass",
    "warnings": "import warnings; warnings.warn('so'); run.start(); run.finish()",
}


# What bash says of a doIt.py that a signal has ended: there is no bash.
SHELLS_OWN = re.compile(
    r"(: )?(\./launch\.sh: line \d+: +\d+ )?\b(Killed|Terminated)\b( +python doIt.*)?(\n|$)"
)


USED = ("cpu_s", "cpu_ticks", "max_rss_bytes")  # what runs have used differs from run to run


def outcome(flow, session, run):
    """All that is left of a run; what names it is replaced."""
    session.refresh()
    directory = place(flow, run)
    texts = {}
    for path in sorted(directory.iterdir()):
        if path.is_file() and path.name not in ("launch.sh", "doIt.py"):
            text = path.read_text().replace(str(directory), "HERE")
            text = re.sub(r" at 0x[0-9a-f]+|\bpid=\d+", "", text)
            text = SHELLS_OWN.sub("", text)
            if path.name.endswith(f".e{run.id}"):
                text = "\n".join(sorted(text.splitlines()))  # BlackDynamite's lines have no order
            text = re.sub(rf"(run-|run_id:|\.[oe]){run.id}\b", r"\1N", text)
            texts[path.name.replace(f"{run.id}", "N")] = text
    entries = {
        name: value
        for name, value in DocumentedEntries(run.entries).items()
        if name
        not in (
            "id",
            "start_time",
            "last step",
            "run_path",
            "python",
            "job_id",
            "who",
            "attempt_ended",
            *USED,
        )
    }
    record = json.loads((directory / ".motoko" / "exit-1.json").read_text())
    record = {name: value for name, value in record.items() if name not in (*USED, "pid")}
    said = {k: str(v).replace(f"run-{run.id}", "N") for k, v in entries.items()}
    said["failure_reason"] = SHELLS_OWN.sub("", said["failure_reason"])
    return texts, said, record


def indented(text):
    return textwrap.indent(textwrap.dedent(text), "    ")


def differences(expected, found):
    texts, entries, record = expected
    lines = [
        "\n".join(difflib.unified_diff(text.splitlines(), found[0].get(name, "").splitlines()))
        for name, text in texts.items()
    ]
    return lines, set(entries.items()) ^ set(found[1].items()), record, found[2]


def test_as_cold_ones(supervised):
    flow, session = supervised("--slots", "4", yaml="preload: [numpy]\n")
    warmed(session)
    pairs = {
        name: [
            session.create(
                CALL,
                f"{WHO}\nif True:  # all have the same imports\n{indented(text)}\n# {how}",
                **how,
            )
            for how in (COLD, WARM)
        ]
        for name, text in PROGRAMS.items()
    }
    runs = [run for pair in pairs.values() for run in pair]
    session.ends(*runs, timeout=120)
    for run in runs:
        wait_until((place(flow, run) / ".motoko" / "exit-1.json").exists, "its exit is recorded")
        nothing_lives(place(flow, run))
    all_slots_free(flow)
    for run in runs:
        session.until(run, ended_state="FINISHED" if run.state == "FINISHED" else "FAILED")
    told_apart = {}
    for name, (cold, warm) in pairs.items():
        expected, found = (outcome(flow, session, run) for run in (cold, warm))
        assert is_warm(warm) and not is_warm(cold), name
        if found != expected:
            told_apart[name] = differences(expected, found)
    assert not told_apart


def test_random_numbers_differ(supervised):
    _, session = supervised("--slots", "2", yaml="preload: [numpy]\n")
    warmed(session)
    text = "if True:\n    import random, numpy\nrun['r'] = [random.random(), numpy.random.random()]"
    runs = [session.create(f"{CALL}# {n}", f"{text}\n{END}", **WARM) for n in range(4)]
    assert session.ends(*runs) == [None] * 4
    session.refresh()
    assert all(map(is_warm, runs))
    assert len({number for run in runs for number in run["r"]}) == 8


def test_a_killed_launcher(supervised):
    flow, session = supervised()
    warmed(session)
    run = waiting(flow, session)
    kill_daemon(flow, "launcher:mult")
    (place(flow, run) / "go").touch()
    assert session.ends(run) == [None]
    session.until(run, state="FINISHED", attempt=1, after=1)
    assert is_warm(run)
    warmed(session)


def test_a_killed_template(supervised):
    flow, session = supervised()
    template = template_of(session, flow)
    run = waiting(flow, session)
    assert template.signal(signal.SIGKILL)
    wait_until(lambda: not template.alive, "the template has ended")
    (place(flow, run) / "go").touch()
    assert session.ends(run) == [None]
    session.until(run, state="FINISHED", attempt=1, after=1, exit_code=0)
    assert is_warm(run)
    assert template_of(session, flow) != template


def test_a_stopped_template(supervised):
    """Wrappers that wait take their turns. Then a run starts cold, and another one forks."""
    flow, session = supervised("--slots", "2")
    template = template_of(session, flow)
    assert template.signal(signal.SIGSTOP)
    warm = waiting(flow, session)
    cold = session.create(CALL, END, **WARM)
    assert session.ends(cold) == [None]
    (place(flow, warm) / "go").touch()
    assert session.ends(warm) == [None]
    session.refresh()
    assert is_warm(warm) and not is_warm(cold)
    wait_until(lambda: not template.alive, "it is killed")
    assert template_of(session, flow) != template


def test_ended_by_its_time_limit(supervised):
    flow, session = supervised()
    warmed(session)
    run = waiting(flow, session, timeout=2)
    (error,) = session.ends(run)
    assert "time limit" in error.reason
    nothing_lives(place(flow, run))
    all_slots_free(flow)


def test_what_cannot_be_loaded(supervised, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise ValueError('so it is')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    flow, session = supervised(yaml="preload: [broken]\n")
    for number in range(3):
        run = session.create(f"{CALL}# {number}", END, **WARM)
        assert session.ends(run) == [None]
    wait_until(lambda: "so it is" in flow.log("launcher-mult"), "the log tells")
    run = session.create(CALL, END, **WARM)
    assert session.ends(run) == [None] and not is_warm(run)
    assert flow.log("launcher-mult").count("runs start cold") == 1


def test_a_line_for_a_shell(workflow):
    flow = workflow(created=False)
    flow.path.write_text(flow.path.read_text() + "python: warm\n")
    (flow.directory / "mult" / "launch.sh").write_text("#!/bin/bash\ncd sub\npython doIt.py\n")
    done = flow.motoko("create")
    assert done.returncode == 2
    assert "launch.sh, line 2: 'cd sub'" in done.stderr and "Traceback" not in done.stderr


def test_a_line_for_a_shell_in_one_run(supervised):
    _, session = supervised()
    run = session.create("echo 1\npython doIt.py", END, **WARM)
    (error,) = session.ends(run)
    assert "line 1: 'echo 1'" in error.reason
