"""Whether all is quiet, in words: what the progress page, its live part and the card say.

Only an answer of every process counts. Whatever cannot be known is said to be not known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backsoon import quiesce
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.http.users import is_administrator, may_change
from backsoon.models import Worker
from backsoon.quiesce import Condition, Progress, Running, Standing, Verdict

from .status import savepoint

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = "unknown"
"""Stands beside the verdicts of :class:`backsoon.quiesce.Verdict` where nothing can be told."""

GIVE_UP = "python manage.py maintenance on --wait --assume-dead"

ENOUGH_OF_AN_ID = 8
"""How many characters of a worker's id tell it from all others, in practice."""


@dataclass(frozen=True, slots=True)
class Line:
    """One worker."""

    place: str
    kind: str
    condition: str
    words: str
    units: Sequence[str] = ()
    command: str = ""
    """What to type when nobody shall wait for it any more."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What is said about a closure."""

    verdict: str
    headline: str
    detail: str = ""
    advice: Sequence[str] = ()
    lines: Sequence[Line] = ()
    epoch: int = 0
    """The number of the closure it is about; 0 when nothing could be read."""
    closed: bool = field(default=True)
    """Whether there is a closure to wait for."""
    run: str = ""
    """The command that the site is closed for. Who was killed could not say that it is over."""

    @property
    def is_quiet(self) -> bool:
        """Whether it is proven that nothing ordinary runs."""
        return self.verdict == Verdict.QUIET.value


def may_see(user: Any) -> bool:
    """Whether *user* may see what runs: paths are not for everybody who works in the admin."""
    return may_change(user) or is_administrator(user)


def tell(epoch: int | None = None) -> Telling:
    """How far the closure has come; with *epoch* only if it is still the one of that number."""
    try:
        with savepoint():
            progress = quiesce.look()
    except StoreUnavailableError:
        return Telling(
            UNKNOWN,
            _("Not known: the database did not answer."),
            advice=[_("Do not begin. What is closed stays closed.")],
        )
    return _told(progress, epoch)


def _told(progress: Progress, epoch: int | None) -> Telling:
    number = progress.mark.epoch
    if epoch is not None and epoch != number:
        return Telling(
            Verdict.OVERTAKEN.value,
            _("Somebody has switched or extended the closure since."),
            advice=[_("What this page waited for is not in force any more.")],
            epoch=epoch,
            closed=not progress.state.is_open,
        )
    if progress.verdict is Verdict.OVERTAKEN:
        about_to = not progress.state.is_open
        return Telling(
            Verdict.OVERTAKEN.value,
            _("The site opens in a moment.") if about_to else _("The site is open."),
            advice=[_("There is nothing to wait for.")],
            epoch=number,
            closed=about_to,
        )
    living = [each for each in progress.workers if each.condition is not Condition.ENDED]
    places = {each.report.place for each in living}
    shown = [_line(each) for each in progress.workers if _is_shown(each, places)]
    if not living:
        # This very process ought to stand among them, so what the rows say proves nothing.
        return Telling(
            UNKNOWN,
            _("Not known: no process has registered."),
            advice=[_("Does each of them load the middleware of Backsoon?")],
            lines=shown,
            epoch=number,
        )
    return Telling(
        progress.verdict.value,
        _headline(progress, living),
        _still_running(progress.standing(Condition.BUSY)),
        list(_advice(progress)),
        shown,
        number,
        run=progress.run,
    )


def _headline(progress: Progress, living: Sequence[Standing]) -> str:
    if progress.is_quiet and progress.run:
        return _("All quiet. The site is closed for a command.")
    if progress.is_quiet:
        return _("All quiet. It is safe to begin.")
    if progress.verdict is Verdict.SILENT:
        return _not_heard_of(progress.standing(Condition.SILENT))
    waiting = [each for each in living if each.condition is not Condition.QUIET]
    if not waiting:
        return _("All have answered. Waiting a few seconds for one that was declared dead.")
    return ngettext(
        "Waiting for %(waiting)d of %(all)d worker",
        "Waiting for %(waiting)d of %(all)d workers",
        len(living),
    ) % {"waiting": len(waiting), "all": len(living)}


