"""Who may talk to the workflow's web server, and from which pages. Pure logic.

The server listens where other users of a machine, and pages from elsewhere in the user's own
browser, may knock: at a loopback port, here or at the near end of ``ssh -L``. So each request for
data needs a key, and must come from the server's own page. The key is no cookie: browsers send the
cookies of one local port to all others.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping

_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[1-9][0-9]{0,4})?", re.IGNORECASE)
SCHEME = "Bearer "


class Guard:
    """Tokens, each good for one browser tab, and the keys that they were exchanged for.

    Args:
        on_token: called with each new token: at once, and whenever one was used.
    """

    def __init__(self, on_token: Callable[[str], None]) -> None:
        self._on_token = on_token
        self._keys: list[str] = []
        self._token = ""
        self._renew()

    def exchange(self, token: str) -> str | None:
        """The key for a token, which is used up by that; ``None`` for a wrong one."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return None
        key = secrets.token_urlsafe(32)
        self._keys.append(key)
        self._renew()
        return key

    def knows(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header holds a key."""
        key = authorization.removeprefix(SCHEME).encode()
        return any([hmac.compare_digest(key, known.encode()) for known in self._keys])

    def _renew(self) -> None:
        self._token = secrets.token_urlsafe(32)
        self._on_token(self._token)


def refusal(method: str, headers: Mapping[str, str]) -> str | None:
    """Why a request is refused that no page of this server makes; ``None`` if it may be one.

    Args:
        method: ``GET`` or ``POST``.
        headers: the request's headers; their names are lower-case.
    """
    host = headers.get("host", "")
    if not _LOCAL.fullmatch(host):
        return f"the host {host!r} is not this server: use localhost or 127.0.0.1"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        return f"a page of {origin} may not ask"
    if method != "GET" and origin is None:
        return "the request does not say which page it comes from"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "a page from elsewhere may not ask"
    return None
