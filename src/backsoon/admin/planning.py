"""The pages on which a closure is planned and changed; what else can be done: `planned_verbs`.

Nothing is stored before its reader has seen what will come of it: the first sending is answered
with sentences, and the second one counts only if nothing has changed in between.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from backsoon import repeating, scheduling, services, store
from backsoon.exceptions import (
    ConflictError,
    InvalidSettingError,
    NoSuchWindowError,
    StoreUnavailableError,
)
from backsoon.http import pages as visitors_pages

from . import outlook, times
from .fields import as_local, in_utc
from .pages import (
    IN_CONFLICT,
    NOT_STORED,
    by_web,
    not_stored,
    render,
    require_change,
    stand_aside,
)
from .planned import (
    changed_by_others,
    find,
    last_actor,
    month_of,
    parent,
    too_late,
    unavailable,
)
from .planning_forms import AT, PlanForm
from .status import EXTENSIONS
from .traffic import heat_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.http import HttpRequest, QueryDict
    from django.http.response import HttpResponseBase

    from backsoon.core.vocabulary import Window
    from backsoon.services import Outcome
    from backsoon.snapshots import Snapshot

    from .planning_forms import Draft

NIGHT = (dt.time(2), dt.timedelta(hours=2))
"""The closure that is offered by a button: its local start and its length."""

LONGEST_SLOT = dt.timedelta(days=1)
"""For closures longer than this no quieter time of the week is looked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page says besides the form."""

    sentences: list[outlook.Sentence] | None = None
    checked: str = ""
    """What the next sending must bring to be carried out."""
    remark: str = ""
    code: int = 200


# -- Plan and change -----------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def plan_page(request: HttpRequest) -> HttpResponseBase:
    """Plan a closure; ``?start=`` and ``?end=`` (ISO 8601) fill in its times."""
    require_change(request)
    if request.method != "POST":
        return _page(request, PlanForm(initial=_times_of(request.GET)), None)
    if "fill" in request.POST:
        return _page(request, PlanForm(initial=_filled(request.POST)), None)
    form = PlanForm(request.POST)
    return _answer(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
def planned_page(request: HttpRequest, number: int) -> HttpResponseBase:
    """Change a planned closure that is to come, or goes on."""
    require_change(request)
    try:
        window = find(number)
    except NoSuchWindowError:
        return too_late(request, number)
    except StoreUnavailableError:
        return unavailable(request)
    begun = window.starts_at <= store.utc_now()
    if request.method != "POST":
        form = PlanForm(window=window, begun=begun, initial=_times_of(request.GET))
        return _page(request, form, window)
    if "fill" in request.POST:
        form = PlanForm(window=window, begun=begun, initial=_filled(request.POST))
        return _page(request, form, window)
    return _answer(request, PlanForm(request.POST, window=window, begun=begun), window)


def _answer(request: HttpRequest, form: PlanForm, window: Window | None) -> HttpResponseBase:
    """Check, or carry out what was checked."""
    is_valid = form.is_valid()
    if window is not None and request.POST.get("sequence") != str(window.sequence):
        form.meet(last_actor(window))
        return _page(request, form, window, Answer(remark=changed_by_others(), code=IN_CONFLICT))
    if not is_valid:
        return _page(request, form, window)
    try:
        return _check(request, form, window)
    except InvalidSettingError as error:
        form.add_service_errors(error.errors)
        return _page(request, form, window)
    except StoreUnavailableError:
        return _page(request, form, window, Answer(remark=not_stored(), code=NOT_STORED))


def _check(
    request: HttpRequest, form: PlanForm, window: Window | None, *, again: bool = False
) -> HttpResponseBase:
    draft, now = form.draft(), store.utc_now()
    snapshot = store.load()
    judge(snapshot, draft, window, now)
    checked = draft.fingerprint(snapshot.mark.epoch, window.sequence if window else "")
    wants_it = "plan" in request.POST
    if wants_it and request.POST.get("checked") == checked and not again:
        try:
            outcome = _carry_out(request, draft, window, snapshot)
        except ConflictError:
            return _check(request, form, window, again=True)
        messages.success(request, _done(outcome, window))
        return HttpResponseRedirect(month_of(draft.starts_at))
    seen = bool(request.POST.get("checked"))
    answer = Answer(
        sentences=[
            *outlook.sentences(snapshot, draft.window(window), now),
            *outlook.repetition(snapshot, draft.window(window), draft.repeat),
        ],
        checked=checked,
        remark=_("Something has changed since you checked. This is what will happen now.")
        if wants_it and (seen or again)
        else "",
        code=IN_CONFLICT if again else 200,
    )
    return _page(request, form, window, answer, draft=draft, snapshot=snapshot)


def judge(snapshot: Snapshot, draft: Draft, window: Window | None, now: dt.datetime) -> None:
    """Say beforehand what the services will say. Raises :class:`InvalidSettingError`."""
    if window is None:
        plan = scheduling.scheduled(
            now, draft.starts_at, draft.ends_at, mode=draft.mode, keep_logins=draft.keep_logins,
            words=draft.words, notice=draft.notice, reason=draft.reason, origin=services.CODE,
        )  # fmt: skip
        if draft.repeat:
            repeating.repeated(plan, now, draft.repeat, timezone.get_current_timezone_name())
    else:
        window = scheduling.current(snapshot, now, window.uid)
        scheduling.moved(now, window, **_moves(draft, window))


def _carry_out(
    request: HttpRequest, draft: Draft, window: Window | None, snapshot: Snapshot
) -> Outcome:
    stand_aside(request)
    if window is None:
        return services.schedule(
            draft.starts_at, draft.ends_at, mode=draft.mode, keep_logins=draft.keep_logins,
            words=draft.words, notice=draft.notice, repeat=draft.repeat, reason=draft.reason,
            origin=by_web(request), expected=snapshot.mark,
        )  # fmt: skip
    return services.reschedule(
        window.uid, **_moves(draft, window), reason=draft.reason, origin=by_web(request),
        expected=snapshot.mark,
    )  # fmt: skip


def _moves(draft: Draft, window: Window) -> dict[str, Any]:
    return {
        "starts_at": None if draft.starts_at == window.starts_at else draft.starts_at,
        "ends_at": draft.ends_at,
        "until_opened": draft.ends_at is None,
        "mode": draft.mode,
        "keep_logins": draft.keep_logins,
        "words": draft.words,
        "notice": draft.notice,
        "usual_notice": draft.notice is None,
    }


def _done(outcome: Outcome, window: Window | None) -> str:
    if not outcome.changed:
        return _("There was nothing to change.")
    if window is not None:
        return _("The plan was changed.")
    if len(outcome.windows) > 1:
        return _("The closures are planned, those of the next weeks at once.")
    return _("The closure is planned.")


# -- Preview -----------------------------------------------------------------------------------


@require_http_methods(["POST"])
def plan_preview(request: HttpRequest) -> HttpResponse:
    """The page that visitors would see at the start of the closure that was typed."""
    require_change(request)
    form = PlanForm(request.POST)
    language = get_language() or "en"
    try:
        snapshot = store.load()
        if form.is_valid():
            window = form.draft().window()
            state = outlook.state_at_start(snapshot, window)
            html = visitors_pages.render(
                snapshot, outlook.ruled_by(state, window), language, preview=True
            )
            page = visitors_pages.prepare(html)
            response = HttpResponse(page.body)
            response["Content-Security-Policy"] = page.content_security_policy
            response["Cache-Control"] = "no-store"
            return response
    except (StoreUnavailableError, ValueError):
        pass
    text = _("There is nothing to show yet: enter a start and an end first.")
    return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")


# -- Filling in --------------------------------------------------------------------------------


def _times_of(query: QueryDict) -> dict[str, str]:
    """Start and end that the address names; what is no moment is left out."""
    values = {}
    for name, field in (("start", "starts_at"), ("end", "ends_at")):
        text = query.get(name, "")
        if not text:
            continue
        try:
            values[field] = as_local(in_utc(text))
        except ValidationError:
            continue
    if "ends_at" in values:
        values["ends"] = AT
    return values


def _filled(sent: QueryDict) -> dict[str, str]:
    """What was typed, with the times of the button that was pressed."""
    typed = {name: str(value) for name, value in sent.items()}
    start, _slash, end = sent.get("fill", "").partition("/")
    if start and end:
        typed |= {"starts_at": start, "ends_at": end, "ends": AT}
    return typed


def nights(now: dt.datetime) -> Iterator[tuple[str, str]]:
    """Nights to choose from, as (value of the button, its words)."""
    local = timezone.localtime(now)
    time, length = NIGHT
    first = local.date() if local.time() < time else local.date() + dt.timedelta(days=1)
    sunday = first + dt.timedelta(days=(6 - first.weekday()) % 7)
    offered = {first: _("Tonight"), first + dt.timedelta(days=1): _("Tomorrow night")}
    offered.setdefault(sunday, _("Sunday night"))
    for date, words in offered.items():
        start = dt.datetime.combine(date, time)
        try:
            begins = dt.datetime.fromisoformat(in_utc(start.isoformat()))
            ends = as_local((begins + length).isoformat())
            in_utc(ends)
        except ValidationError:
            continue  # clocks change in that night: whoever means it has to say when
        yield (
            f"{start:%Y-%m-%dT%H:%M}/{ends}",
            f"{words}, {times.clock(begins)}–{times.clock(begins + length)}",
        )


def quiet_times(heat: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The quietest times of the heat map, as (value of the button, its words)."""
    for choice in heat["suggestions"]:
        start, end = (as_local(each.isoformat()) for each in (choice.starts_at, choice.ends_at))
        try:
            in_utc(start), in_utc(end)
        except ValidationError:
            continue  # as above
        yield f"{start}/{end}", f"{choice.words} · {choice.cost}"


