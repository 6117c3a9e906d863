"""What is done to one planned closure by a press, or after a question."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from backsoon import services, store
from backsoon.exceptions import (
    ConflictError,
    InvalidSettingError,
    NoSuchWindowError,
    StoreUnavailableError,
)

from . import times
from .calendar import closure_of
from .pages import (
    IN_CONFLICT,
    NOT_STORED,
    by_web,
    render,
    require_change,
    stand_aside,
)
from .planned import (
    changed_by_others,
    find,
    parent,
    row_of,
    too_late,
    unavailable,
    way_back,
)
from .status import EXTENSIONS

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from backsoon.core.vocabulary import Window


@require_http_methods(["POST"])
def extend_planned(request: HttpRequest, number: int) -> HttpResponseBase:
    """Let a planned closure last so many ``minutes`` longer."""
    require_change(request)
    minutes = request.POST.get("minutes", "")
    if minutes not in map(str, EXTENSIONS):
        return HttpResponse(_("There is no such length."), status=400)
    try:
        window = find(number)
        if window.ends_at is None:
            messages.warning(request, _("It has no end that could be moved."))
        elif request.POST.get("sequence") != str(window.sequence):
            messages.warning(request, changed_by_others())
        else:
            end = window.ends_at + dt.timedelta(minutes=int(minutes))
            stand_aside(request)
            services.reschedule(
                window.uid, ends_at=end, origin=by_web(request), expected=store.load().mark
            )
            text = _("The closure #%(number)d now ends at %(time)s.")
            messages.success(request, text % {"number": number, "time": times.full(end)})
    except NoSuchWindowError:
        return too_late(request, number)
    except InvalidSettingError as error:
        messages.error(request, " ".join(s for texts in error.errors.values() for s in texts))
    except ConflictError:
        messages.warning(request, changed_by_others())
    except StoreUnavailableError:
        messages.error(request, _("The database did not answer. Nothing was changed."))
    return HttpResponseRedirect(way_back(request))


VERBS = ("begin", "end", "cancel", "end-series")


@dataclass(frozen=True, slots=True)
class Verb:
    """Something to be done with one closure after a question."""

    name: str
    title: str
    lines: list[str]
    button: str
    done: str


@require_http_methods(["GET", "HEAD", "POST"])
def verb_page(request: HttpRequest, number: int, verb: str) -> HttpResponseBase:
    """Ask before a closure is begun, ended or cancelled, and do it."""
    require_change(request)
    if verb not in VERBS:
        raise Http404
    try:
        window = find(number)
        asked = _verb(verb, window, store.utc_now())
    except NoSuchWindowError:
        return too_late(request, number)
    except StoreUnavailableError:
        return unavailable(request)
    if asked is None:
        # What was to be begun has begun, or the like: the form says what can be done now.
        return HttpResponseRedirect(reverse("backsoon_admin:planned", args=[number]))
    remark, code = "", 200
    if request.method == "POST":
        if request.POST.get("sequence") == str(window.sequence):
            remark, code = _do(request, asked, window)
            if not remark:
                return HttpResponseRedirect(reverse("backsoon_admin:calendar"))
        else:
            remark, code = changed_by_others(), IN_CONFLICT
    context = {
        "title": asked.title,
        "parent": parent(),
        "verb": asked,
        "window": closure_of(row_of(number), store.utc_now()),
        "sequence": window.sequence,
        "remark": remark,
    }
    return render(request, "backsoon/admin/plan_verb.html", context, code)


def _do(request: HttpRequest, verb: Verb, window: Window) -> tuple[str, int]:
    """Do it; a sentence and a status where it was not done."""
    reason = request.POST.get("reason", "")
    try:
        mark = store.load().mark
        stand_aside(request)
        if verb.name == "begin":
            outcome = services.reschedule(
                window.uid, starts_at=store.utc_now(), reason=reason, origin=by_web(request),
                expected=mark,
            )  # fmt: skip
        elif verb.name == "end-series":
            outcome = services.end_series(
                window.series, reason=reason, origin=by_web(request), expected=mark
            )
        else:
            outcome = services.cancel(
                window.uid, reason=reason, origin=by_web(request), expected=mark
            )
    except ConflictError:
        return changed_by_others(), IN_CONFLICT
    except InvalidSettingError as error:
        return " ".join(s for texts in error.errors.values() for s in texts), 200
    except StoreUnavailableError:
        return _("The database did not answer. Nothing was changed."), NOT_STORED
    messages.success(request, verb.done)
    if verb.name == "end" and not outcome.state.is_open:
        messages.warning(
            request, _("The site is still closed: by hand, or by another planned closure.")
        )
    return "", 200


def _verb(name: str, window: Window, now: dt.datetime) -> Verb | None:
    """What *name* stands for; ``None`` where it makes no sense any more."""
    begun = window.starts_at <= now
    values = {"number": window.number}
    if name == "cancel" and not begun:
        return Verb(
            name,
            _("Cancel the closure #%(number)d?") % values,
            [
                _("The site stays open at that time."),
                _("Visitors who were told of it are told no more."),
                _("The calendar keeps it as cancelled."),
            ],
            _("Cancel this closure"),
            _("The closure #%(number)d was cancelled.") % values,
        )
    if name == "end" and begun:
        return Verb(
            name,
            _("End the closure #%(number)d now?") % values,
            [
                _("Visitors can use the site again at once."),
                _("Users who were logged out can log in again."),
                _("The calendar keeps when it really ended."),
            ],
            _("End now"),
            _("The closure #%(number)d has ended.") % values,
        )
    if name == "end-series" and window.series:
        return Verb(
            name,
            _("Cancel all further closures of this series?"),
            [
                _("All closures to come of the series are cancelled, this one included.")
                if not begun
                else _("All closures to come of the series are cancelled."),
                _("No further ones are planned."),
                _("One that goes on goes on."),
            ],
            _("Cancel all further ones"),
            _("The further closures of the series were cancelled."),
        )
    if name == "begin" and not begun:
        return Verb(
            name,
            _("Begin the closure #%(number)d now?") % values,
            [
                _("Visitors will see the maintenance page at once."),
                _("Its end stays as it was planned."),
                _("Administrators keep working."),
            ],
            _("Begin now"),
            _("The closure #%(number)d has begun.") % values,
        )
    return None
