"""The same site with a language prefix on every page."""

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

from tests import views

urlpatterns = i18n_patterns(
    path("maintenance/", include("backsoon.urls")),
    path("login/", views.login, name="login"),
    path("orders/", views.home, name="home"),
)
