"""What the script that keeps drafts has to know of the page that it is on.

The drafts themselves never leave the visitor's browser.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from django.core.exceptions import SynchronousOnlyOperation
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.crypto import salted_hmac
from django.utils.safestring import SafeString

from backsoon.core.banners import last_closure
from backsoon.gate import gate

if TYPE_CHECKING:
    from django.http import HttpRequest

    from backsoon.gate import View

logger = logging.getLogger("backsoon")

TEMPLATE = "backsoon/_drafts.html"

STORAGES = ("tab", "browser")


def element(request: HttpRequest | None, view: View, language: str, storage: str) -> SafeString:
    """The element that the script reads; empty where nobody can say whose drafts they are."""
    user = _user_of(request)
    if user is None:
        return SafeString("")
    now = gate.now()
    last = last_closure(view.snapshot.policy, view.state, view.snapshot.windows, now)
    with translation.override(language):
        return render_to_string(
            TEMPLATE,
            {
                "user": user,
                "storage": storage,
                "now": _milliseconds(now),
                "began": _milliseconds(last.began),
                "ended": _milliseconds(last.ended),
                "ended_logins": _milliseconds(last.ended_logins),
                "language": language,
                "direction": "rtl" if translation.get_language_bidi() else "ltr",
            },
        )


def _user_of(request: HttpRequest | None) -> str | None:
    """A name for who is logged in that tells nobody who it is; empty for nobody.

    ``None`` where it cannot be told: in async code that has not looked up the user itself.
    """
    user: Any = request.__dict__.get("_acached_user") if request is not None else None
    if user is None:
        user = getattr(request, "user", None)
    try:
        if user is None or not user.is_authenticated:
            return ""
        return salted_hmac("backsoon.drafts", str(user.pk), algorithm="sha256").hexdigest()[:16]
    except SynchronousOnlyOperation:
        logger.warning(
            "Backsoon: no drafts are kept on %s. Its view is asynchronous and has to call "
            "`await request.auser()` before it renders the page.", getattr(request, "path", "?"),
        )  # fmt: skip
        return None


def _milliseconds(moment: dt.datetime | None) -> str:
    return str(int(moment.timestamp() * 1000)) if moment is not None else ""
