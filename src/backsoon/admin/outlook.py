"""What will come of a plan, in sentences, before anything is stored.

Each tells one thing that whoever plans would otherwise find out at two in the morning.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backsoon import conf, recurrence
from backsoon.core.schedule import clashing
from backsoon.core.state import notice_of, resolve_state, switch_mode
from backsoon.core.vocabulary import Mode, Switch
from backsoon.http.pages import texts

from . import times

if TYPE_CHECKING:
    from backsoon.core.vocabulary import State, Window
    from backsoon.snapshots import Snapshot

NAMED, LOOKED_AT = 5, 60
"""How many closures of a series are named, and for how many it is said what they touch."""

SOON = dt.timedelta(minutes=10)
"""What begins within this time is as good as now."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that will be so; ``is_warning`` when somebody should think twice."""

    text: str
    is_warning: bool = False


def sentences(snapshot: Snapshot, window: Window, now: dt.datetime) -> Iterator[Sentence]:
    """What *window* will do, if it is planned as it is in sight of *snapshot*."""
    yield Sentence(_what_happens(window))
    yield _when(window, now)
    yield from _clocks(window)
    yield from _logins(window)
    yield _notice(window, now)
    yield from _neighbours(snapshot, window, now)
    yield from _switch(snapshot, window)


def state_at_start(snapshot: Snapshot, window: Window) -> State:
    """What will be true when *window* begins, if the site is open by hand then."""
    policy = dataclasses.replace(snapshot.policy, switch=Switch(), ends_at=None)
    return resolve_state(policy, _with(snapshot, window), window.starts_at)


def told(snapshot: Snapshot, window: Window, language: str) -> tuple[str, str]:
    """The title and the message that visitors will read on the page when it begins."""
    state = ruled_by(state_at_start(snapshot, window), window)
    return texts(notice_of(snapshot.policy, state, language), state)


def ruled_by(state: State, window: Window) -> State:
    """*state* with the words of *window*, whichever of several rules: its page is asked for."""
    return dataclasses.replace(state, window=window)


def _with(snapshot: Snapshot, window: Window) -> list[Window]:
    return [*(each for each in snapshot.windows if each.uid != window.uid), window]


# -- The sentences -----------------------------------------------------------------------------


def repetition(snapshot: Snapshot, window: Window, repeat: str) -> Iterator[Sentence]:
    """How *window* comes again by the rule *repeat*, and what the further ones touch."""
    if not repeat or window.ends_at is None:
        return
    zone = recurrence.zone_of(timezone.get_current_timezone_name())
    rule = recurrence.rule_of(repeat)
    length = window.ends_at - window.starts_at
    coming = recurrence.occurrences(rule, window.starts_at, length, zone, LOOKED_AT)
    yield Sentence(
        format_html(
            _("It comes again {often}, at the same time of day in {zone}."),
            often=recurrence.described(rule, window.starts_at.astimezone(zone)),
            zone=zone.key,
        )
    )
    named = format_html_join("; ", "{}", ((times.period(*each),) for each in coming[:NAMED]))
    yield Sentence(format_html(_("The first ones: {closures}."), closures=named))
    met = {
        other.number: other
        for start, end in coming[1:]
        for other in clashing(snapshot.windows, start, end)
    }
    if met:
        others = format_html_join(
            ", ", "#{} ({})", ((number, _until(other)) for number, other in met.items())
        )
        text = _("Further ones touch other planned closures: {others}.")
        yield Sentence(format_html(text, others=others), is_warning=True)


def _what_happens(window: Window) -> str:
    when = _period(window.starts_at, window.ends_at)
    if window.ends_at is None:
        text = (
            _("Visitors can read, but change nothing, from {when} on until you open the site.")
            if window.mode is Mode.READ_ONLY
            else _("The site closes on {when} and stays closed until you open it.")
        )
        return format_html(text, when=when)
    text = (
        _("Visitors can read, but change nothing, on {when}: {length}.")
        if window.mode is Mode.READ_ONLY
        else _("The site is closed on {when}: {length}. It opens by itself.")
    )
    return format_html(text, when=when, length=times.length(window.ends_at - window.starts_at))


