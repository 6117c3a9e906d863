"""What was told to whom: to be read, and to be tried again where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backsoon import store
from backsoon.announce import claims
from backsoon.http.routes import reversed_or_empty
from backsoon.http.users import may_change
from backsoon.models import Announcement, Delivery

from . import times

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    _ModelAdmin = admin.ModelAdmin[Delivery]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for type checkers only


BATCH = 500


class StateFilter(admin.ChoicesFieldListFilter):
    """By how far it has come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("state")


class SourceFilter(admin.ChoicesFieldListFilter):
    """By who was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("receivers")


class MomentFilter(admin.SimpleListFilter):
    """By what was told."""

    title = gettext_lazy("moment")
    parameter_name = "moment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All moments."""
        return [(str(value), str(label)) for value, label in Announcement.What.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """The messages about the one that was chosen."""
        chosen = self.value()
        return queryset.filter(announcement__moment=chosen) if chosen else queryset


@admin.register(Delivery)
class MessagesAdmin(_ModelAdmin):
    """The messages. Nobody writes or deletes one; those that failed can be tried again."""

    list_display = ("when", "moment", "condition", "receivers", "receiver", "problem")
    list_display_links = ("when",)
    list_filter = (("state", StateFilter), MomentFilter, ("source", SourceFilter))
    list_select_related = ("announcement",)
    search_fields = ("address",)
    list_per_page = 50
    empty_value_display = ""
    show_full_result_count = False
    fields = (
        "when_in_full", "moment", "condition", "receivers", "receiver", "language_in_words",
        "attempts", "next_attempt", "sent", "problem_in_full",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("try_again",)
    change_list_template = "backsoon/admin/messages.html"
    change_form_template = "backsoon/admin/change_detail.html"

    class Media:
        css = {"all": ("backsoon/admin.css", "backsoon/messages.css")}

    # -- Who may what --------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the index lists it."""
        return may_change(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """Addresses are for those who run the site."""
        return may_change(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: rows are written by what they tell of."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """Nobody: what was sent was sent."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """Nobody: a row that is gone would be sent again."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """From the database that holds our tables."""
        return super().get_queryset(request).using(store.alias())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's list, and the way to the mails themselves."""
        context = {
            "title": _("Messages"),
            "preview_url": reversed_or_empty("backsoon_admin:letters"),
            # An empty table explains nothing.
            "nobody_told": not self.get_queryset(request).exists(),
            "names": "AUDIENCE, OPERATORS, WEBHOOKS, APPRISE, TELL_ME",
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.action(description=gettext_lazy("Try again"))
    def try_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Let what failed or was given up be sent anew."""
        keys, rows = list(queryset.values_list("pk", flat=True)), Delivery.objects
        count, now = 0, store.utc_now()
        for start in range(0, len(keys), BATCH):  # databases take so many values at a time
            chosen = rows.using(store.alias()).filter(pk__in=keys[start : start + BATCH])
            count += claims.try_again(chosen, now)
        if not count:
            messages.info(request, _("None of these had failed, so there is nothing to try again."))
            return
        messages.success(
            request,
            ngettext(
                "%(count)d message is tried again with the next round.",
                "%(count)d messages are tried again with the next round.",
                count,
            )
            % {"count": count},
        )

    # -- Columns -------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("When"), ordering="announcement__at")
    def when(self, row: Delivery) -> SafeString:
        """When it came to pass."""
        return times.time_element(row.announcement.at)

    @admin.display(description=gettext_lazy("When"))
    def when_in_full(self, row: Delivery) -> SafeString:
        """Date, time and zone."""
        return times.time_element(row.announcement.at, "full")

    @admin.display(description=gettext_lazy("Moment"), ordering="announcement__moment")
    def moment(self, row: Delivery) -> str:
        """What it tells."""
        return row.announcement.get_moment_display()

    @admin.display(description=gettext_lazy("State"), ordering="state")
    def condition(self, row: Delivery) -> SafeString:
        """How far it has come."""
        return format_html(
            '<span class="backsoon-state" data-state="{}">{}</span>',
            row.state,
            row.get_state_display(),
        )

    @admin.display(description=gettext_lazy("Receivers"), ordering="source")
    def receivers(self, row: Delivery) -> str:
        """Which list the receiver stands in."""
        return row.get_source_display()

    @admin.display(description=gettext_lazy("Address"), ordering="address")
    def receiver(self, row: Delivery) -> SafeString:
        """The address, as far as it is kept."""
        if row.address.startswith("#"):  # a digest: nobody can be told anything by it
            return format_html(
                '<span title="{}">{}</span>', row.address, _("deleted after the mail")
            )
        return format_html('<span class="backsoon-address" dir="ltr">{}</span>', row.address)

    @admin.display(description=gettext_lazy("Language"))
    def language_in_words(self, row: Delivery) -> str:
        """The language, if it is another than that of the site."""
        return row.language or "–"

    @admin.display(description=gettext_lazy("Next attempt"))
    def next_attempt(self, row: Delivery) -> SafeString | str:
        """When it is tried again."""
        if row.state not in Delivery.OPEN:
            return "–"
        return times.time_element(row.next_attempt_at, "full")

    @admin.display(description=gettext_lazy("Sent"))
    def sent(self, row: Delivery) -> SafeString | str:
        """When it was sent."""
        return times.time_element(row.sent_at, "full") if row.sent_at is not None else "–"

    @admin.display(description=gettext_lazy("Problem"))
    def problem(self, row: Delivery) -> SafeString | str:
        """The last problem, cut short."""
        if not row.last_error:
            return ""
        text = Truncator(row.last_error).chars(80)
        return format_html('<span class="backsoon-address" lang="en">{}</span>', text)

    @admin.display(description=gettext_lazy("Problem"))
    def problem_in_full(self, row: Delivery) -> str:
        """The last problem."""
        return row.last_error or "–"
