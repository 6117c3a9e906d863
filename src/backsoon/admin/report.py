"""The report of a closure: to be read at a glance, printed, or taken away as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from backsoon import reports
from backsoon.core.checkup import checked_of
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change, Delivery

from . import status, times
from .pages import NOT_STORED, render

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class Figure(NamedTuple):
    """A number that stands out."""

    number: str
    label: str


class Row(NamedTuple):
    """A line of the report."""

    label: str
    text: Any


class _UnknownError(Exception):
    """What was asked for is no number."""


@require_safe
def report_page(request: HttpRequest) -> HttpResponseBase:
    """The report of the closure ``?epoch=`` or ``?window=``, or of the last one."""
    context: dict[str, Any] = {"title": _("Report of a closure"), "report": None}
    code = 200
    try:
        report = _report(request)
    except reports.NoReportError:
        if request.GET:
            raise Http404 from None
    except StoreUnavailableError:
        context["trouble"], code = _("The database cannot be read now. Try again in a moment."), 503
    except _UnknownError:
        return HttpResponseBadRequest(_("“epoch” and “window” must be whole numbers."))
    else:
        context |= _context(report) | {"query": request.GET.urlencode()}
    context["backsoon_reading"] = status.read()
    return render(request, "backsoon/admin/report.html", context, code)


@require_safe
def report_json(request: HttpRequest) -> HttpResponse:
    """The same as a file of JSON."""
    try:
        report = _report(request)
    except reports.NoReportError:
        raise Http404 from None
    except StoreUnavailableError:
        sentence = _("The database cannot be read now. Try again in a moment.")
        return JsonResponse({"message": sentence}, status=NOT_STORED)
    except _UnknownError:
        return HttpResponseBadRequest(_("“epoch” and “window” must be whole numbers."))
    response = JsonResponse(report, json_dumps_params={"indent": 2})
    name = f"closure-{report['started_at'][:16].replace(':', '')}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _report(request: HttpRequest) -> dict[str, Any]:
    if not status.may_see_history(request.user):
        raise PermissionDenied
    return reports.report_of(epoch=_number(request, "epoch"), window=_number(request, "window"))


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _UnknownError
    return int(text)


def _context(report: dict[str, Any]) -> dict[str, Any]:
    watch = report["watch"]
    return {
        "report": report,
        "headline": _headline(report),
        "figures": list(_figures(report)),
        "rows": [row for row in _rows(report) if row.text],
        "checks": checked_of(report["checks"]),
        "forced": report["forced"],
        "watch": watch if watch["after"]["requests"] else None,
        "told": [
            Row(name, ", ".join(f"{number} {key}" for key, number in report[name].items()))
            for name in reports.SOURCES
            if report[name]
        ],
        "changes": [
            {
                "at": _time(change["at"]),
                "by": change["by"] or _("(unknown)"),
                "action": dict(Change.Action.choices).get(change["action"], change["action"]),
                "reason": change["reason"],
            }
            for change in report["changes"]
        ],
        "json_url": reverse("backsoon_admin:report_json"),
    }


def _headline(report: dict[str, Any]) -> str:
    was_read_only = report["mode"] == Mode.READ_ONLY
    if report["ended_at"] is None:
        return _("The site is read-only") if was_read_only else _("The site is closed")
    return _("The site was read-only") if was_read_only else _("The site was closed")


def _figures(report: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(_length(report["seconds"]), _("long"))
    number = report["refused"]["all"]
    yield Figure(str(number), ngettext("request refused", "requests refused", number))
    late = report["planned"]["late_seconds"]
    if late is not None:
        # Nobody calls half a minute late.
        if abs(late) < 60:
            yield Figure(_("on time"), _("as planned"))
        else:
            label = _("later than planned") if late > 0 else _("earlier than planned")
            yield Figure(_length(abs(late)), label)
    after = report["watch"]["after"]
    if after["requests"]:
        yield Figure(f"{after['percent']:g} %", _("of requests failed afterwards"))


def _rows(report: dict[str, Any]) -> Iterator[Row]:
    began, opened, planned = report["began"], report["opened"], report["planned"]
    yield Row(_("Closed"), _time(report["started_at"]))
    yield Row(_("Closed by"), _who(began))
    yield Row(_("Reason"), began["reason"])
    yield Row(_("Opened"), _time(report["ended_at"]))
    if opened is not None:
        yield Row(_("Opened by"), _who(opened))
        yield Row(_("Reason for opening"), opened["reason"])
    yield Row(_("Planned start"), _time(planned["starts_at"]))
    yield Row(_("Planned end"), _time(planned["ends_at"]))
    number = report["extended"]
    if number:
        yield Row(
            _("Extended"),
            ngettext("%(number)d time", "%(number)d times", number) % {"number": number},
        )
    if report["overdue"]:
        yield Row(_("Overdue"), _("yes, an alarm was raised"))
    refused = report["refused"]
    yield Row(
        _("Refused"),
        _("%(pages)d of browsers, %(programs)d of programs, %(logins)d logins") % refused,
    )
    states = dict(Delivery.State.choices)
    # In this order no word has to agree with the number.
    counts = (
        f"{states.get(state, state)} ({count})" for state, count in report["messages"].items()
    )
    yield Row(_("Messages"), " · ".join(counts))


def _who(part: dict[str, Any]) -> str:
    if part["how"] == "clock":
        if part["by"]:
            return _("the clock, as %(name)s planned") % {"name": part["by"]}
        return _("the clock")
    channel = dict(Change.Channel.choices).get(part["channel"], part["channel"])
    return f"{part['by'] or _('(unknown)')} ({channel})"


def _time(text: str | None) -> Any:
    return times.time_element(dt.datetime.fromisoformat(text), "full") if text else ""


def _length(seconds: int) -> str:
    if seconds < 60:
        return ngettext("%(number)d second", "%(number)d seconds", seconds) % {"number": seconds}
    start = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    # Django keeps number and unit together; in a figure they may stand below each other.
    return timesince(start, start + dt.timedelta(seconds=seconds)).replace("\xa0", " ")


def link_to(change: Change) -> Any:
    """A link to the report, for a change that opened the site; else nothing."""
    if change.action != Change.Action.OPENED:
        return ""
    address = status.links()["report_url"]
    if not address:
        return ""
    label = _("Report of this closure")
    return format_html('<a href="{}?epoch={}">{}</a>', address, change.epoch, label)
