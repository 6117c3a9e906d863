"""The line of Backsoon on the pages of Django's admin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import format_html

from backsoon.admin import quiet, status, times
from backsoon.http.files import static_url

if TYPE_CHECKING:
    import datetime as dt

    from django.template import Context
    from django.utils.safestring import SafeString

logger = logging.getLogger("backsoon")

register = template.Library()

CARD = "backsoon/admin/card.html"
BAR = "backsoon/admin/bar.html"


@register.simple_tag(takes_context=True)
def backsoon_bar(context: Context) -> str:
    """The card on the index of an admin site, the slim bar on its other pages while not open.

    Draws nothing for who is not in the admin, and nothing in pop-ups. Never raises: a line about
    the site's state must not take the admin away from those who would mend it.
    """
    request = context.get("request")
    if request is None or not context.get("has_permission") or context.get("is_popup"):
        return ""
    try:
        return _draw(context, request)
    except Exception:
        logger.exception("Backsoon: the card of the admin could not be drawn.")
        return ""


def _draw(context: Context, request: Any) -> str:
    match = getattr(request, "resolver_match", None)
    is_index = match is not None and match.url_name == "index" and "admin" in match.app_names
    reading = context.get("backsoon_reading") or (
        status.read() if is_index else status.last_known()
    )
    if reading.state.is_open and not is_index:
        return ""
    return render_to_string(
        CARD if is_index else BAR,
        {
            **status.context(reading, request.user),
            "quiet": _quietness(reading, request.user) if is_index else None,
            "csp_nonce": context.get("csp_nonce"),
            "has_assets": context.get("backsoon_has_assets", False),
            "has_own_switch": context.get("backsoon_has_own_switch", False),
            "is_confirm_page": context.get("backsoon_is_confirm_page", False),
        },
        request=request,
    )


def _quietness(reading: status.Reading, user: Any) -> quiet.Telling | None:
    """Whether all is quiet, while closed and for those who may know."""
    if reading.state.is_open or reading.trouble or not quiet.may_see(user):
        return None
    telling = quiet.tell()
    return telling if telling.closed else None


@register.simple_tag
def backsoon_static(path: str) -> str:
    """The address of a static file of ours; see :func:`backsoon.http.files.static_url`."""
    return static_url(path)


@register.simple_tag
def backsoon_time(moment: dt.datetime, form: times.Form = "relative") -> SafeString:
    """A ``<time>`` in the reader's zone; see :func:`backsoon.admin.times.time_element`."""
    return times.time_element(moment, form)


@register.simple_tag
def backsoon_fill(text: str, element: SafeString) -> SafeString:
    """*text* with *element* in place of ``{time}``: translators see a sentence, not its markup."""
    before, _sign, after = text.partition("{time}")
    return format_html("{}{}{}", before, element, after)
