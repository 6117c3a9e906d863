"""The maintenance page of last resort: no template, no translation, no Django.

Served when the project's template cannot be rendered. It knows a title and a message, and it must
not be able to fail: a string goes in, a string comes out.
"""

from __future__ import annotations

import re
from html import escape

# Colours are those of the real page, so that a visitor who sees both does not start.
_STYLE = """
:root{color-scheme:light dark;--wall:#efe5d5;--paper:#fffaf1;--ink:#2b2118}
@media(prefers-color-scheme:dark){:root{--wall:#1b2430;--paper:#293546;--ink:#eceff3}}
body{box-sizing:border-box;min-height:100vh;margin:0;padding:16px;display:grid;place-items:center;
background:var(--wall);color:var(--ink);font:1.0625rem/1.5 system-ui,sans-serif;text-align:center}
main{box-sizing:border-box;width:100%;max-width:34rem;padding:32px 24px;
border:1px solid transparent;
border-radius:16px;background:var(--paper);overflow-wrap:anywhere}
h1{margin:0;font:600 1.75rem/1.2 Georgia,serif}
p{margin:16px 0 0}
"""


def fallback_html(title: str, message: str, language: str, direction: str = "ltr") -> str:
    """A complete HTML document with *title* and *message*, both plain text and escaped here.

    Blank lines in *message* part paragraphs, single line ends become line breaks. *language* is a
    BCP 47 tag for ``<html lang>``; any *direction* but ``"rtl"`` counts as ``"ltr"``. The one
    ``<style>`` element is constant, so that a Content-Security-Policy can name it by hash; there
    is no script, no link and nothing to load. Raises nothing.
    """
    heading = escape(title)
    return (
        "<!doctype html>\n"
        f'<html lang="{escape(language)}" dir="{"rtl" if direction == "rtl" else "ltr"}">\n'
        f'<head>\n<meta charset="utf-8">\n<title>{heading}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n'
        '<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{heading}</h1>\n{_paragraphs(message)}</main>\n</body>\n</html>\n"
    )


def _paragraphs(message: str) -> str:
    """*message* as escaped ``<p>`` elements, or ``""`` when it has no text."""
    lines = "\n".join(line.strip() for line in message.strip().splitlines())
    blocks = re.split(r"\n{2,}", lines) if lines else []
    return "".join(f"<p>{escape(block).replace(chr(10), '<br>')}</p>\n" for block in blocks)
