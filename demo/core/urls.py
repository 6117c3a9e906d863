"""Routes of the demo site."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    # Before the admin's own routes, which answer every other path below /admin/.
    path("admin/", include("backsoon.admin.urls")),
    path("admin/", admin.site.urls),
    path("maintenance/", include("backsoon.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("demo.panel.urls")),
]
