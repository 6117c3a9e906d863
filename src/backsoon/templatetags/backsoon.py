"""What projects put into their own templates: ``{% load backsoon %}``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings
from django.utils import translation
from django.utils.safestring import SafeString

from backsoon.gate import gate
from backsoon.http import banners, drafts, files

if TYPE_CHECKING:
    from django.template import Context

logger = logging.getLogger("backsoon")

register = template.Library()


@register.simple_tag(takes_context=True)
def maintenance_notice(context: Context) -> SafeString:
    """The banner of planned closures, and of reading only; with its style sheet and script.

    With nothing to tell it is empty, and its script hears of what is planned later. No query.
    Never raises: a banner must not take the page away.
    """
    try:
        html = banners.board_html(gate.view(), _language())
        return SafeString(html + files.elements("notice", context.get("csp_nonce")))
    except Exception:
        logger.exception("Backsoon: the banner could not be drawn.")
        return SafeString("")


@register.simple_tag(takes_context=True)
def maintenance_drafts(context: Context, storage: str = "tab") -> SafeString:
    """The script that keeps what is typed into forms marked with ``data-backsoon-draft``.

    *storage*: ``"tab"`` keeps it as long as the tab is open, ``"browser"`` beyond that; a day at
    most. It asks who is logged in, so that nobody gets what somebody else typed.
    """
    if storage not in drafts.STORAGES:
        known = " or ".join(repr(name) for name in drafts.STORAGES)
        raise template.TemplateSyntaxError(f"maintenance_drafts: storage must be {known}")
    request: Any = context.get("request")
    try:
        html = drafts.element(request, gate.view(), _language(), storage)
        return SafeString(html + files.elements("drafts", context.get("csp_nonce")))
    except Exception:
        logger.exception("Backsoon: the script that keeps drafts could not be put into a page.")
        return SafeString("")


def _language() -> str:
    return translation.get_language() or settings.LANGUAGE_CODE
