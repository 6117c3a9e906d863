"""Settings and planned closures in the admin's own lists, which name what is registered and nothing
else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpResponseRedirect
from django.urls import path, reverse

from backsoon.http.routes import reversed_or_empty
from backsoon.http.users import may_change
from backsoon.models import SystemSetting, Window

if TYPE_CHECKING:
    from django.db.models import Model
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    _ModelAdmin = admin.ModelAdmin[Model]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for type checkers only


class _Entry(_ModelAdmin):
    """An entry that leads to a page of ours; nobody edits the rows one by one."""

    page: str
    """The name of its address."""

    def get_urls(self) -> list[URLPattern]:
        """The one address that the lists ask for."""
        view = self.admin_site.admin_view(self.changelist_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [path("", view, name=name)]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, which looks at the permission itself."""
        return HttpResponseRedirect(reverse(self.page))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the lists name it: for who may open it, where it has an address."""
        return may_change(request.user) and bool(reversed_or_empty(self.page))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """As above."""
        return self.has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """As above."""
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody in the way of the admin: our pages do it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: a setting is emptied, and a closure cancelled."""
        return False


@admin.register(SystemSetting)
class SettingsEntry(_Entry):
    """Leads to the settings."""

    page = "backsoon_admin:settings"


@admin.register(Window)
class CalendarEntry(_Entry):
    """Leads to the calendar of planned closures."""

    page = "backsoon_admin:calendar"
