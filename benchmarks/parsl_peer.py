"""Parsl's rate of independent programs, for plain.py; this is no benchmark by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from chain import peer_programs, version_of
from scratch import Sandbox

DEFAULT_PARSL_VENV = Path.home() / ".cache" / "motoko-benchmarks" / "parsl"

FILES = {
    "rates.py": """\
import json
import sys
import time

import parsl
from parsl import Config, HighThroughputExecutor, bash_app
from parsl.providers import LocalProvider

workers, runs, turns = map(int, sys.argv[1:])


@bash_app
def step():
    return "true"


executor = HighThroughputExecutor(
    address="127.0.0.1",
    loopback_address="127.0.0.1",
    encrypted=False,
    max_workers_per_node=workers,
    cores_per_worker=1e-6,
    provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
)
rates = []
with parsl.load(Config([executor], strategy="none", initialize_logging=False, usage_tracking=0)):
    for count in (10 * workers, *[runs] * turns):
        started = time.time()
        for future in [step() for _ in range(count)]:
            future.result()
        rates.append(count / (time.time() - started))
with open("result.json", "w") as file:
    json.dump(rates[1:], file)
"""
}


def rates(venv: Path, workers: int, runs: int, turns: int) -> dict[str, Any] | None:
    """Its version and its runs per second in each turn; ``None`` if it cannot be installed."""
    try:
        programs = peer_programs(venv, "parsl", version=None)
    except subprocess.CalledProcessError as error:
        print(f"Parsl cannot be installed, and is not measured: {error}", file=sys.stderr)
        return None
    with Sandbox(FILES, programs) as sandbox:
        sizes = map(str, (workers, runs, turns))
        sandbox.run(programs / "python", "rates.py", *sizes, timeout=300)
        found = json.loads((sandbox.directory / "result.json").read_text())
    version = version_of("parsl", programs / "python")
    return {"version": version, "rates": [round(each, 1) for each in found]}
