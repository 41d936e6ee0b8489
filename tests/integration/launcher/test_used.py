"""Processor time and memory that runs have used, as their own programs measure them."""

import json
import shutil

import pytest
import spawning
from launching import GATE, kill_daemon, place, supervising, wrapper_of
from support import wait_until

# A child burns processor time and memory; what doIt.py and the child have used is noted.
BURN = """\
run.start()
import resource, subprocess
subprocess.run([sys.executable, "-S", "-c", '''
import time
held = b"x" * 250_000_000
while time.process_time() < 1.0:
    pass
'''], check=True)
both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
run["seen_cpu"] = sum(used.ru_utime + used.ru_stime for used in both)
run["seen_rss"] = max(used.ru_maxrss for used in both) * 1024
run["cpu_s"] = "a result"
run.finish()
"""
# What the program has used in all, as GNU time measures it.
METER = """\
import json, os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
with open("metered.json", "w") as file:
    json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024], file)
sys.exit(os.waitstatus_to_exitcode(status))
"""
METERED = f"python -Sc '{METER}' python doIt.py\n"
FAILS_FIRST = "[ -e again ] || { touch again; python -Sc 'b\"x\" * 400_000_000'; exit 1; }\n"
CALL = "python doIt.py\n"
# It has the imports of BURN, so that it has its template.
WHO = "import resource, subprocess\nrun['who'] = open(f'/proc/{os.getppid()}/cmdline').read()\n"


@pytest.fixture
def supervised(workflow):
    with supervising(workflow) as make:
        yield make


def agree(flow, session, run, slack=0.1):
    """Its figures are those that its program has seen, and its own results are left alone."""
    session.until(run, ended_state="FINISHED")
    entries = run.entries
    assert run["cpu_s"] == run.cpu_s == "a result"
    meter = place(flow, run) / "metered.json"
    seen = [entries["seen_cpu"], entries["seen_rss"]]
    seen = json.loads(meter.read_text()) if meter.exists() else seen
    cpu, rss = entries["motoko.cpu_s"], entries["motoko.max_rss_bytes"]
    assert seen[0] - 0.02 <= cpu < 1.05 * seen[0] + slack, (cpu, seen)
    assert abs(rss - seen[1]) < 0.05 * seen[1], (rss, seen)


def test_figures_of_runs(supervised):
    flow, session = supervised("--slots=2")
    adopted = session.create(f"{GATE}{METERED}", BURN)
    wait_until(lambda: (place(flow, adopted) / "launch.sh").exists(), "it is prepared")
    wrapper_of(place(flow, adopted))
    kill_daemon(flow, "launcher:mult")
    (place(flow, adopted) / "go").touch()
    cold = session.create(METERED, BURN)
    again = session.create(f"{FAILS_FIRST}{METERED}", BURN, retries=1)
    small = session.create(CALL)
    assert session.ends(adopted, cold, again, small) == [None] * 4
    session.until(small, ended_state="FINISHED")
    assert small.cpu_s > 0
    assert 1 << 23 < small.max_rss_bytes < 1 << 27, "Python's, with BlackDynamite"
    agree(flow, session, cold)
    agree(flow, session, again)
    agree(flow, session, adopted)
    for number in range(40):  # the first ones are cold, until there is a template
        first = session.create(f"{CALL}# {number}\n", f"{WHO}run.finish()", python="warm")
        assert session.ends(first) == [None]
        if "warm_template.py" in first["who"]:
            break
    warm = session.create(f"{CALL}# warm\n", f"{WHO}{BURN}", python="warm")
    assert session.ends(warm) == [None]
    assert "warm_template.py" in warm["who"]
    agree(flow, session, warm, slack=0.5)  # its own end is not in its figures
    session.until(again, attempt=2)
    rows = flow.motoko("table", "mult", "--columns", "id,cpu_s,max_rss_bytes", "--format", "csv")
    by_id = {line.split(",")[0]: line.strip().split(",")[1:] for line in rows.stdout.splitlines()}
    assert by_id[str(cold.id)] == ["a result", str(cold.max_rss_bytes)]
    assert by_id[str(adopted.id)] == ["a result", str(adopted.max_rss_bytes)]


@pytest.mark.parametrize("megabytes", [0, 5, 12, 200])
def test_figures_of_small_programs(tmp_path, megabytes):
    """As GNU time has them. What a wrapper may hide has no figure, rather than a wrong one."""
    time = shutil.which("time")
    if time is None:
        pytest.skip("GNU time is not installed")
    program = f"dd if=/dev/zero of=/dev/null bs={megabytes}M count=1" if megabytes else "true"
    script = f"#!/bin/sh\nexec {time} -o metered -f '%U %S %M' {program}\n"
    (tmp_path / "launch.sh").write_text(script)
    with spawning.spawner() as spawner:
        record = spawning.execute(spawner, tmp_path).record
    user, system, memory = map(float, (tmp_path / "metered").read_text().split())
    assert user + system - 0.02 <= record["cpu_s"] <= 1.05 * (user + system) + 0.1, record
    seen = record.get("max_rss_bytes", 0) / 1024
    assert abs(seen - memory) < 0.05 * memory if seen or memory > 8000 else memory < 8000, record
