"""What the channel costs a run on a node, and whether it leaves anything behind.

Three unmodified clients save their run, ``start()`` and ``finish()``, a few times each by turns:
over plain TCP, through the channel (a relay, TLS, the gate), and through a patient relay. A ratio
is the median over all turns of the ratios of their medians: so other load on the machine affects
all three alike. All of it is on this host; the relays are told that the head is another one. Then
the relays of ``--jobs`` jobs come and go, some of them at a time, each with a client.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from create import FILES, Study
from scratch import end_cleanly_when_terminated, machine, report

from motoko.channel import endpoint
from motoko.channel.relaying import PROGRAM
from motoko.host.accounts import own_name
from motoko.layout import channel_directory

CHANNEL, PATIENT = 1.3, 1.4  # promised, in medians of plain TCP
WAYS = ("plain TCP", "channel", "patient")
PATIENCE_S = 600.0
BLOCK = 8  # times start() and finish() in a row
WARM_UP = 10
AT_ONCE = 25  # relays
GONE_S = 30.0

RUNS = """\
from motoko.workflow import Workflow
import json
import transaction

workflow = Workflow("motoko.yaml")
workflow.run_name = "benchmark"
numbers = []
for run, _ in workflow.step.createTask(x=[1, 2, 3], commit=True):
    run["state"] = "launched"
    numbers.append(run.id)
transaction.commit()
with open("result.json", "w") as file:
    json.dump(numbers, file)
"""

CLIENT = """\
import json
import os
import sys
import time

directory, number, user = sys.argv[1:]
os.environ["BLACKDYNAMITE_HOST"] = f"zeo://{directory}"
os.environ["BLACKDYNAMITE_STUDY"] = os.environ["BLACKDYNAMITE_SCHEMA"] = f"{user}_step"
os.environ["BLACKDYNAMITE_RUN_ID"], os.environ["BLACKDYNAMITE_USER"] = number, user
sys.argv = sys.argv[:1]
os.chdir(directory)

import BlackDynamite as BD

run, job = BD.getRunFromScript()
print("ready", flush=True)
for line in sys.stdin:
    took = []
    for _ in range(int(line)):
        began = time.perf_counter()
        run.start()
        run.finish()
        took.append(time.perf_counter() - began)
    print(json.dumps(took), flush=True)
"""


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Elsewhere:
    """The channel as another host sees it, with sockets of its own and relays for them."""

    def __init__(self, study: Study, name: str, patience: float) -> None:
        self.place = study.directory.parent / name
        self.sockets = study.directory.parent / f"{name}-sockets"
        self.place.mkdir(mode=0o700)
        self.sockets.mkdir(mode=0o700)
        here = channel_directory(study.directory)
        key = (here / "key.pem").read_bytes()
        descriptor = os.open(self.place / "key.pem", os.O_CREAT | os.O_WRONLY, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key)
        gate = endpoint.read(here)
        gate._replace(
            boot_id="another",
            sockets=str(self.sockets),
            names=("zeo-step",),
            patience={"zeo-step": patience},
        ).write(self.place)
        self.address = str(self.sockets / "zeo-step")

    def relay(self, token: str) -> subprocess.Popen[bytes]:
        """A job's relay that serves; it ends when its standard input is closed."""
        words = [str(PROGRAM), str(self.place), f"--token={token}", f"--log={self.place}/log"]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        answer = process.stdout.readline()
        if not answer.startswith(b"ready"):
            raise RuntimeError(f"a relay does not serve: {answer!r}")
        return process


def client_directory(study: Study, name: str, address: str) -> Path:
    """A study's directory as a node sees it, whose zeo.conf names an address."""
    directory = study.directory.parent / f"{name}-client" / "step"
    (directory / ".bd").mkdir(parents=True)
    (directory / "bd.yaml").write_text((study.directory / "step" / "bd.yaml").read_text())
    (directory / ".bd" / "zeo.conf").write_text(f"<zeo>\n  address {address}\n</zeo>\n")
    return directory


