"""The settings in the admin's own lists, which name what is registered and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpResponseRedirect
from django.urls import path, reverse

from backsoon.http.routes import reversed_or_empty
from backsoon.http.users import may_change
from backsoon.models import SystemSetting

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    _ModelAdmin = admin.ModelAdmin[SystemSetting]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for type checkers only

SETTINGS = "backsoon_admin:settings"


@admin.register(SystemSetting)
class SettingsEntry(_ModelAdmin):
    """An entry that leads to the page of ours; nobody edits the rows one by one."""

    def get_urls(self) -> list[URLPattern]:
        """The one address that the lists ask for."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="backsoon_systemsetting_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The settings, which look at the permission themselves."""
        return HttpResponseRedirect(reverse(SETTINGS))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the lists name it: for who may open it, where it has an address."""
        return may_change(request.user) and bool(reversed_or_empty(SETTINGS))

    def has_change_permission(self, request: HttpRequest, obj: SystemSetting | None = None) -> bool:
        """As above."""
        return self.has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: SystemSetting | None = None) -> bool:
        """As above."""
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: what settings there are is not up to the admin."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SystemSetting | None = None) -> bool:
        """Nobody: a setting is emptied, not deleted."""
        return False
