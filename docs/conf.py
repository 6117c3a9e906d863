"""Configuration of the documentation. Built with `make docs`; needs no network."""

from __future__ import annotations

import backsoon

project = "Backsoon"
author = "Backsoon contributors"
copyright = "2026, Backsoon contributors"
version = release = backsoon.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
# Links to a section by its heading, as they also work on a code hosting site.
myst_heading_anchors = 3

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Backsoon {release}"
html_copy_source = False
html_show_sphinx = False
