"""Answers requests of a ``LabSession``, a line of JSON each, on the host it was started on."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import transaction
from batch import entries
from launching import Session
from support import Flow

PAUSE_S = 0.2  # they are asked again and again


def create(flow: Flow, request: dict[str, Any]) -> list[int]:
    session = Session(flow, request["run_name"])
    try:
        manager = session.workflow.task_managers[request["study"]]
        scripts = [f"{request['script']}\n# {n}" for n in range(request["count"])]
        job = {"script": scripts} | ({} if request["code"] is None else {"code": request["code"]})
        created = manager.createTask(request["params"], **job)
        transaction.commit()
        return [run.id for run, _ in created]
    finally:
        session.close()


def answer(flow: Flow, request: dict[str, Any]) -> list[Any]:
    if request["do"] == "create":
        return create(flow, request)
    time.sleep(PAUSE_S)
    return entries(flow, request["study"])


def main() -> None:
    flow = Flow(Path.cwd(), ())
    output, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            reply: dict[str, Any] = {"found": answer(flow, json.loads(line))}
        except Exception as error:  # noqa: BLE001 # whoever asks is told
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply, default=str), file=output, flush=True)


if __name__ == "__main__":
    main()
