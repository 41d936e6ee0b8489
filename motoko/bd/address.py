"""Where a study's ZEO server listens."""

from __future__ import annotations

from pathlib import Path

from motoko.config import StudyConfig
from motoko.errors import StudyUnavailable
from motoko.runtime import Runtime


def address(study: StudyConfig, runtime: Runtime | None) -> str | tuple[str, int]:
    """The address of a study's server: a socket's path, or a TCP host and port.

    Raises ``StudyUnavailable`` for a local study whose workflow has no runtime yet.
    """
    if study.is_local:
        if runtime is None:
            raise StudyUnavailable(
                f"no ZEO server is running for study {study.name}", hint="run `motoko supervise`"
            )
        return str(runtime.zeo(study.name))
    assert study.host is not None
    target = study.host.removeprefix("zeo://")
    name, _, port = target.rpartition(":")
    if port.isdigit():
        return name, int(port)
    return str(Path(target, ".bd", "zeo.socket"))
