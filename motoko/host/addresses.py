"""Names and addresses of hosts, and which of them are this host's."""

from __future__ import annotations

import functools
import ipaddress
import socket


@functools.lru_cache(maxsize=256)
def addresses(name: str) -> frozenset[str]:
    """The addresses of a host; none if its name is unknown."""
    try:
        answers = socket.getaddrinfo(name.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(place[0]).partition("%")[0] for *_, place in answers)


def is_loopback(address: str) -> bool:
    """Whether an address is a loopback address, by which a host reaches only itself."""
    return ipaddress.ip_address(address).is_loopback


def is_this_host(name: str) -> bool:
    """Whether a name or address is this host's. An unknown name is not."""
    if name in ("localhost", socket.gethostname()):
        return True
    known = addresses(name)
    return bool(known) and all(
        is_loopback(address) or address in own_addresses() for address in known
    )


@functools.cache
def own_addresses() -> frozenset[str]:
    """The addresses of this host's interfaces."""
    import psutil

    return frozenset(
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    )
