"""The types of times and sizes in motoko.yaml."""

from __future__ import annotations

from typing import Annotated

from motoko.config.decoding import Hint, Written
from motoko.host.durations import EXAMPLES, seconds
from motoko.host.sizes import as_written, size

Seconds = Annotated[
    float,
    Written("a time", "finite", seconds, "{:g}s".format),
    Hint(f"write one such as {EXAMPLES}"),
]
# In bytes.
Size = Annotated[
    int,
    Written("a size", "such as 500MB", size, as_written),
    Hint("write a number with KB, MB, GB or TB"),
]
