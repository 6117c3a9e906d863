"""Include at ``maintenance/``: the page and its status."""

from django.urls import path

from . import views

app_name = "backsoon"
urlpatterns = [
    path("", views.page, name="page"),
    path("status.json", views.status, name="status"),
    path("tell-me/", views.tell_me, name="tell-me"),
]
