"""Settings as ``startproject`` makes them, and what the alternative adds.

The environment variable ``BENCHMARK_SITE`` holds what ``alternatives.configuration`` made, as JSON.
"""

from __future__ import annotations

import json
import os
from typing import Any

import dj_database_url

SITE: dict[str, Any] = json.loads(os.environ["BENCHMARK_SITE"])

SECRET_KEY = "for measuring only, and the same for each so that cookies fit"  # noqa: S105
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.site.urls"
USE_TZ = True
STATIC_URL = "/static/"
LOGIN_URL = "/login/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "CRITICAL"}}

INSTALLED_APPS = [
    *SITE["apps"],
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

_GATE = [SITE["middleware"]] if SITE["middleware"] else []

_USUAL = [
    "django.middleware.security.SecurityMiddleware",
    *(_GATE if SITE["above"] else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *(_GATE if not SITE["above"] else []),
]

# The usual stack changes threads a dozen times under ASGI, which hides whatever else there is.
MIDDLEWARE = _GATE if SITE["bare"] else _USUAL

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": dj_database_url.parse(SITE["database"], conn_max_age=SITE["conn_max_age"])}

globals().update(SITE["settings"])
