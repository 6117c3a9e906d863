"""The site of the writers as an ASGI server loads it, without and with the guard around it."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

from backsoon import guard

from .hurry import hurry

application: Any = get_asgi_application()
guarded = guard.asgi(application)

hurry()
