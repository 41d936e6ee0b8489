"""How Sphinx makes the site: `make docs`. The pages are the Markdown files beside this one."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Motoko"
author = "the authors of Motoko"
release = version_of("motoko")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
    "made_of_sources",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Motoko {release}"
highlight_language = "console"

myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4  # pages link to headings, as on GitHub

autodoc_member_order = "bysource"
autodoc_typehints = "description"
