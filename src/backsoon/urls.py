"""Include at ``maintenance/``: the page and its status."""

from django.urls import path

from . import views
from .announce.unsubscribing import unsubscribe

app_name = "backsoon"
urlpatterns = [
    path("", views.page, name="page"),
    path("status.json", views.status, name="status"),
    path("unsubscribe/", unsubscribe, name="unsubscribe"),
]
