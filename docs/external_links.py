"""Asks whether the documentation's links to other sites are alive: `make docs-links`.

A link is dead if its site says that there is no such page. A site that this machine does not reach
(or a cache of it, which has no first page), or that refuses to answer, says nothing about the link:
that is printed, with the reason.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urljoin

ROOT = Path(__file__).parents[1]
ANSWER_S = 15.0
# What a site says of a page that is not there: the addresses of others may be right.
GONE = (404, 410)
_LINK = re.compile(r"https?://[^\s<>()\"'`\]]+")


def links(texts: Iterable[str]) -> list[str]:
    """The links to other sites in some texts, each once, without examples."""
    return sorted({link.rstrip(".,;:") for text in texts for link in _LINK.findall(text)})


def ask(link: str) -> tuple[int, str]:
    """The status with which a link's site answers, and of what type; ``OSError`` if it does not."""
    request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.status, answer.headers.get_content_type()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type()


def judged(link: str, ask: Callable[[str], tuple[int, str]] = ask) -> tuple[bool, str]:
    """Whether a link may be alive, and why that is thought."""
    try:
        status, _ = ask(link)
        if status in GONE and ask(urljoin(link, "/")) != (200, "text/html"):
            return True, "not known: a cache answers in place of the site"
    except OSError as error:
        return True, f"not known: this machine does not reach the site: {error}"
    if status in GONE:
        return False, f"dead: the site answers {status}"
    return True, "alive" if status < 400 else f"not known: the site answers {status}"


def main() -> int:
    """Print what each link's site answers; the exit code is 1 if a link is dead."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CITATION.cff"]
    pages += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    alive = True
    for link in links(page.read_text() for page in pages):
        is_alive, why = judged(link)
        print(f"{link}: {why}")
        alive = alive and is_alive
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
