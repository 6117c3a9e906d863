"""Who changed what, when, from where and why: to be read, by nobody to be rewritten."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import FieldDoesNotExist
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backsoon import store
from backsoon.core.vocabulary import Mode
from backsoon.definitions import BY_KEY, languages, parse_moment
from backsoon.models import Change, SettingType, Worker

from . import times
from .status import may_see_history

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    _ModelAdmin = admin.ModelAdmin[Change]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for type checkers only

logger = logging.getLogger("backsoon")


class WhenFilter(admin.DateFieldListFilter):
    """Django says "By" and the title, which none of the columns is a word for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("time")


class WhatFilter(admin.ChoicesFieldListFilter):
    """By what was done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("action")


class FromWhereFilter(admin.ChoicesFieldListFilter):
    """By the channel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("origin")


class WhoFilter(admin.SimpleListFilter):
    """By the name that was kept; Django's own filter draws a link without text for none."""

    title = gettext_lazy("person")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Everybody who is in the history."""
        names = model_admin.get_queryset(request).order_by("actor_name")
        return [
            (f"={name}", name or _("(unknown)"))
            for name in names.values_list("actor_name", flat=True).distinct()
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        """The entries of whoever was chosen; the sign in front makes "nobody" a choice too."""
        chosen = self.value()
        return queryset.filter(actor_name=chosen[1:]) if chosen else queryset


@admin.register(Change)
class HistoryAdmin(_ModelAdmin):
    """The history, read-only also for superusers."""

    list_display = ("when", "who", "what", "from_where", "reason_in_short", "summary")
    list_display_links = ("when",)
    list_filter = (
        ("at", WhenFilter), ("action", WhatFilter), ("channel", FromWhereFilter), WhoFilter,
    )  # fmt: skip
    search_fields = ("actor_name", "reason")
    list_per_page = 50
    fields = ("when_in_full", "who", "what", "from_where", "reason_in_full", "epoch", "comparison")
    readonly_fields = fields
    actions = None
    change_form_template = "backsoon/admin/change_detail.html"

    class Media:
        css = {"all": ("backsoon/admin.css",)}

    # -- Nobody writes -------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the index lists it."""
        return may_see_history(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        """Whoever may change the state may see who did."""
        return may_see_history(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: rows are written by what they record."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        """Nobody: history is not rewritten."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        """Nobody: history is not rewritten."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Change]:
        """From the database that holds our tables."""
        return super().get_queryset(request).using(store.alias())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's list, under the name that everybody looks for."""
        context = {"title": _("History"), **(extra_context or {})}
        show = super().changelist_view
        return _unless_unreadable(request, lambda: show(request, context))

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """One change in full."""
        show = super().change_view
        return _unless_unreadable(request, lambda: show(request, *args, **kwargs))

    # -- Columns -------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("When"), ordering="at")
    def when(self, change: Change) -> SafeString:
        """Relative, with the exact moment as its title."""
        return times.time_element(change.moment) if change.moment else _UNKNOWN_TIME

    @admin.display(description=gettext_lazy("When"))
    def when_in_full(self, change: Change) -> SafeString:
        """Date, time and zone."""
        return times.time_element(change.moment, "full") if change.moment else _UNKNOWN_TIME

    @admin.display(description=gettext_lazy("Who"), ordering="actor_name")
    def who(self, change: Change) -> SafeString:
        """The name that was kept, also when the user is gone."""
        return _labelled(_("Who"), change.actor_name or _("(unknown)"))

    @admin.display(description=gettext_lazy("What"), ordering="action")
    def what(self, change: Change) -> SafeString:
        """The action in words."""
        return format_html(
            '<span class="backsoon-action" data-action="{}">{}</span>',
            change.action,
            change.get_action_display(),
        )

    @admin.display(description=gettext_lazy("From where"), ordering="channel")
    def from_where(self, change: Change) -> SafeString:
        """The channel in words."""
        return _labelled(_("From where"), change.get_channel_display())

    @admin.display(description=gettext_lazy("Why"), ordering="reason")
    def reason_in_short(self, change: Change) -> SafeString | str:
        """The reason, cut short."""
        return _labelled(_("Why"), Truncator(change.reason).chars(80)) if change.reason else ""

    @admin.display(description=gettext_lazy("Why"))
    def reason_in_full(self, change: Change) -> str:
        """The reason."""
        return change.reason or "–"

    @admin.display(description=gettext_lazy("Old → new"))
    def summary(self, change: Change) -> SafeString:
        """What differs, cut short."""
        return format_html_join(
            "",
            '<span class="backsoon-difference">{}: {} → {}</span> ',
            (
                (label, Truncator(old).chars(40), Truncator(new).chars(40))
                for label, old, new in differences(change)
            ),
        )

    @admin.display(description=gettext_lazy("Old and new values"))
    def comparison(self, change: Change) -> SafeString | str:
        """What differs, in full."""
        rows = format_html_join(
            "\n",
            '<tr><th scope="row">{}</th><td dir="auto" data-label="{}">{}</td>'
            '<td dir="auto" data-label="{}">{}</td></tr>',
            (
                (label, _("Old"), old, _("New"), new) for label, old, new in differences(change)
            ),
        )  # fmt: skip
        if not rows:
            return "–"
        return format_html(
            '<table class="backsoon-comparison"><thead><tr><th scope="col">{}</th>'
            '<th scope="col">{}</th><th scope="col">{}</th></tr></thead><tbody>{}</tbody></table>',
            _("Setting"),
            _("Old"),
            _("New"),
            rows,
        )


def _unless_unreadable(request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
    """The page of *view*; where somebody broke a row by hand, a sentence instead of a fault."""
    try:
        response = view()
        return response.render() if isinstance(response, TemplateResponse) else response
    except (TypeError, ValueError, FieldDoesNotExist):
        logger.exception("Backsoon: a row of the history cannot be read.")
        messages.error(
            request, _("The history has a row that cannot be read: it was changed by hand.")
        )
        return HttpResponseRedirect(reverse("admin:index"))


_UNKNOWN_TIME = SafeString("–")
"""For a moment that somebody made unreadable by hand."""


def differences(change: Change) -> list[tuple[str, str, str]]:
    """What differs, as (label, old, new) in words."""
    before = change.before if isinstance(change.before, dict) else {}
    after = change.after if isinstance(change.after, dict) else {}
    places = dict.fromkeys([*before, *after])
    return [
        (_label(place), _words(place, before.get(place)), _words(place, after.get(place)))
        for place in places
        if before.get(place) != after.get(place)
    ]


def _labelled(label: str, text: str) -> SafeString:
    """*text* with a label that shows where there are no columns with headings."""
    return format_html('<span class="backsoon-label">{}: </span>{}', label, text)


def _moment(text: str) -> str:
    try:
        return times.full(parse_moment(text))
    except ValueError:
        return text


def _label(place: str) -> str:
    special = {
        "mode": _("State"),
        "logins": _("Logins"),
        "made": _("Settings made"),
        "open_at_end": _("Opens by itself at the end"),
        "local": _("On one host"),
        "overdue_at": _("Overdue from"),
        "opens_when_overdue": _("Opens when overdue"),
        "worker": _("Worker"),
        "where": _("Where it ran"),
        "command": _("Command"),
        "how": _("How it ended"),
        "window": _("Planned closure"),
        "starts_at": _("Start"),
        "ends_at": _("End"),
        "planned_mode": _("What it does"),
        "title": _("Title"),
        "message": _("Message"),
        "repeats": _("Repetition"),
        "windows": _("How many closures"),
    }
    if place in special:
        return special[place]
    key, _colon, code = place.partition(":")
    label = str(BY_KEY[key].label) if key in BY_KEY else key
    return f"{label} ({_(dict(languages()).get(code, code))})" if code else label


def _words(place: str, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return _("(empty)") if place != "logins" else _("kept")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if place in ("mode", "planned_mode"):
        modes = {Mode.OPEN: _("open"), Mode.READ_ONLY: _("read-only"), Mode.CLOSED: _("closed")}
        return next((word for mode, word in modes.items() if mode == value), str(value))
    if place == "logins" and value == "ended":
        return _("ended")
    if place in ("overdue_at", "starts_at", "ends_at"):
        return _moment(str(value))
    if place == "how":
        return str(dict(Worker.Ending.choices).get(value, value))
    definition = BY_KEY.get(place)
    if definition is not None and definition.setting_type == SettingType.DATETIME:
        return _moment(str(value))
    if isinstance(value, list):
        return ", ".join(str(BY_KEY[key].label) if key in BY_KEY else str(key) for key in value)
    return str(value)
