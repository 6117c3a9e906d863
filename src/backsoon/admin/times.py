"""Moments as the operator reads them: in their zone, with the exact time in UTC at hand."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _

from backsoon import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.utils.safestring import SafeString

Form = Literal["relative", "exact", "full"]


def time_element(moment: dt.datetime, form: Form = "relative") -> SafeString:
    """A ``<time>`` in the reader's zone with the exact moment in UTC as its title.

    *form* is ``"relative"`` ("14:05, 42 minutes ago"), ``"exact"`` ("14:05"; with the date when it
    is not today's) or ``"full"`` (date, time and zone).
    """
    now = store.utc_now()
    utc = moment.astimezone(dt.UTC)
    texts: dict[Form, Callable[[dt.datetime, dt.datetime], str]] = {
        "relative": _relative,
        "exact": _exact,
        "full": lambda moment, _now: full(moment),
    }
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M:%S UTC"),
        texts[form](moment, now),
    )


def _exact(moment: dt.datetime, now: dt.datetime) -> str:
    local = timezone.localtime(moment)
    is_today = local.date() == timezone.localtime(now).date()
    return date_format(local, "TIME_FORMAT" if is_today else "DATETIME_FORMAT")


def full(moment: dt.datetime) -> str:
    """Date, time and zone, in the reader's zone."""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname() or ''}".strip()


def _relative(moment: dt.datetime, now: dt.datetime) -> str:
    values = {"time": _exact(moment, now)}
    if abs(now - moment) < dt.timedelta(minutes=1):
        return _("%(time)s, just now") % values if moment <= now else values["time"]
    if moment < now:
        return _("%(time)s, %(span)s ago") % (values | {"span": timesince(moment, now, depth=1)})
    return _("%(time)s, in %(span)s") % (values | {"span": timeuntil(moment, now, depth=1)})