# -- The page ----------------------------------------------------------------------------------


def _page(
    request: HttpRequest,
    form: PlanForm,
    window: Window | None,
    answer: Answer | None = None,
    *,
    draft: Draft | None = None,
    snapshot: Snapshot | None = None,
) -> HttpResponseBase:
    answer = answer or Answer()
    now = store.utc_now()
    notice, chosen = None, None
    if draft is not None and snapshot is not None:
        chosen = (draft.starts_at, draft.ends_at) if draft.ends_at is not None else None
        notice = outlook.told(snapshot, draft.window(window), get_language() or "en")
    length = min(chosen[1] - chosen[0], LONGEST_SLOT) if chosen else NIGHT[1]
    heat = heat_map(length, chosen)
    if heat["chosen"] and answer.sentences is not None:
        answer.sentences.append(outlook.Sentence(heat["chosen"]))
    context: dict[str, Any] = {
        "title": _("Plan a closure")
        if window is None
        else _("Change the closure #%(number)d") % {"number": window.number},
        "parent": parent(),
        "form": form,
        "lines": form.lines(),
        "texts": form.texts(),
        "problems": form.problems() if form.is_bound else [],
        "answer": answer,
        "notice": notice,
        "nights": [] if form.begun else list(nights(now)),
        "quiet": [] if form.begun else list(quiet_times(heat)),
        "heat": heat,
        "window": window,
        "begun": form.begun,
        "extensions": EXTENSIONS if form.begun and window and window.ends_at else (),
        "was": form.was(),
        "zone": timezone.get_current_timezone_name(),
    }
    return render(request, "backsoon/admin/plan.html", context, answer.code)
