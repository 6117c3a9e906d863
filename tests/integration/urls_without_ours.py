"""A project with two admin sites that has not included our addresses in either."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

second = admin.AdminSite(name="second")

urlpatterns = [path("admin/", admin.site.urls), path("second/", second.urls)]
