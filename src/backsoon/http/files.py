"""The addresses of our static files."""

from __future__ import annotations

import functools
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString


def static_url(path: str) -> str:
    """The address of a static file of ours, also when the files were not collected again.

    Storages with a manifest raise for files that they do not know; a missing style sheet is no
    reason for a missing page.
    """
    try:
        return static(path)
    except ValueError:
        return f"{settings.STATIC_URL}{path}"


def elements(name: str, nonce: object = None) -> SafeString:
    """A style sheet and a script of ours: ``backsoon/NAME.css`` and ``backsoon/NAME.js``.

    *nonce* is the one of the page's Content-Security-Policy, where it has one.
    """
    return _without_nonce(name) if nonce is None else _elements(name, nonce)


@functools.cache
def _without_nonce(name: str) -> SafeString:
    return _elements(name, None)


def _elements(name: str, nonce: object) -> SafeString:
    allowed = format_html(' nonce="{}"', nonce) if nonce is not None else SafeString("")
    return format_html(
        '<link rel="stylesheet" href="{}"{}>\n<script src="{}" defer{}></script>\n',
        static_url(f"backsoon/{name}.css"), allowed, static_url(f"backsoon/{name}.js"), allowed,
    )  # fmt: skip


def _forget(**kwargs: Any) -> None:
    _without_nonce.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.files")
