"""The ZEO client of warm runs: without a thread at first, and otherwise like ZEO's own."""

import textwrap

import pytest
from launching import place, supervising

CALL = "#!/bin/bash\npython doIt.py\n"
PREPARED = """\
import atexit, gc, multiprocessing, subprocess, threading
import ZEO
from BlackDynamite.base_zeo import BaseZEO
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError
base = BaseZEO.singleton_base
storage, end = base.db.storage, time.monotonic() + 20
client, pid = storage._server, SERVER
def until(condition):
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
def is_alone():
    return client._begun is not None
def another():
    program = "import BlackDynamite as BD, transaction; run, job = BD.getRunFromScript(); "
    subprocess.run([sys.executable, "-c", program + "run['x'] = 5; transaction.commit()"])
def seen():
    return type(storage._cache).getLastTid(storage._cache)
def read():
    connection = base.db.open(transaction.TransactionManager())
    try:
        storage.ping()
        return connection.root.schemas[base.schema]["Runs"].entries[run.id].entries["state"]
    finally:
        connection.close()
"""
CHECKED = """\
assert type(client).__name__ == "WarmClient", client
assert is_alone()
assert client._check.__func__.__globals__["KEPT"]  # of the rehearsal
"""
PROGRAMS = {
    "plain": "run.start(); run.finish(); assert is_alone() and client.thread.daemon",
    "announced": """\
        run.start()
        until(lambda: not is_alone())
        assert client.thread.is_alive() and client.is_connected()
        before = seen()
        another()
        until(lambda: seen() > before)  # no call is made
        run.finish()
        assert run.entries["x"] == 5 and read() == "FINISHED\"""",
    "read at once": """\
        run.start()
        another()
        transaction.begin()
        assert run.entries["x"] == 5
        run.finish()""",
    "threads": """\
        run.start()
        states = []
        threads = [threading.Thread(target=lambda: states.append(read())) for _ in range(8)]
        for thread in threads:
            thread.start()
        states.append(read())
        for thread in threads:
            thread.join()
        assert states == ["START"] * 9 and not is_alone()
        run.finish()""",
    "a thread while it waits": """\
        os.kill(pid, signal.SIGSTOP)
        thread = threading.Timer(0.05, read)
        late = threading.Timer(0.6, os.kill, (pid, signal.SIGCONT))
        thread.start(); late.start()
        run.start()
        assert read() == "START" and not is_alone()
        run.finish()""",
    "forked": """\
        run.start()
        def in_child(n):
            try:
                storage.ping()
            except ClientDisconnected:
                return n
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(in_child, [1, 2, 3]) == [1, 2, 3]
        child = os.fork()
        if not child:
            client = storage = None
            gc.collect()
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        read()
        assert is_alone()
        run.finish()""",
    "killed between calls": """\
        run.start()
        os.kill(pid, signal.SIGKILL)
        until(lambda: client._line.wait(0))
        storage.ping()
        assert not is_alone() and read() == "START"
        run.finish()""",
    "killed in a call": """\
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()
        try:
            storage.ping()
        except ClientDisconnected:
            storage.ping()
        else:
            raise AssertionError
        assert not is_alone()
        run.start(); run.finish()""",
    "killed after the thread has begun": """\
        until(lambda: not is_alone())
        os.kill(pid, signal.SIGKILL)
        until(lambda: not client.is_connected())
        storage.ping()
        run.start(); run.finish()""",
    "interrupted": """\
        protocol = client._line.protocol
        received = protocol.data_received
        def interrupted(data):
            protocol.data_received = received
            raise KeyboardInterrupt
        protocol.data_received = interrupted
        try:
            storage.ping()
        except KeyboardInterrupt:
            storage.ping()
        else:
            raise AssertionError
        run.start(); run.finish()""",
    "signals": """\
        run.start()
        def handled(number, frame):
            run["x"] = number
            transaction.commit()
        signal.signal(signal.SIGUSR1, handled)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert not is_alone() and read() == "START"
        run.finish()""",
    "much": """\
        run.start()
        run["x"] = "much" * 3_000_000
        transaction.commit()
        storage._cache.clear()
        run._p_jar.cacheMinimize()
        assert len(run.entries["x"]) == 12_000_000
        run.finish()""",
    "a conflict": """\
        run.start()
        transaction.begin()
        run.entries["state"]
        another()
        run["x"] = 6
        try:
            transaction.commit()
        except ConflictError:
            transaction.abort()
        else:
            raise AssertionError
        assert run.entries["x"] == 5
        run.finish()""",
    "opened again": """\
        own = threading.active_count()
        where = storage._addr[0]
        for arguments in ({}, {"read_only": True}, {"wait_timeout": 3, "wait": False}):
            database = ZEO.DB(where, **arguments)
            connection = database.open(transaction.TransactionManager())
            assert connection.root.schemas
            if "read_only" in arguments:
                assert database.storage.is_read_only()
            connection.close()
            database.close()
        until(lambda: threading.active_count() == own)
        try:
            ZEO.DB(where + "no", wait_timeout=1)
        except Exception as error:
            assert "timed out" in str(error)
        else:
            raise AssertionError
        run.start(); run.finish()""",
    "left open": """\
        def late():
            run["x"] = 7
            transaction.commit()
        atexit.register(late)
        run.start(); run.finish()""",
}


LEFT = {"left open": 7}


@pytest.fixture
def supervised(workflow):
    with supervising(workflow) as make:
        yield make


def test_in_runs(supervised):
    flow, session = supervised()
    program = "run['client'] = type(client).__name__; run.start(); run.finish()"
    for number in range(40):
        code = f"{PREPARED}{program}".replace("SERVER", "0")
        run = session.create(f"{CALL}# {number}", code, python="warm")
        assert session.ends(run) == [None]
        session.refresh()
        if run["client"] == "WarmClient":
            break
    failed = {}
    for name, text in PROGRAMS.items():
        server = str(flow.pids()["zeo:mult"])
        code = PREPARED.replace("SERVER", server) + CHECKED + textwrap.dedent(text)
        run = session.create(CALL, code, python="warm")
        (error,) = session.ends(run)
        if error is not None:
            failed[name] = f"{error}\n{(place(flow, run) / f'r.e{run.id}').read_text()}"
        elif name in LEFT:
            session.until(run, x=LEFT[name])
    assert not failed, "\n\n".join(f"{name}: {text}" for name, text in failed.items())
