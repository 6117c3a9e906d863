"""The WSGI application that a server loads."""

import os

from django.core.wsgi import get_wsgi_application

from backsoon import guard

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")

application = guard.wsgi(get_wsgi_application())
