"""What strangers cost: 100,000 connections to the gate without its key, during commits.

A script commits small changes of a run, one after the other, and measures how long each takes:
alone; while strangers flood the gate; and, since the flood itself takes one of this machine's
processors, while the same flood goes to a process that accepts and closes, and has nothing to do
with Motoko. The strangers send random bytes, HTTP, and beginnings of TLS of several kinds.
Meanwhile a client with the key connects again and again. All of them come from this host.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from create import FILES, Study
from scratch import end_cleanly_when_terminated, machine, percentile, report

from motoko.channel import endpoint
from motoko.channel.connecting import connect
from motoko.channel.greeting import Greeting
from motoko.channel.tls import Contexts
from motoko.layout import channel_directory

RATIO = 1.5  # promised: of the median commits, during the flood to the gate and the other flood
ROUNDS = 4
RESET = struct.pack("ii", 1, 0)  # so that no connection is left waiting for its end
DEADLINE_S = 300.0

SCRIPT = """\
import json
import sys
import time
from pathlib import Path

import transaction

from motoko.workflow import Workflow

workflow = Workflow("motoko.yaml")
workflow.run_name = "benchmark"
study = workflow.task_managers["step"]
study.connect()
if not len(study.base.runs.entries):
    study.createTask(x=1, commit=True)
(run,) = study.base.runs.entries.values()
Path("begun").touch()
took = []
while not Path("stop").exists():
    run["small"] = len(took)
    began = time.perf_counter()
    transaction.commit()
    took.append(time.perf_counter() - began)
Path("stop").unlink()
Path("begun").unlink()
with open("result.json", "w") as file:
    json.dump(took, file)
"""


def payloads(chance: random.Random) -> list[bytes]:
    """What strangers send."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sent = [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"]
    for _ in range(30):
        outgoing = ssl.MemoryBIO()
        name = f"{chance.getrandbits(128):032x}"
        client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = bytearray(outgoing.read())
        sent.append(bytes(hello))
        hello[chance.randrange(len(hello))] ^= 0xFF
        sent.append(bytes(hello[: chance.randint(1, len(hello))]))
        sent.append(chance.randbytes(chance.randint(1, 1_000)))
    return sent


def flood(address: tuple[str, int], count: int, seed: int) -> None:
    """Be this many strangers, as fast as possible, some of them at a time."""
    chance = random.Random(seed)
    sent = payloads(chance)
    open_ones: list[socket.socket] = []
    for _ in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        try:
            connection.connect(address)
            connection.send(chance.choice(sent))
        except OSError:
            connection.close()
            continue
        open_ones.append(connection)
        if len(open_ones) > 50:
            open_ones.pop(0).close()


def nobody() -> tuple[socket.socket, tuple[str, int]]:
    """A listener that accepts, and closes; it ends with the socket."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()
    return listener, listener.getsockname()[:2]


class Beside:
    """Commits of a study while something else happens."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def commits(self, address: tuple[str, int] | None, count: int, seed: int) -> list[float]:
        """How long each commit takes, while this many strangers come; for 5 s if none do."""
        result: list[list[float]] = []
        script = threading.Thread(
            target=lambda: result.append(self._study.script("commits.py")), daemon=True
        )
        script.start()
        deadline = time.monotonic() + DEADLINE_S
        while not (self._study.directory / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if address is None:
            time.sleep(5)
        else:
            command = [sys.executable, __file__, "--flood", address[0], str(address[1])]
            subprocess.run([*command, str(count), str(seed)], check=True, timeout=DEADLINE_S)
        (self._study.directory / "stop").touch()
        script.join(DEADLINE_S)
        return result[0]


def comings(channel: Path, stop: threading.Event, took: list[float]) -> None:
    """Connect with the key, again and again."""
    contexts = Contexts(channel, server=False)
    while not stop.wait(0.1):
        began = time.perf_counter()
        connect(endpoint.read(channel), contexts, "zeo-step", Greeting(), 30).close()
        took.append(time.perf_counter() - began)


def main() -> None:
    """Measure, print a table, and exit with 1 if the promise is not kept."""
    if sys.argv[1:2] == ["--flood"]:
        host, port, count, seed = sys.argv[2:]
        flood((host, int(port)), int(count), int(seed))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    end_cleanly_when_terminated()

    files = {**FILES, "commits.py": SCRIPT}
    files["motoko.yaml"] += "remote: {address: 127.0.0.1}\n"
    took: dict[str, list[float]] = {
        "alone": [],
        "beside a flood to nobody": [],
        "beside strangers": [],
    }
    keyed: list[float] = []
    listener, elsewhere = nobody()
    with Study(files) as study:
        study.serve()
        pids = {name: p.pid for name, p in study.daemons().items()}
        channel = channel_directory(study.directory)
        gate = endpoint.read(channel)
        address = (gate.hosts[0], gate.port)
        beside = Beside(study)
        share = options.connections // ROUNDS
        for number in range(ROUNDS):
            took["alone"] += beside.commits(None, 0, number)
            took["beside a flood to nobody"] += beside.commits(elsewhere, share, number)
            stop = threading.Event()
            guest = threading.Thread(target=comings, args=(channel, stop, keyed))
            guest.start()
            took["beside strangers"] += beside.commits(address, share, number)
            stop.set()
            guest.join()
        same = {name: p.pid for name, p in study.daemons().items()} == pids
        lines = len((study.directory / ".wf" / "log" / "gate.log").read_text().splitlines())
    listener.close()
    medians = {name: statistics.median(values) * 1e3 for name, values in took.items()}
    ratio = medians["beside strangers"] / medians["beside a flood to nobody"]
    passed = same and lines < 100 and ratio <= RATIO
    result = {
        "machine": machine(),
        "connections": options.connections,
        "commit_ms": {name: round(value, 3) for name, value in medians.items()},
        "ratio": round(ratio, 2),
        "with_key_ms": [round(percentile(keyed, p) * 1e3, 1) for p in (50, 99)],
        "log_lines": lines,
        "passed": passed,
    }
    rows = [
        f"  {name:<26}{medians[name]:8.2f} ms   p99 {percentile(values, 99) * 1e3:8.2f} ms"
        f"   ({len(values)} commits)"
        for name, values in took.items()
    ]
    text = [
        f"a commit, and {options.connections} connections without a key",
        *rows,
        f"  ratio of the last two {ratio:.2f} (promised: at most {RATIO:g})",
        "  coming in with the key meanwhile: "
        f"{result['with_key_ms'][0]} ms, p99 {result['with_key_ms'][1]} ms",
        f"  the gate's log has {lines} lines; no daemon was replaced: {same}",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(text), as_json=options.json)


if __name__ == "__main__":
    main()
