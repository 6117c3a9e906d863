"""The pages below ``admin/settings/``: the settings themselves and the question before the switch.

Each change is asked of ``services``; whatever they answer, the page comes back with everything
that was typed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import django
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBadRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from backsoon import definitions, inflight, services, store
from backsoon.core.checkup import failed
from backsoon.core.vocabulary import Mode
from backsoon.definitions import DEFINITIONS, MESSAGE_LENGTH, Definition, from_row
from backsoon.exceptions import (
    ChecksFailedError,
    ConflictError,
    InvalidSettingError,
    StoreUnavailableError,
)
from backsoon.http.users import is_administrator, may_change
from backsoon.models import Change, SettingType, SystemSetting
from backsoon.services import Origin
from backsoon.snapshots import Mark, Snapshot

from . import status
from .forms import SettingsForm, group_label, name_of
from .switch_form import SwitchForm

if TYPE_CHECKING:
    from django.forms import Form
    from django.http import HttpRequest, QueryDict
    from django.http.response import HttpResponseBase

    from backsoon.core.checkup import Checked
    from backsoon.services import Outcome

NOT_STORED = 503
IN_CONFLICT = 409


def require_change(request: HttpRequest) -> None:
    """Raises ``PermissionDenied`` for who may not change the state of the site."""
    if not may_change(request.user):
        raise PermissionDenied(_("You lack the permission to change the maintenance of this site."))


def by_web(request: HttpRequest) -> Origin:
    """Who asks, for the history."""
    return Origin(user=request.user, channel=Change.Channel.WEB)


# -- Settings ----------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponseBase:
    """All settings, or those of one group (``?group=``)."""
    require_change(request)
    group = request.GET.get("group", "")
    snapshot, all_definitions = read_definitions()
    if snapshot is None:
        all_definitions = [*DEFINITIONS, *_definitions_sent(request)]
    shown = [each for each in all_definitions if group in ("", each.group)]
    if request.method == "POST":
        form = SettingsForm(shown, snapshot, request.POST)
        return _save(request, form, all_definitions, group)
    form = SettingsForm(shown, snapshot)
    return _settings_response(request, form, all_definitions, group, unread=snapshot is None)


def read_definitions() -> tuple[Snapshot | None, list[Definition]]:
    """What is stored and what there is to set: ours, and the rows of the project's own.

    ``None`` and nothing when the database does not answer.
    """
    try:
        snapshot = store.load()
        with store.translated_errors():
            rows = list(SystemSetting.objects.using(store.alias()).defer("updated_at"))
    except StoreUnavailableError:
        return None, []
    own = [from_row(row) for row in rows if row.key not in definitions.BY_KEY]
    return snapshot, [*DEFINITIONS, *sorted(own, key=lambda each: (each.group, each.order))]


def _definitions_sent(request: HttpRequest) -> list[Definition]:
    """The project's own settings as the page that was sent had them.

    For when nothing can be read: what was typed is shown again.
    """
    prefix = f"seen:{name_of('')}"
    keys = [name.removeprefix(prefix) for name in request.POST if name.startswith(prefix)]
    group = request.GET.get("group", "") or "general"
    return [
        Definition(key, SettingType.TEXTAREA, group, key, "", 0, max_length=MESSAGE_LENGTH)
        for key in keys
    ]


def _save(
    request: HttpRequest, form: SettingsForm, all_definitions: Sequence[Definition], group: str
) -> HttpResponseBase:
    status_code = 200
    if form.is_valid():
        stand_aside(request)
        try:
            outcome = services.save_settings(form.entries, origin=by_web(request), base=form.base)
        except InvalidSettingError as error:
            form.add_service_errors(error.errors)
        except ConflictError as error:
            status_code = _meet_others(form, error)
        except ChecksFailedError as error:
            status_code = IN_CONFLICT
            form.add_error(None, f"{error} {_use_the_switch()}")
        except StoreUnavailableError:
            status_code = NOT_STORED
            form.add_error(None, not_stored())
        else:
            # The tag tells the page's script that nothing has to be kept any longer.
            messages.success(request, _saved_message(outcome), extra_tags="backsoon-saved")
            return HttpResponseRedirect(request.get_full_path())
    return _settings_response(
        request, form, all_definitions, group, status_code=status_code
    )  # fmt: skip


def _meet_others(form: SettingsForm, error: ConflictError) -> int:
    """Show what others have stored meanwhile; the status of the answer."""
    try:
        fresh = store.load()
        form.meet(fresh, _last_actors())
    except StoreUnavailableError:
        form.add_error(None, not_stored())
        return NOT_STORED
    form.add_error(None, str(error))
    return IN_CONFLICT


def _last_actors() -> dict[str, str]:
    """Who changed which setting last, by key, as far as the latest entries of the history tell."""
    with store.translated_errors():
        latest = Change.objects.using(store.alias())[:50]
        names: dict[str, str] = {}
        for change in latest:
            for place in change.after if isinstance(change.after, dict) else ():
                names.setdefault(str(place).partition(":")[0], change.actor_name)
    return names


def _saved_message(outcome: Outcome) -> str:
    if not outcome.changed:
        return _("There was nothing to change.")
    actions = {change.action for change in outcome.changes}
    if Change.Action.CLOSED in actions:
        return _("Saved. Maintenance mode enabled")
    if Change.Action.OPENED in actions:
        return _("Saved. Maintenance mode disabled")
    return _("The settings were saved.")


def not_stored() -> str:
    """That the database did not answer, to somebody who typed something."""
    return _(
        "The database did not answer, so nothing was saved. What you typed is still here; try "
        "again in a moment."
    )


def _use_the_switch() -> str:
    return _("Nothing was saved. To open all the same, use “Disable Maintenance” on the card.")


def _settings_response(
    request: HttpRequest,
    form: SettingsForm,
    all_definitions: Sequence[Definition],
    group: str,
    *,
    unread: bool = False,
    status_code: int = 200,
) -> TemplateResponse:
    reading = status.read() if not unread else status.last_known()
    filters = [
        {"name": name, "label": group_label(name), "is_current": name == group}
        for name in definitions.groups(all_definitions)
    ]
    context = {
        "title": _("Settings"),
        "form": form,
        "groups": form.groups(),
        "problems": form.problems() if form.is_bound else [],
        "filters": filters,
        "group": group,
        "unread": unread,
        "zone": timezone.get_current_timezone_name(),
        "locks_out": not is_administrator(request.user),
        "history_url": status.links()["history_url"],
        "calendar_url": status.links()["calendar_url"],
        "backsoon_reading": reading,
    }
    code = NOT_STORED if unread else status_code
    return render(request, "backsoon/admin/settings.html", context, code)


# -- The question before the switch ------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_page(request: HttpRequest) -> HttpResponseBase:
    """Say what will happen, ask why and until when, and do it."""
    require_change(request)
    if request.method != "POST":
        reading = status.read()
        form = SwitchForm(closing=reading.state.is_open)
        return _confirm_response(request, form, reading)
    wanted = request.POST.get("enabled")
    if wanted not in ("true", "false"):
        return HttpResponseBadRequest(_("“enabled” must be true or false."))
    closing = wanted == "true"
    form = SwitchForm(request.POST, closing=closing)
    code = 200
    checks: tuple[Checked, ...] = ()
    if form.is_valid() and not _is_half_hearted(request, form):
        try:
            outcome = _switch(request, form, closing=closing)
        except InvalidSettingError as error:
            _add_errors(form, error)
        except ConflictError as error:
            code = IN_CONFLICT
            form.add_error(None, _overtaken(error))
        except ChecksFailedError as error:
            code, checks = IN_CONFLICT, error.results
        except StoreUnavailableError:
            code = NOT_STORED
            form.add_error(None, not_stored())
        else:
            messages.success(request, switched_message(outcome))
            return HttpResponseRedirect(_after_switch(request, outcome))
    return _confirm_response(
        request, form, status.read(), closing=closing, status_code=code, checks=checks
    )


def _is_half_hearted(request: HttpRequest, form: SwitchForm) -> bool:
    """Whether somebody wants to open anyway and has not said so twice; told at the form."""
    if "force" not in request.POST or "sure" in request.POST:
        return False
    form.add_error(None, _("To open though checks failed, tick the box above the button as well."))
    return True


def _after_switch(request: HttpRequest, outcome: Outcome) -> str:
    """Where to go: to the progress, for who wants to wait until all is quiet; else to the card."""
    if "wait" in request.POST and not outcome.state.is_open:
        return f"{reverse('backsoon_admin:progress')}?epoch={outcome.mark.epoch}"
    return reverse("admin:index", current_app=admin.site.name)


def _switch(request: HttpRequest, form: SwitchForm, *, closing: bool) -> Outcome:
    values = form.cleaned_data
    expected = epoch_in(request.POST)
    stand_aside(request)
    if not closing:
        return services.open_site(
            origin=by_web(request),
            reason=values["reason"],
            expected=expected,
            force="force" in request.POST,
        )
    ends_at = values["ends_at"]
    return services.close_site(
        origin=by_web(request),
        reason=values["reason"],
        until=dt.datetime.fromisoformat(ends_at) if ends_at else None,
        keep_logins=values["keep_logins"],
        expected=expected,
    )


def stand_aside(request: HttpRequest) -> None:
    """Let nobody wait for *request*, which is about to close the site itself."""
    unit = inflight.unit_of(request)
    if unit in inflight.UNITS or unit in inflight.READERS:  # else nobody would count it out
        inflight.set_apart(unit)


def epoch_in(sent: QueryDict) -> Mark | None:
    """The number of the last switch when the page was made; without one, nothing is expected."""
    text = sent.get("epoch", "")
    return Mark(epoch=int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _add_errors(form: Form, error: InvalidSettingError) -> None:
    for key, sentences in error.errors.items():
        for sentence in sentences:
            form.add_error("ends_at" if key == services.END_KEY else None, sentence)


def _overtaken(error: ConflictError) -> str:
    if error.by:
        return _(
            "%(by)s switched in the meantime. Above is what is true now; send again if you still "
            "want it."
        ) % {"by": error.by}  # fmt: skip
    return _(
        "Somebody else switched in the meantime. Above is what is true now; send again if you "
        "still want it."
    )


def switched_message(outcome: Outcome) -> str:
    """What is true after a switch, in the words that the API has promised."""
    if outcome.state.is_open:
        return _("Maintenance mode disabled")
    return _("Maintenance mode enabled")


def _confirm_response(
    request: HttpRequest,
    form: SwitchForm,
    reading: status.Reading,
    *,
    closing: bool | None = None,
    status_code: int = 200,
    checks: Sequence[Checked] = (),
) -> TemplateResponse:
    if closing is None:
        closing = reading.state.is_open
    context = {
        "title": _("Enable maintenance?") if closing else _("Disable maintenance?"),
        "form": form,
        "lines": list(form.lines()),
        "closing": closing,
        "is_open": closing,  # this and the next: what the list of consequences asks for
        "run": reading.snapshot.policy.switch.run,
        "already": _is_done(reading, closing=closing),
        "checks": checks,
        "failed": len(failed(checks)),
        "asks_twice": bool(checks) or "force" in request.POST,
        "locks_out": not is_administrator(request.user),
        "epoch": reading.snapshot.mark.epoch,
        "trouble": reading.trouble,
        "zone": timezone.get_current_timezone_name(),
        "backsoon_reading": reading,
        "backsoon_is_confirm_page": True,
    }
    return render(request, "backsoon/admin/confirm.html", context, status_code)


def _is_done(reading: status.Reading, *, closing: bool) -> bool:
    """Whether there is nothing left of what was asked for."""
    if not closing:
        return reading.state.is_open
    modes = {reading.state.mode, reading.snapshot.policy.switch.mode}
    return modes == {Mode.CLOSED}  # read-only, or for a window only, is not the same


def render(
    request: HttpRequest, template: str, context: dict[str, Any], status_code: int
) -> TemplateResponse:
    """A page of ours in the frame of the admin."""
    # The attribute is how Django's admin tells templates which site's addresses to reverse.
    request.current_app = admin.site.name
    page = {
        **admin.site.each_context(request),
        "backsoon_has_assets": True,
        "crumbs_are_list": django.VERSION >= (6, 1),
        **context,
    }
    return TemplateResponse(request, template, page, status=status_code)
