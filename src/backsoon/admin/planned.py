"""Finding one planned closure, and the ways to and from it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from backsoon import scheduling, store
from backsoon.exceptions import (
    NoSuchWindowError,
)
from backsoon.models import Change
from backsoon.models import Window as WindowRow

from .calendar import Condition, closure_of

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from backsoon.core.vocabulary import Window


LARGEST_NUMBER = 2**63


def find(number: int) -> Window:
    """The planned closure of this *number*, if it is to come or goes on.

    Raises :class:`NoSuchWindowError` and :class:`StoreUnavailableError`.
    """
    snapshot, now = store.load(), store.utc_now()
    for window in snapshot.windows:
        if window.number == number:
            return scheduling.current(snapshot, now, window.uid)
    raise NoSuchWindowError({"window": [_("There is no such planned closure any more.")]})


def row_of(number: int) -> WindowRow:
    """The row of this *number*. Raises ``Http404``."""
    row = store.find_window(number) if number < LARGEST_NUMBER else None
    if row is None:
        raise Http404
    return row


def too_late(request: HttpRequest, number: int) -> HttpResponseBase:
    """To where it can still be seen."""
    row = row_of(number)
    values = {"number": number}
    if closure_of(row, store.utc_now()).condition is Condition.CANCELLED:
        messages.warning(request, _("The closure #%(number)d was cancelled.") % values)
    else:
        messages.warning(request, _("The closure #%(number)d is over.") % values)
    return HttpResponseRedirect(month_of(row.starts_at))


def unavailable(request: HttpRequest) -> HttpResponseBase:
    """Back to the calendar: the database did not answer."""
    messages.error(request, _("The database did not answer. Nothing was changed."))
    return HttpResponseRedirect(reverse("backsoon_admin:calendar"))


def last_actor(window: Window) -> str:
    """Who changed the plan of *window* last, as far as the latest entries of the history tell."""
    with store.translated_errors():
        for change in Change.objects.using(store.alias())[:50]:
            after = change.after if isinstance(change.after, dict) else {}
            if after.get("window") == f"#{window.number}":
                return change.actor_name
    return ""


def changed_by_others() -> str:
    """What whoever came second is told."""
    return _("Somebody else has changed this closure in the meantime. Nothing was done.")


def month_of(moment: dt.datetime) -> str:
    """The calendar of the month of *moment*."""
    return f"{reverse('backsoon_admin:calendar')}?month={timezone.localtime(moment):%Y-%m}"


def way_back(request: HttpRequest) -> str:
    """Where the button was pressed: on the card, or in the calendar."""
    if request.POST.get("from") == "card":
        return reverse("admin:index")
    return reverse("backsoon_admin:calendar")


def parent() -> dict[str, str]:
    """The calendar, for the way back."""
    return {"url": reverse("backsoon_admin:calendar"), "label": _("Planned closures")}
