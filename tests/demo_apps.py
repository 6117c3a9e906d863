"""The demo's applications as servers load them, naming in a header the worker that answered."""

from __future__ import annotations

from demo.core.asgi import application as asgi_site
from demo.core.wsgi import application as wsgi_site
from tests.naming import naming_asgi, naming_wsgi

wsgi = naming_wsgi(wsgi_site)
asgi = naming_asgi(asgi_site)
