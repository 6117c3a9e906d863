"""The settings of the tests, with a database, a mail server and customers of their own."""

from __future__ import annotations

import json
import os
from typing import Any

import dj_database_url

from tests.settings import *  # noqa: F403

DATABASES: dict[str, Any] = {"default": dj_database_url.config()}  # type: ignore[no-redef]

EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("SMTP_PORT", "0"))
DEFAULT_FROM_EMAIL = "shop@example.com"

BACKSOON = {
    "AUDIENCE": "tests.telling.people.customers",
    "SITE_URL": "https://shop.example.com",
    "REMINDERS": [],
    **json.loads(os.environ.get("TELLING", "{}")),
}
