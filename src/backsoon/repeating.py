"""What a series of planned closures consists of.

Its closures are windows like any other, made some time ahead, so that each can be moved or
cancelled alone and no process needs the rule to know when to close. The watcher makes more of them
long before they are needed; which ones there are follows from the rule, so that two who do it at
once make the same.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Collection, Iterable
from itertools import islice, pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import formats
from django.utils.translation import gettext as _

from .changes import Plan
from .core.recurrence import Rule, starts
from .definitions import messages_of
from .exceptions import InvalidSettingError
from .models import Change, Series, new_uid
from .recurrence import later, rule_of, zone_of
from .scheduling import FARTHEST, taken_back
from .snapshots import Snapshot

logger = logging.getLogger("backsoon")

AHEAD = dt.timedelta(days=60)
"""For how long closures are made at once: one a day at most."""

RESERVE = dt.timedelta(days=30)
"""When no more than this is left, more are made."""

AT_ONCE = 5
"""How many series go on in one change: the watcher has more urgent things to do."""

_OF_A_WINDOW_ALONE = ("starts_at", "ends_at", "planned_start", "planned_end")


def repeated(plan: Plan, now: dt.datetime, repeat: str, zone: str) -> None:
    """Let *plan*, which plans one closure, begin a series by the rule *repeat* in *zone*.

    Raises :class:`InvalidSettingError` for ``repeat`` and ``zone``.
    """
    ((_uid, values),) = plan.windows.items()
    first, end = values["starts_at"], values["ends_at"]
    if end is None:
        raise InvalidSettingError({"repeat": [_("A closure that comes again needs an end.")]})
    rule, first = _read(repeat, zone, first)
    length = end - first
    coming = list(islice(starts(rule, first, later(first, FARTHEST)), 400))
    _require_start(coming, first)
    _require_gaps(coming, length)
    uid = new_uid()
    terms = {name: value for name, value in values.items() if name not in _OF_A_WINDOW_ALONE}
    made, until = _to_make(rule, first, now)
    plan.series[uid] = {
        **terms,
        "rule": repeat.strip().upper().removeprefix("RRULE:"),
        "zone": zone,
        "first_start": first,
        "length": length,
        "made_until": until,
    }
    plan.windows = {
        occurrence_uid(uid, start): _occurrence(terms, uid, start, length) for start in made
    }


def ended(before: Snapshot, now: dt.datetime, series: Series) -> Plan:
    """What ends *series*: its closures to come are taken back, one that goes on goes on."""
    return Plan(
        action=Change.Action.CANCELLED,
        series={series.uid: {"ended_at": now}},
        windows={
            window.uid: taken_back(window, now)
            for window in before.windows
            if window.series == series.uid and window.starts_at > now
        },
    )


def continued(now: dt.datetime, rows: Iterable[Series], known: Collection[str]) -> Plan:
    """What makes the next closures of the series *rows*, of :data:`AT_ONCE` of them at most;
    *known* are the windows that exist.
    """
    plan = Plan(action=Change.Action.PLANNED)
    for row in rows:
        if len(plan.series) == AT_ONCE:
            break
        try:
            rule, first = rule_of(row.rule), row.first_start.astimezone(zone_of(row.zone))
        except ValidationError as error:  # somebody changed it by hand, or a zone is no more
            logger.warning(
                "Backsoon: the series of closures %s cannot go on: %s",
                row, " ".join(messages_of(error)),
            )  # fmt: skip
            continue
        made, until = _to_make(rule, first, now)
        plan.series[row.uid] = {"made_until": until}
        terms = {
            name: getattr(row, name)
            for name in (
                "mode", "keep_logins", "title", "message", "translations", "notice", "reason",
                "planned_by",
            )
        } | {"created_at": now}  # fmt: skip
        for start in made:
            uid = occurrence_uid(row.uid, start)
            if uid not in known and start > now:
                plan.windows[uid] = _occurrence(terms, row.uid, start, row.length)
    return plan


def occurrence_uid(series: str, start: dt.datetime) -> str:
    """The identifier of the closure of *series* that begins at *start* by the rule."""
    return uuid.uuid5(uuid.UUID(series), start.astimezone(dt.UTC).isoformat()).hex


def _read(repeat: str, zone: str, first: dt.datetime) -> tuple[Rule, dt.datetime]:
    try:
        rule = rule_of(repeat)
    except ValidationError as error:
        raise InvalidSettingError({"repeat": messages_of(error)}) from None
    try:
        return rule, first.astimezone(zone_of(zone))
    except ValidationError as error:
        raise InvalidSettingError({"zone": messages_of(error)}) from None


def _require_start(coming: list[dt.datetime], first: dt.datetime) -> None:
    if not coming:
        sentence = _("By this rule there is no closure in the year that follows the start.")
        raise InvalidSettingError({"repeat": [sentence]})
    if coming[0] != first:
        sentence = _(
            "The start is not a day of this rule: the first closure would be on %(day)s. Choose "
            "that day, or another rule."
        ) % {"day": formats.date_format(coming[0].astimezone(first.tzinfo), "DATE_FORMAT")}
        raise InvalidSettingError({"repeat": [sentence]})


def _require_gaps(coming: list[dt.datetime], length: dt.timedelta) -> None:
    for one, following in pairwise(coming):
        if one + length >= following:
            sentence = _("One closure would last until the next: the site would not open again.")
            raise InvalidSettingError({"repeat": [sentence]})


def _to_make(
    rule: Rule, first: dt.datetime, now: dt.datetime
) -> tuple[list[dt.datetime], dt.datetime | None]:
    """The starts of the closures to be made by *now*, and until when that is all of them.

    One more than lies within :data:`AHEAD`, so that there is always a next one; ``None`` for ever.
    """
    horizon = later(now, AHEAD)
    made: list[dt.datetime] = []
    # A rule with long gaps is looked at for ten years.
    for start in starts(rule, first, later(horizon, dt.timedelta(days=3653))):
        if start >= now or start == first:
            made.append(start)
        if start > horizon:
            return made, horizon
    return made, None if rule.count or rule.until else horizon


def _occurrence(
    terms: dict[str, Any], series: str, start: dt.datetime, length: dt.timedelta
) -> dict[str, Any]:
    end = start + length
    return {
        **terms,
        "starts_at": start,
        "ends_at": end,
        "planned_start": start,
        "planned_end": end,
        "series_id": series,
        "occurrence": start,
    }
