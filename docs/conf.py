"""Configuration of the documentation. Build it with `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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
