"""Administration inside Django's own admin: card, settings, confirmation, toggle, history.

Django's admin imports this package to find what is registered: the history, and an entry for the
settings. These have pages of their own, because every change goes through ``backsoon.services``.
"""

from django.apps import apps

# The template tags read `status` from here also in projects that have no admin.
if apps.is_installed("django.contrib.admin"):
    from . import history, messages, sidebar

    __all__ = ["history", "messages", "sidebar"]
