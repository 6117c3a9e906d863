"""The demo's Celery app: orders are delivered in the background where there is a broker.

    celery --app demo.core.celery worker        (`make demo-worker`)

Imported only where it is needed, so that the demo starts without it.
"""

import os

from celery import Celery

from backsoon.integrations.celery import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")

app = Celery("northlight")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
install(app)
