"""The site of the writers as a WSGI server loads it, without and with the guard around it."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from backsoon import guard

from .hurry import hurry

application = get_wsgi_application()
guarded = guard.wsgi(application)

hurry()
