"""The public validator of RO-Crates, in an environment of its own, which ``make test`` makes.

It needs an older rich than we do. It asks the network for the vocabulary that crates refer to; here
it finds what the library rocrate ships.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BIN = Path(sys.prefix) / "validator" / "bin"
VALIDATE_S = 120.0
# Puts the vocabulary into the validator's cache, as if it came from its address.
SHIPPED = """
import io, sys
from pathlib import Path
import rocrate
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

TEXT = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()


class Shipped(HTTPAdapter):
    def send(self, request, *arguments, **options):
        headers = {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(io.BytesIO(TEXT), headers, 200, preload_content=False)
        return self.build_response(request, raw)


session = CachedSession(cache_name=sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", Shipped())
accepted = "application/ld+json, application/json, */*;q=0.1"
assert session.get(sys.argv[2], headers={"Accept": accepted}).ok
"""


def why_none() -> str | None:
    """Why crates cannot be validated here; ``None`` if they can."""
    if not (BIN / "rocrate-validator").exists():
        return f"there is no {BIN}/rocrate-validator: `make {Path(sys.prefix).name}/.validator`"
    return None


def problems(crate: Path, place: Path) -> list[str]:
    """What is wrong with an unpacked crate at the level that is required.

    ``place`` is an empty directory for the validator's files.
    """
    context = json.loads((crate / "ro-crate-metadata.json").read_text())["@context"]
    cache, report = place / "cache", place / "report.json"
    _run(BIN / "python", "-c", SHIPPED, cache, context)
    options = ("--no-paging", "--offline", "--cache-path", cache, "-f", "json", "-o", report)
    _run(BIN / "rocrate-validator", "-y", "validate", *options, crate, check=False)
    result: dict[str, Any] = json.loads(report.read_text())
    assert result["statistics"]["total_passed_checks"] > 40, "it has not looked at much"
    wrong = [f"{one['severity']}: {one['message']}" for one in result["issues"]]
    assert result["passed"] == (not wrong)
    return wrong


def _run(*command: object, check: bool = True) -> None:
    subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=VALIDATE_S,
        check=check,
    )
