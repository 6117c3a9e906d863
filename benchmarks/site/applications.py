"""The site for real servers: with the middleware alone, and with the outermost guard as well."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from benchmarks.guarded import guard_is_there

wsgi: Any = get_wsgi_application()
asgi: Any = get_asgi_application()

if guard_is_there() and apps.is_installed("backsoon"):
    from backsoon import guard

    guarded_wsgi = guard.wsgi(wsgi)
    guarded_asgi = guard.asgi(asgi)
