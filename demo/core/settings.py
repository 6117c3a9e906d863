"""Settings of the demo site.

Everything that differs from one machine to the next comes from the environment:

``DATABASE_URL``          a database; default: the SQLite file ``demo.sqlite3`` in the data folder
``REDIS_URL``             a cache; default: Django's in-process cache; also the broker of Celery
``DEMO_BROKER_URL``       another broker; without any, orders are delivered by hand
``SECRET_KEY``            default: generated once and kept in the data folder
``ALLOWED_HOSTS``         comma-separated host names
``CSRF_TRUSTED_ORIGINS``  comma-separated origins, needed behind a proxy that ends TLS
``DEMO_VAR_DIR``          the data folder; default: ``var`` next to ``manage.py``
``DEMO_DEBUG``            ``1`` turns Django's debug mode on
``DEMO_HTTPS``            ``1`` behind a proxy that ends TLS and sets ``X-Forwarded-Proto``
``DEMO_SITE_URL``         where visitors find the site, for links in mails; set by ``make demo``
"""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(os.environ.get("DEMO_VAR_DIR") or BASE_DIR / "var")


def _listed(name: str, default: str = "") -> list[str]:
    """Return the comma-separated environment variable ``name`` without its empty parts."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def _secret_key() -> str:
    """Return the key from the environment, or the one that this installation made for itself.

    Several processes may start at once on a new machine. A hard link can be made only once,
    so one of them decides and all of them read the same complete file.
    """
    if from_environment := os.environ.get("SECRET_KEY"):
        return from_environment
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        draft = VAR_DIR / f"secret_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(get_random_secret_key(), encoding="utf-8")
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8").strip()


def _database() -> dict[str, Any]:
    """Return the default database: the one in ``DATABASE_URL``, or an SQLite file."""
    database: dict[str, Any]
    if os.environ.get("DATABASE_URL"):
        # One connection per request: persistent ones are not for ASGI, and both servers use this.
        database = dict(dj_database_url.config(conn_max_age=0))
    else:
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "demo.sqlite3"}
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            # Writers queue instead of failing half-way through a transaction that began as a read.
            "transaction_mode": "IMMEDIATE",
            "timeout": 5,
            # Readers do not wait for a writer, in whichever process it is.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            **database.get("OPTIONS", {}),
        }
    return database


# Security ---------------------------------------------------------------------------------------

SECRET_KEY = _secret_key()
DEBUG = os.environ.get("DEMO_DEBUG") == "1"
ALLOWED_HOSTS = _listed("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _listed("CSRF_TRUSTED_ORIGINS")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

if os.environ.get("DEMO_HTTPS") == "1":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # Health checks come from inside the network, past the proxy, in plain HTTP.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
    SECURE_HSTS_SECONDS = 3600
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# Application ------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "demo.panel",
    # Before the admin: the card on its start page comes from a template that extends the admin's.
    "backsoon",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Above everything that reads the database, so that a closed site needs none to answer.
    "backsoon.middleware.MaintenanceModeMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

BACKSOON = {
    # Above the sign on the maintenance page.
    "BRAND": "Northlight Hosting",
    # A load balancer that gets 503 from its health check takes the process out of service.
    "EXEMPT": ["/healthz"],
    # Programs get their refusal as JSON, whether or not they ask for it.
    "API_PATHS": ["/api/"],
    # For the hour in which the database is away; the servers and the shell have to agree on it.
    "STATE_DIR": VAR_DIR / "state",
    # Views that fail because the database is away say so with the page, not with a bare 500.
    "OUTAGE_PAGE": True,
    # A field on the page for those who want to be told when the site is open again.
    "TELL_ME": True,
    # Customers hear of planned closures by mail, those who run the site of every closure.
    "AUDIENCE": "demo.panel.customers.to_be_told",
    "LANGUAGE_OF": "demo.panel.customers.language_of",
    "OPERATORS": ["operators@northlight.example"],
    "SITE_URL": os.environ.get("DEMO_SITE_URL") or "http://127.0.0.1:8000",
}

# Mail ---------------------------------------------------------------------------------------------

# Nothing leaves this machine: each mail is a file to read.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = VAR_DIR / "mails"
DEFAULT_FROM_EMAIL = "Northlight Hosting <hello@northlight.example>"

ROOT_URLCONF = "demo.core.urls"
WSGI_APPLICATION = "demo.core.wsgi.application"
ASGI_APPLICATION = "demo.core.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "demo.panel.context_processors.company",
            ],
        },
    },
]

# Data -------------------------------------------------------------------------------------------

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if redis_url := os.environ.get("REDIS_URL"):
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": redis_url,
            "KEY_PREFIX": "northlight",
        },
    }

# Work in the background --------------------------------------------------------------------------

CELERY_BROKER_URL = os.environ.get("DEMO_BROKER_URL") or os.environ.get("REDIS_URL", "")
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A customer who pays does not wait for a broker that is away.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1}

# Accounts ---------------------------------------------------------------------------------------

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Languages and time -----------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Europe/Paris"

# Static files -----------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Log --------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # Django's own set-up adds a second console handler in debug mode; this one replaces it.
    "loggers": {"django": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
