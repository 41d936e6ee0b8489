"""Takes secrets out of texts: known ones, and whatever looks like one. Pure.

Harmless text may be taken out, too; no decision rests on what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"
# Shorter values occur in texts by chance.
LEAST = 6

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"key|credentials?|auth(?:orization|entication)?|cookie|session[_-]?id|signature|bearer)"
)
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})  # variables of every shell
_SECRET_NAME = re.compile(_SECRET_WORD, re.IGNORECASE)
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_VALUE = rf"(?P<value>{_QUOTED}|[^\s,;&\"'}})\]]+)"
# `environment:` in YAML that may be broken: a block of further indented lines, or {...}.
_ENVIRONMENT = re.compile(
    r"^(?P<indent>[ \t]*)(?P<rest>.*)\benvironment[\"']?:[ \t]*"
    r"(?:\{[^}]*\}?|(?:#.*)?\n(?:(?P=indent)[ \t]+.*(?:\n|\Z)|[ \t]*\n)+)",
    re.MULTILINE,
)
_ASSIGNED = re.compile(rf"(?<=:)[ \t]+(?P<value>{_QUOTED}|[^\s{{}}][^\n,}}]*)")
# They are replaced in turn; earlier patterns match longer texts.
_PATTERNS = (
    # A key or a certificate, also one whose end is missing.
    re.compile(r"(?P<value>-----BEGIN [A-Z ]+-----(?s:.*?)(?:-----END [A-Z ]+-----|\Z))"),
    # https://user:password@host
    re.compile(r"(?<=://)(?P<value>[^\s/@]+)(?=@)"),
    # Addresses of services that send messages: discord://id/token
    re.compile(
        r"(?i)\b(?!(?:https?|zeo|ipc|tcp|inproc|file|ssh|git)://)[a-z][a-z0-9+.-]*://"
        r"(?P<value>[^\s\"',\]}]+)"
    ),
    # Authorization: Basic abc, and Bearer abc anywhere.
    re.compile(
        r"(?i)\b(?:authorization|cookie|set-cookie)\b[\"']?\s*[:=]\s*"
        rf"(?P<value>{_QUOTED}|[^\r\n\"]+)"
    ),
    re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<value>[A-Za-z0-9._~+/=-]{6,})"),
    # name: value, NAME=value, "name": "value", ?token=value
    re.compile(rf"(?i)[\w.-]*{_SECRET_WORD}[\w.-]*[\"']?\s*[:=]+\s*{_VALUE}"),
    # --password value
    re.compile(rf"(?i)--?[\w-]*{_SECRET_WORD}[\w-]*\s+{_VALUE}"),
    # Tokens in the forms that services give them.
    re.compile(
        r"(?P<value>\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hf_|pypi-)[\w-]{10,})"
    ),
    re.compile(r"(?P<value>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)"),
    re.compile(r"(?P<value>\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"),
)


def is_secret_name(name: str) -> bool:
    """Whether a variable holds a secret, by its name."""
    return name not in _NO_SECRETS and _SECRET_NAME.search(name) is not None


def values_of(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables of an environment, with values, that must be hidden because of their names."""
    return [(name, value) for name, value in environment.items() if is_secret_name(name)]


def hidden(text: str, known: Iterable[str] = ()) -> str:
    """A text without secrets.

    Args:
        text: any text: YAML, JSON, a shell script, a log.
        known: known secrets; those of fewer than 6 characters are ignored.
    """
    for value in sorted({v for v in known if len(v) >= LEAST}, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = _ENVIRONMENT.sub(lambda block: _ASSIGNED.sub(_without_value, block[0]), text)
    for pattern in _PATTERNS:
        text = pattern.sub(_without_value, text)
    return text


def _without_value(match: re.Match[str]) -> str:
    start, end = (place - match.start() for place in match.span("value"))
    quote = match["value"][0] if match["value"][0] in "\"'" else ""
    return match[0][:start] + quote + HIDDEN + quote + match[0][end:]
