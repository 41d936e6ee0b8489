"""Where a study's ZEO server listens."""

from __future__ import annotations

from motoko.bd import zeo_conf
from motoko.config import StudyConfig
from motoko.errors import StudyUnavailable
from motoko.runtime import Runtime


def address(study: StudyConfig, runtime: Runtime | None) -> str | tuple[str, int]:
    """The address of a study's server: a socket's path, or a TCP host and port.

    Raises ``StudyUnavailable`` for a study whose server nobody has started yet.
    """
    if study.is_local:
        if runtime is None:
            raise StudyUnavailable(
                f"no ZEO server is running for study {study.name}", hint="run `motoko supervise`"
            )
        return str(runtime.zeo(study.name))
    assert study.host is not None
    target = study.host.removeprefix("zeo://")
    if study.tcp_address:
        return study.tcp_address
    bd_dir = study.directory.parent / target / ".bd"
    found = zeo_conf.read_address(bd_dir)
    if found is None:
        raise StudyUnavailable(
            f"study {study.name}: {bd_dir / 'zeo.conf'} names no server",
            hint="supervise the workflow that the study belongs to",
        )
    return found