def _period(start: dt.datetime, end: dt.datetime | None) -> str:
    local = times.period(start, end)
    if not any(timezone.localtime(each).utcoffset() for each in (start, end) if each):
        return local
    return format_html("{} ({})", local, times.period_in_utc(start, end))


def _when(window: Window, now: dt.datetime) -> Sentence:
    if window.starts_at <= now:
        if window.ends_at is None or window.ends_at <= now:
            return Sentence(_("It begins at once."), is_warning=True)
        left = {"span": times.length(window.ends_at - now)}
        return Sentence(_("It goes on now; %(span)s are left.") % left)
    span = {"span": times.length(window.starts_at - now)}
    if window.starts_at - now < SOON:
        return Sentence(_("It begins very soon: in %(span)s.") % span, is_warning=True)
    return Sentence(_("It begins in %(span)s.") % span)


def _clocks(window: Window) -> Iterator[Sentence]:
    """Where clocks are put forward or back during it, wall clock and length do not fit."""
    if window.ends_at is None:
        return
    start, end = (timezone.localtime(each) for each in (window.starts_at, window.ends_at))
    before, after = start.utcoffset(), end.utcoffset()
    if before is None or after is None or before == after:
        return
    values = {
        "length": times.length(window.ends_at - window.starts_at),
        "zone": timezone.get_current_timezone_name(),
        "shift": times.length(abs(after - before)),
    }
    if after > before:
        yield Sentence(
            _("Clocks go forward by %(shift)s in %(zone)s during it: it really lasts %(length)s.")
            % values,
            is_warning=True,
        )
    else:
        yield Sentence(
            _("Clocks go back by %(shift)s in %(zone)s during it: it really lasts %(length)s.")
            % values,
            is_warning=True,
        )


def _logins(window: Window) -> Iterator[Sentence]:
    if window.mode is not Mode.CLOSED:
        return
    if window.keep_logins:
        yield Sentence(_("Users are not logged out. Administrators keep working."))
    else:
        yield Sentence(
            _("All ordinary users are logged out when it begins. Administrators keep working.")
        )


def _notice(window: Window, now: dt.datetime) -> Sentence:
    usual = dt.timedelta(seconds=conf.current().notice)
    notice = usual if window.notice is None else window.notice
    begin = window.starts_at - notice
    if not notice:
        return Sentence(_("Visitors are not told beforehand."), is_warning=True)
    if window.starts_at <= now:
        return Sentence(_("There is no time left to tell visitors beforehand."), is_warning=True)
    if begin <= now:
        return Sentence(_("The notice to visitors begins at once."))
    return Sentence(
        format_html(_("The notice to visitors begins on {when}."), when=times.period(begin, None))
    )


def _neighbours(snapshot: Snapshot, window: Window, now: dt.datetime) -> Iterator[Sentence]:
    """The closures that it makes one with, and the end that is true for all of them."""
    others = [
        other
        for other in clashing(snapshot.windows, window.starts_at, window.ends_at)
        if other.uid != window.uid and (other.ends_at is None or other.ends_at > now)
    ]
    if not others:
        return
    named = format_html_join(
        ", ",
        "#{} ({})",
        ((other.number, _until(other)) for other in others),
    )
    yield Sentence(
        format_html(
            ngettext(
                "It touches another planned closure: {others}.",
                "It touches other planned closures: {others}.",
                len(others),
            ),
            others=named,
        ),
        is_warning=True,
    )
    end = state_at_start(snapshot, window).until
    if end is None:
        yield Sentence(_("Visitors meet one closure, and are told no end."), is_warning=True)
    else:
        text = _("Visitors meet one closure, and are told one end: {end}.")
        yield Sentence(format_html(text, end=_period(end, None)), is_warning=True)


def _until(window: Window) -> str:
    if window.ends_at is not None:
        return times.period(window.starts_at, window.ends_at)
    return format_html(_("from {when} on"), when=times.period(window.starts_at, None))


def _switch(snapshot: Snapshot, window: Window) -> Iterator[Sentence]:
    if switch_mode(snapshot.policy, window.starts_at) is not Mode.OPEN:
        yield Sentence(
            _(
                "The site is closed by hand now. Unless somebody opens it before, it stays closed "
                "when this closure ends."
            ),
            is_warning=True,
        )
