"""At which addresses of this host the gate listens, and at which others reach it."""

from __future__ import annotations

import contextlib
import errno
import socket

from motoko.channel.tls import keep_alive
from motoko.errors import ConfigError, MotokoError
from motoko.host.addresses import addresses, is_loopback, own_addresses

# Addresses that belong to no host (nothing is sent): they show which way packets would leave.
_ANYWHERE = ("192.0.2.1", "2001:db8::1")
_BACKLOG = 1024
_SPARE_PORTS = 20  # this many free ports are tried, if one must be free at several addresses


class CannotListen(MotokoError):
    """The gate cannot listen at the address and port that it should have."""


def address_towards(host: str) -> str | None:
    """The address of this host from which it reaches another; ``None`` if it does not."""
    for address in sorted(addresses(host)):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing
            own = str(probe.getsockname()[0]).partition("%")[0]
            if not is_loopback(own):
                return own
    return None


def default_address() -> str:
    """The address of this host towards other hosts in general. Raises ``ConfigError``."""
    for anywhere in _ANYWHERE:
        if (address := address_towards(anywhere)) is not None:
            return address
    own = [address for address in addresses(socket.gethostname()) if not is_loopback(address)]
    own += [a for a in sorted(own_addresses()) if not is_loopback(a) and not _is_link_local(a)]
    if own:
        return own[0]
    raise ConfigError(
        "this host has no address at which other hosts could reach it",
        hint="name one: `remote: {address: ...}`",
    )


def check_address(address: str) -> None:
    """Raise ``ConfigError`` unless an address, or a name, is this host's, or means all of them."""
    known = addresses(address)
    if not known:
        raise ConfigError(f"remote.address: there is no host {address!r}")
    foreign = [a for a in known if not (_is_any(a) or is_loopback(a) or a in own_addresses())]
    if foreign:
        raise ConfigError(
            f"remote.address: {address} is no address of this host",
            hint=f"they are {', '.join(sorted(own_addresses()))}",
        )


def bound(address: str, port: int) -> list[socket.socket]:
    """Sockets that listen at an address, or at all addresses of a name, at one port.

    Args:
        address: an address or a name; ``::`` and ``0.0.0.0`` mean all addresses.
        port: 0 for a free one.

    Raises ``CannotListen``.
    """
    names = sorted(addresses(address)) or [address]
    for tries in range(_SPARE_PORTS, 0, -1):
        opened: list[socket.socket] = []
        chosen = port
        try:
            for name in names:
                opened.append(_listening(name, chosen))
                chosen = opened[0].getsockname()[1]
        except OSError as error:
            for listening in opened:
                listening.close()
            if port == 0 and opened and error.errno == errno.EADDRINUSE and tries > 1:
                continue
            raise CannotListen(
                f"the gate cannot listen at {shown(names[len(opened)], chosen)}: {error.strerror}",
                hint="choose another: `remote: {address: ..., port: ...}` in motoko.yaml",
            ) from error
        return opened
    raise AssertionError("not reached")


def _listening(address: str, port: int) -> socket.socket:
    is_v6 = ":" in address
    listening = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keep_alive(listening)  # accepted connections inherit it
        if is_v6:
            only = 0 if _is_any(address) else 1
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def hosts(listening: list[socket.socket], first: str) -> tuple[str, ...]:
    """The addresses and names at which other hosts reach sockets, in the order to be tried.

    Args:
        listening: the sockets.
        first: the address that should be tried first, if the sockets cover it.
    """
    bound_to = {str(one.getsockname()[0]).partition("%")[0] for one in listening}
    own = sorted(a for a in own_addresses() if not is_loopback(a) and not _is_link_local(a))
    covered = [a for a in own if _covers(bound_to, a)]
    covered += sorted(a for a in bound_to if not _is_any(a) and a not in covered)
    name = socket.gethostname()
    known = [a for a in addresses(name) if not is_loopback(a)]
    named = [name] if any(a in covered for a in known) else []
    front = [first] if first in covered else []
    return tuple(dict.fromkeys([*front, *named, *covered]))


def _covers(bound_to: set[str], address: str) -> bool:
    return address in bound_to or "::" in bound_to or (":" not in address and "0.0.0.0" in bound_to)


def _is_any(address: str) -> bool:
    return address in ("0.0.0.0", "::")


def _is_link_local(address: str) -> bool:
    return address.startswith(("169.254.", "fe80:"))


def shown(address: str, port: int) -> str:
    """An address and a port, as people write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
