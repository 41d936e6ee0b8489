"""Where a study's ZEO server listens."""

from __future__ import annotations

from motoko.config import StudyConfig
from motoko.config.database_files import DatabaseFiles
from motoko.errors import StudyUnavailable
from motoko.layout import Runtime
from motoko.store import zeo_conf
from motoko.store.foreign_servers import reach


def address(study: StudyConfig, runtime: Runtime | None) -> str | tuple[str, int]:
    """The address of a study's server: a socket's path, or a TCP host and port.

    If another host serves the study, the socket is that of a relay, which lives as long as this
    process. Raises ``StudyUnavailable`` if the server has not been started yet, or cannot be
    reached.
    """
    if study.is_local:
        if runtime is None:
            raise StudyUnavailable(
                f"no ZEO server is running for study {study.name}", hint="run `motoko supervise`"
            )
        return str(runtime.zeo(study.name))
    if study.tcp_address:
        return study.tcp_address
    assert study.host_path is not None  # without a host it would be local
    conf = DatabaseFiles.of(study.host_path).server_config
    address = zeo_conf.read_address(conf)
    if address is None:
        raise StudyUnavailable(
            f"study {study.name}: {conf} names no server",
            hint="supervise the workflow that the study belongs to",
        )
    if address.startswith("/"):
        reach(study.name, study.host_path.parent)
    return address
