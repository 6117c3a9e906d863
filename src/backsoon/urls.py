"""Include at ``maintenance/``: the page and what belongs to it."""

from django.urls import path

from . import views
from .announce.unsubscribing import unsubscribe

app_name = "backsoon"
urlpatterns = [
    path("", views.page, name="page"),
    path("status.json", views.document, name="status"),
    path("calendar.ics", views.document, name="calendar"),
    path("feed.atom", views.document, name="feed"),
    path("notice/", views.notice, name="notice"),
    path("tell-me/", views.tell_me, name="tell-me"),
    path("unsubscribe/", unsubscribe, name="unsubscribe"),
]
