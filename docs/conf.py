"""Configuration of the documentation. Build it with `make docs`."""

import re

from sphinx.application import Sphinx

import rtmcore

project = "rtmsync"
author = "The rtmsync developers"
project_copyright = "The rtmsync developers"
version = release = rtmcore.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"
nitpicky = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# Attributes that a docstring lists and autodoc finds as well stand once, in the docstring's words.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"rtmsync {version}"
html_copy_source = False
html_show_sourcelink = False

_FENCE = re.compile(r"^(\s*)```(\w*)$")


def fences_to_blocks(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Turn the code fences of a docstring into what reStructuredText calls a code block."""
    inside = False
    written: list[str] = []
    for line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            written.append(f"    {line}" if inside and line else line)
            continue
        inside = not inside
        written += [f"{fence[1]}.. code-block:: {fence[2]}", ""] if inside else [""]
    lines[:] = written


def keep_colons(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon for the type of an attribute: an empty comment has none."""
    if what in ("attribute", "data", "property") and lines:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    # Before napoleon, which has the usual priority of 500.
    app.connect("autodoc-process-docstring", fences_to_blocks, priority=400)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