def turns(clients: dict[str, subprocess.Popen[str]], rounds: int) -> dict[str, list[float]]:
    """The median of each block, by way; the ways take turns."""
    took: dict[str, list[float]] = {way: [] for way in clients}
    for number in range(rounds + 1):
        for way, client in clients.items():
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(f"{BLOCK if number else WARM_UP}\n")
            client.stdin.flush()
            values = json.loads(client.stdout.readline())
            took[way] += [statistics.median(values)] if number else []
    return took


def left_by(elsewhere: Elsewhere, jobs: int, server: psutil.Process) -> dict[str, int]:
    """What this many jobs' relays, each of which had a client, leave behind."""
    before = server.num_fds()
    relays = []
    for first in range(0, jobs, AT_ONCE):
        wave = [elsewhere.relay(f"job-{n}") for n in range(first, min(first + AT_ONCE, jobs))]
        for _ in wave:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(GONE_S)
                client.connect(elsewhere.address)
                assert client.recv(4) == b"\0\0\0\2"  # the size of a ZEO server's greeting
        for relay in wave:
            assert relay.stdin is not None
            relay.stdin.close()
        relays += wave
    for relay in relays:
        relay.wait(GONE_S)
    deadline = time.monotonic() + GONE_S
    while server.num_fds() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    sockets = [path for path in elsewhere.sockets.rglob("*") if path.is_socket()]
    return {
        "relays": sum(relay.poll() is None for relay in relays),
        "sockets": len(sockets),
        "descriptors of the server": max(0, server.num_fds() - before),
    }


def measure(study: Study, rounds: int, jobs: int, port: int) -> dict[str, Any]:
    """All measurements, in a workflow that is served."""
    numbers = study.script("runs.py")
    channel = Elsewhere(study, "channel", 0.0)
    patient = Elsewhere(study, "patient", PATIENCE_S)
    addresses = (f"127.0.0.1:{port}", channel.address, patient.address)
    relays = [channel.relay("a"), patient.relay("b")]
    clients = {}
    for way, address, number in zip(WAYS, addresses, numbers, strict=True):
        directory = client_directory(study, way.replace(" ", "-"), address)
        clients[way] = study.start("client.py", directory, number, own_name())
    took = turns(clients, rounds)
    for client in clients.values():
        client.communicate(timeout=60)
    for relay in relays:
        relay.communicate(timeout=60)
    server = study.daemons()["zeo:step"]
    left = left_by(Elsewhere(study, "jobs", PATIENCE_S), jobs, server)
    return {"took": took, "left": left}


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    end_cleanly_when_terminated()

    port = free_port()
    files = {**FILES, "runs.py": RUNS, "client.py": CLIENT}
    yaml = files["motoko.yaml"].replace(
        "step:", f"step: {{host: 'zeo://127.0.0.1:{port}', insecure_tcp: true}}", 1
    )
    files["motoko.yaml"] = f"{yaml}\nremote: {{address: 127.0.0.1}}\n"
    with Study(files) as study:
        study.serve()
        measured = measure(study, options.rounds, options.jobs, port)
    medians = {way: statistics.median(values) * 1e3 for way, values in measured["took"].items()}
    plain = measured["took"][WAYS[0]]
    ratios = {
        way: statistics.median(ours / tcp for ours, tcp in zip(values, plain, strict=True))
        for way, values in measured["took"].items()
    }
    kept = ratios["channel"] <= CHANNEL and ratios["patient"] <= PATIENT
    passed = kept and not any(measured["left"].values())
    result = {
        "machine": machine(),
        "ms": {way: round(value, 3) for way, value in medians.items()},
        "ratio": {way: round(value, 2) for way, value in ratios.items()},
        "left": measured["left"],
        "passed": passed,
    }
    promised = dict(zip(WAYS, ("", f" (at most {CHANNEL})", f" (at most {PATIENT})"), strict=True))
    rows = [f"  {way:<12}{medians[way]:8.2f} ms {ratios[way]:6.2f}{promised[way]}" for way in WAYS]
    left = ", ".join(f"{count} {what}" for what, count in measured["left"].items())
    text = [
        f"start() and finish() of a run, {options.rounds} times {BLOCK} by turns",
        *rows,
        f"left of {options.jobs} jobs' relays (promised: nothing): {left}",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(text), as_json=options.json)


if __name__ == "__main__":
    main()
