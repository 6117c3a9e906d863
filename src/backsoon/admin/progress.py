"""Waiting after the site was closed: a page, its live part, and more time for the closure.

The page works by itself, with a link that looks again; with scripts it asks each second.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from backsoon import services
from backsoon.exceptions import ConflictError, InvalidSettingError, StoreUnavailableError
from backsoon.http.users import may_change

from . import quiet, status, times
from .pages import by_web, epoch_in, render, require_change

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

MORE = dt.timedelta(hours=24)
"""How much longer one press of the button lets a closure last."""


@require_http_methods(["GET", "HEAD"])
def progress_page(request: HttpRequest) -> HttpResponseBase:
    """How far the closure has come; with ``?epoch=`` that of this number and no other."""
    if not quiet.may_see(request.user):
        raise PermissionDenied(_("What runs here is for administrators to see."))
    seen = epoch_in(request.GET)
    # First: the button must not open what was closed after the page had told of it.
    reading = status.read()
    telling = quiet.tell(seen.epoch if seen is not None else None)
    context = {
        "title": _("Is all quiet?"),
        "telling": telling,
        "data_url": reverse("backsoon_admin:progress_data"),
        "may_change": may_change(request.user),
        "confirm_url": reverse("backsoon_admin:confirm"),
        "backsoon_reading": reading,
        "backsoon_has_own_switch": True,
    }
    return render(request, "backsoon/admin/progress.html", context, 200)


@never_cache
@login_not_required  # it looks at the user itself, and answers in JSON
def progress_data(request: HttpRequest) -> JsonResponse:
    """What is true now, for the script of the page.

    ``{"verdict", "headline", "closed", "html"}``; the last is what stands below the headline.
    """
    if request.method not in ("GET", "HEAD"):
        return _refusal(405, _("Use GET."), Allow="GET, HEAD")
    if not quiet.may_see(getattr(request, "user", None)):
        return _refusal(403, _("What runs here is for administrators to see."))
    seen = epoch_in(request.GET)
    telling = quiet.tell(seen.epoch if seen is not None else None)
    return JsonResponse(
        {
            "verdict": telling.verdict,
            "headline": telling.headline,
            "closed": telling.closed,
            "html": render_to_string("backsoon/admin/_workers.html", {"telling": telling}),
        }
    )


@require_POST
def extend(request: HttpRequest) -> HttpResponseBase:
    """Give the closure 24 hours more before an alarm is raised about it."""
    require_change(request)
    try:
        outcome = services.extend_closure(
            MORE, origin=by_web(request), expected=epoch_in(request.POST)
        )
    except InvalidSettingError as error:
        messages.error(request, " ".join(s for texts in error.errors.values() for s in texts))
    except ConflictError:
        messages.error(
            request, _("Somebody else switched in the meantime. What you see now is true.")
        )
    except StoreUnavailableError:
        messages.error(request, _("The database did not answer. Nothing was changed."))
    else:
        at = outcome.state.overdue_at
        text = _("The closure may last until %(time)s before an alarm is raised.")
        messages.success(request, text % {"time": times.full(at) if at is not None else "–"})
    return HttpResponseRedirect(reverse("admin:index", current_app=admin.site.name))


def _refusal(code: int, message: str, **headers: str) -> JsonResponse:
    return JsonResponse({"success": False, "message": message}, status=code, headers=headers)
