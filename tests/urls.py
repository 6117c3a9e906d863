"""The routes of the tests' site; Backsoon's are included the documented way."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from tests import views

urlpatterns = [
    # Before the admin's own routes, whose last one takes everything below admin/.
    path("admin/", include("backsoon.admin.urls")),
    path("admin/", admin.site.urls),
    path("maintenance/", include("backsoon.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("login/", views.login, name="login"),
    path("login/async/", views.login_async, name="login_async"),
    path("logout/", views.logout, name="logout"),
    path("", views.home, name="home"),
    path("async/", views.home_async, name="home_async"),
    path("account/", views.account, name="account"),
    path("account/async/", views.account_async, name="account_async"),
    path("stream/", views.stream, name="stream"),
    path("stream/async/", views.stream_async, name="stream_async"),
    path("api/", views.api, name="api"),
    path("healthy/", views.healthy, name="healthy"),
    path("healthy/async/", views.healthy_async, name="healthy_async"),
    path("broken/", views.broken, name="broken"),
]
