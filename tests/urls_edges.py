"""The tests' site with the views of `tests.views_edges` beside its own."""

from __future__ import annotations

from django.urls import path

from tests import urls, views_edges

urlpatterns = [
    path("who/", views_edges.who),
    path("who/async/", views_edges.who_async),
    path("rotate/", views_edges.rotate),
    path("rotate/async/", views_edges.rotate_async),
    path("password/", views_edges.change_password),
    path("prolong/", views_edges.prolong),
    path("prolong/async/", views_edges.prolong_async),
    path("goodbye/", views_edges.say_goodbye),
    path("goodbye/async/", views_edges.say_goodbye_async),
    path("note/", views_edges.note),
    path("basket/", views_edges.basket),
    path("messages/leave/", views_edges.leave_message),
    path("messages/", views_edges.read_messages),
    path("rest/", views_edges.rest_login),
    path("careless/", views_edges.careless_login),
    path("charset/<str:charset>/", views_edges.in_charset),
    path("arrow/", views_edges.arrow),
    path("script/", views_edges.script),
    path("plain/", views_edges.plain),
    path("204/", views_edges.no_content),
    path("304/", views_edges.not_modified),
    path("cached/", views_edges.cached),
    *urls.urlpatterns,
    # Last, and with no prefix of its own: it answers below /static/ as well.
    path("<path:place>/app/", views_edges.application),
]

handler404 = views_edges.not_found
