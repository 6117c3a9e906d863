"""The ASGI application that a server loads."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")

application = get_asgi_application()
