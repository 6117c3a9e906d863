"""The ASGI application that a server loads."""

import os

from django.core.asgi import get_asgi_application

from backsoon import guard

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")

application = guard.asgi(get_asgi_application())