def _not_heard_of(silent: Sequence[Standing]) -> str:
    if len(silent) == 1:
        report = silent[0].report
        return _("Not proven quiet: %(place)s has not been heard of for %(span)s") % {
            "place": report.place,
            "span": span(report.silence),
        }
    return ngettext(
        "Not proven quiet: %(number)d worker has not been heard of for a while",
        "Not proven quiet: %(number)d workers have not been heard of for a while",
        len(silent),
    ) % {"number": len(silent)}


def _still_running(busy: Sequence[Standing]) -> str:
    running = [(unit, each.report.place) for each in busy for unit in each.report.units]
    if not running:
        return ""
    # Of the same age always the same one, so that the line does not flip.
    oldest, place = min(running, key=lambda found: (-int(found[0].age), found[1]))
    values = {"unit": _unit(oldest), "place": place}
    more = sum(each.report.in_flight for each in busy) - 1
    if more <= 0:
        return _("Still running: %(unit)s on %(place)s") % values
    return ngettext(
        "Still running: %(unit)s on %(place)s, and %(more)d more",
        "Still running: %(unit)s on %(place)s, and %(more)d more",
        more,
    ) % (values | {"more": more})


def _advice(progress: Progress) -> Iterator[str]:
    if progress.is_quiet:
        if progress.state.mode is Mode.READ_ONLY:
            yield _("Visitors still read; nothing that began before writes any more.")
        yield _(
            "This holds for requests, connections and tasks of all registered processes, until "
            "the site is opened. Cron jobs and other programs have to be stopped by hand."
        )
        return
    yield _("Do not begin yet.")
    if progress.standing(Condition.SILENT):
        yield _(
            "Who is not heard of may be paused with a request in hand, and go on with it. Look on "
            "its host whether it lives; if it has ended there, this page notices within seconds."
        )
        yield _("If you know that it will never go on, say so in a shell, as it stands below.")
    elif progress.standing(Condition.BUSY):
        yield _("What began before the closure may end in peace; nothing new begins.")


# -- Workers -----------------------------------------------------------------------------------


def _is_shown(standing: Standing, living: Collection[str]) -> bool:
    """All but those that have surely ended: that is proven, or another lives in their place."""
    if standing.condition is not Condition.ENDED:
        return True
    return not standing.report.ended_proven and standing.report.place not in living


def _line(standing: Standing) -> Line:
    report = standing.report
    units = [_unit(unit) for unit in report.units]
    is_silent = standing.condition is Condition.SILENT
    busy = is_silent or standing.condition is Condition.BUSY
    unnamed = report.in_flight - len(units)
    if busy and unnamed > 0:
        units.append(ngettext("and %(number)d more", "and %(number)d more", unnamed)
                     % {"number": unnamed})  # fmt: skip
    return Line(
        place=report.place,
        kind=str(dict(Worker.Kind.choices).get(report.kind, report.kind)),
        condition=standing.condition.value,
        words=_condition(standing),
        units=units if busy else [],
        command=f"{GIVE_UP} {report.id[:ENOUGH_OF_AN_ID]}" if is_silent else "",
    )


def _condition(standing: Standing) -> str:
    report = standing.report
    match standing.condition:
        case Condition.QUIET:
            return _("quiet")
        case Condition.BUSY:
            return ngettext("%(number)d still running", "%(number)d still running",
                            report.in_flight) % {"number": report.in_flight}  # fmt: skip
        case Condition.UNAWARE:
            return _("has not answered yet")
        case Condition.SILENT:
            return _("not heard of for %(span)s") % {"span": span(report.silence)}
        case Condition.ENDED:
            return _("declared dead, not waited for")


def _unit(unit: Running) -> str:
    return f"{unit.method} {unit.path} ({span(unit.age)})"


def span(seconds: float) -> str:
    """A length of time in one unit, rounded down."""
    whole = int(seconds)
    if whole < 120:
        return _("%(number)d s") % {"number": whole}
    if whole < 7200:
        return _("%(number)d min") % {"number": whole // 60}
    return _("%(number)d h") % {"number": whole // 3600}
