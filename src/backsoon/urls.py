"""Include at ``maintenance/``: the page, its status, and the banner of closures to come."""

from django.urls import path

from . import views

app_name = "backsoon"
urlpatterns = [
    path("", views.page, name="page"),
    path("status.json", views.status, name="status"),
    path("notice/", views.notice, name="notice"),
]
