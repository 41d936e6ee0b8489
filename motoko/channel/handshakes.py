"""Why a handshake or a greeting has failed: one of a few texts, for the log."""

from __future__ import annotations

import ssl

from motoko.channel.greeting import BadGreeting
from motoko.channel.key_file import UnsafeKey


def why_not(error: Exception) -> str:
    """Why a client is not served."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate: {error.verify_message}"
        case ssl.SSLError():
            return f"no handshake: {error.reason or error.strerror}"
        case UnsafeKey():
            return str(error)
        case BadGreeting():
            return "it does not greet"
        case _:
            return "it went away, or said nothing"
