"""The checks on a node: ``python -m motoko.health.node_probe DIRECTORY`` prints JSON."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from motoko.channel.endpoint import FILE_NAME
from motoko.control.other_hosts import connect_control
from motoko.health.check_findings import Finding, ok, warning
from motoko.health.examination import clocks, disk, guarded, locks, software
from motoko.health.installation import versions
from motoko.health.looked_at import Place, place_of
from motoko.health.node_examination import NodeAnswer
from motoko.layout import channel_directory

ANSWER_S = 20.0


def head(place: Place) -> Iterator[Finding]:
    """Head node: it is reached through the workflow's gate, if that is open."""
    if not (channel_directory(place.directory) / FILE_NAME).exists():
        text = "it is unknown whether the head node is reached: the workflow has no open gate"
        yield warning("head node", text, "`motoko supervise`, then `motoko doctor --nodes`")
        return
    connect_control(place.directory, ANSWER_S).close()
    yield ok("head node", "it is reached through the gate")


def main() -> None:
    """Make the checks, and print a :class:`NodeAnswer`."""
    place = place_of(Path(sys.argv[1]))
    checks = (software, locks, disk, clocks, head)
    findings = [finding for check in checks for finding in guarded(check, place)]
    answer = NodeAnswer(socket.gethostname(), versions(), findings)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
