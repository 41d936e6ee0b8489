"""The name of a study in its database, which BlackDynamite calls its schema."""

from __future__ import annotations

import re
from collections.abc import Iterable

from motoko.host.accounts import own_name

# A name that BlackDynamite takes for <user>_<study>, and so uses unchanged.
_WITH_USER = re.compile(r".+_.+")


def is_schema(study: str) -> bool:
    """Whether BlackDynamite takes a study's name for that of a schema."""
    return _WITH_USER.match(study) is not None


def schema_of(study: str) -> str:
    """The schema that BlackDynamite's tools create for a study of this name."""
    return study if is_schema(study) else f"{own_name()}_{study}"


def schema_among(schemas: Iterable[str], *studies: str) -> str | None:
    """The schema of the first of these studies that has one; ``None`` if none has.

    It may be another user's.
    """
    schemas = [str(schema) for schema in schemas]
    for study in (re.escape(study.lower()) for study in studies):  # as BlackDynamite keeps its keys
        # A user's name may itself have a _.
        for pattern in (study, f"[^_]*_{study}", f".*_{study}"):
            for schema in schemas:
                if re.fullmatch(pattern, schema.lower()):
                    return schema
    return None
