"""The pages below ``admin/``, to be included before the admin's own, which take every address.

::

    path("admin/", include("backsoon.admin.urls")),
    path("admin/", admin.site.urls),
"""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from .calendar import calendar_page
from .letters import letters_page
from .pages import confirm_page, settings_page
from .planned_verbs import extend_planned, verb_page
from .planning import plan_page, plan_preview, planned_page
from .preview import preview
from .progress import extend, progress_data, progress_page
from .report import report_json, report_page
from .toggle import toggle
from .traffic import quiet_hours_page

app_name = "backsoon_admin"

urlpatterns = [
    path("settings/", admin.site.admin_view(settings_page), name="settings"),
    path("settings/toggle-maintenance/", toggle, name="toggle"),
    path("settings/maintenance/", admin.site.admin_view(confirm_page), name="confirm"),
    path("settings/progress/", admin.site.admin_view(progress_page), name="progress"),
    path("settings/progress.json", progress_data, name="progress_data"),
    path("settings/extend/", admin.site.admin_view(extend), name="extend"),
    path("settings/report/", admin.site.admin_view(report_page), name="report"),
    path("settings/report.json", admin.site.admin_view(report_json), name="report_json"),
    path("settings/mails/", admin.site.admin_view(letters_page), name="letters"),
    path("settings/preview/", admin.site.admin_view(preview), name="preview"),
    path("settings/calendar/", admin.site.admin_view(calendar_page), name="calendar"),
    path("settings/calendar/plan/", admin.site.admin_view(plan_page), name="plan"),
    path("settings/calendar/preview/", admin.site.admin_view(plan_preview), name="plan_preview"),
    path("settings/calendar/<int:number>/", admin.site.admin_view(planned_page), name="planned"),
    path(
        "settings/calendar/<int:number>/extend/",
        admin.site.admin_view(extend_planned),
        name="extend_planned",
    ),
    path(
        "settings/calendar/<int:number>/<str:verb>/",
        admin.site.admin_view(verb_page),
        name="plan_verb",
    ),
    path("settings/quiet-hours/", admin.site.admin_view(quiet_hours_page), name="quiet_hours"),
]
