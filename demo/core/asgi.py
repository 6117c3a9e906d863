"""The ASGI application that a server loads: Django, and beside it a WebSocket."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

from backsoon import guard

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")

# First of all: it sets Django up, which everything imported from here on relies on.
django_application = get_asgi_application()

from demo.panel.live import LiveConsumer  # noqa: E402

sockets = URLRouter([path("ws/site/", LiveConsumer.as_asgi())])

application = guard.asgi(
    ProtocolTypeRouter(
        {"http": django_application, "websocket": AllowedHostsOriginValidator(sockets)}
    )
)
