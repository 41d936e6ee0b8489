"""The first process of a host of the lab: makes its mounts, gives it its name, and reaps.

It is started in namespaces of its own, as process 1; when it is killed, all of the host is.
Arguments: the host's name, a directory of its own, and what has to be seen there although it lies
below a directory that each host has for itself.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

# Each host has its own, empty when it starts.
OWN = {"/tmp": 0o1777, "/dev/shm": 0o1777, "/run": 0o755}
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def lay_over(directory: str, upper: Path, work: Path) -> None:
    """What is written to a directory from now on stays on this host."""
    options = f"lowerdir={directory},upperdir={upper},workdir={work}"
    mount("-t", "overlay", "overlay", directory, "-o", options)


def closed_above(kept: list[str]) -> list[str]:
    """The directories that keep others from an interpreter of root's, such as /root.

    On hosts all users may execute it.
    """
    above = {str(parent) for path in kept for parent in Path(path).parents}
    return [path for path in sorted(above) if not Path(path).stat().st_mode & 0o001]


def make_host(name: str, place: Path, kept: list[str]) -> None:
    """Give the namespaces of the calling process what makes them a host."""
    socket.sethostname(name)
    place.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", str(place))
    layers = [place / folder for folder in ("etc", "etc-work")]
    for layer in layers:
        layer.mkdir()
    lay_over("/etc", *layers)
    for directory, mode in OWN.items():
        own = place / directory.strip("/").replace("/", "-")
        own.mkdir()
        own.chmod(mode)
        inner = [path for path in kept if path.startswith(f"{directory}/")]
        for path in inner:
            target = own / Path(path).relative_to(directory)
            target.mkdir(parents=True, exist_ok=True)
            mount("--rbind", path, str(target))
        mount("--rbind", str(own), directory)
    for directory in closed_above(kept):
        layer = place / directory.strip("/").replace("/", "-")
        layer.mkdir(mode=0o755)
        (work := layer.with_name(f"{layer.name}-work")).mkdir()
        lay_over(directory, layer, work)
    (place / "boot_id").write_text(f"{uuid.uuid4()}\n")
    mount("--bind", str(place / "boot_id"), BOOT_ID)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main() -> None:
    name, place, *kept = sys.argv[1:]
    make_host(name, Path(place), kept)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    os.write(1, b"up\n")
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
