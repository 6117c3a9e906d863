"""Styles and scripts of the page without what only their authors read: line ends and indentation.

The page has to fit into the first packets of a connection. Strings stay as they are, and a script
that could mean its indentation does as well, so whatever a project writes there still says the
same.
"""

from __future__ import annotations

import re

_STYLE = re.compile(r"(<style\b[^>]*>)(.*?)(</style\s*>)", re.DOTALL | re.IGNORECASE)
_SCRIPT = re.compile(r"(<script\b[^>]*>)(.*?)(</script\s*>)", re.DOTALL | re.IGNORECASE)

# A string, a comment (either may hold what looks like the other), or space that means nothing.
_CSS = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|/\*.*?\*/)|\s*([{};,])\s*|\s*\n\s*""", re.DOTALL
)
_INDENTATION = re.compile(r"\n\s+")


def compact(html: str) -> str:
    """*html* with its ``<style>`` and ``<script>`` elements made smaller."""
    html = _STYLE.sub(lambda found: found[1] + _compact_css(found[2]) + found[3], html)
    return _SCRIPT.sub(lambda found: found[1] + _compact_script(found[2]) + found[3], html)


def _compact_css(css: str) -> str:
    return _CSS.sub(lambda found: found[1] or found[2] or " ", css).strip()


def _compact_script(script: str) -> str:
    """Without indentation, unless some of it may stand in the middle of a string."""
    for line in script.split("\n"):
        if line.count("`") % 2 or line.endswith("\\"):
            return script
    return _INDENTATION.sub("\n", script)
