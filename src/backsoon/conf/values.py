"""Reading single values of ``settings.BACKSOON``: what each may be, and what to do if it is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.module_loading import import_string

from backsoon.core.checkup import Check, Kind, parse_check
from backsoon.core.matching import Network, PathPattern, parse_network, parse_pattern
from backsoon.core.telling import Moment

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

LONGEST_CLOSURE = dt.timedelta(days=365)
"""What any length of time in the settings may be at most."""

SOURCES = ("audience", "visitors", "operators", "webhooks", "apprise")
"""Whom the settings can name to be told."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to post what has come to pass, and what to sign it with."""

    url: str
    secret: str = ""


class Wrong(Exception):
    """A value that cannot be taken: message, hint."""


def _choice(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            named = " or ".join(repr(c) for c in choices)
            raise Wrong(f"{value!r} is not one of its values", f"Set it to {named}.")
        return str(value)

    return parse


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"{value!r} is neither True nor False", "Set it to True or False.")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"{value!r} is not a string", "Give the name of the site, or ''.")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Wrong(f"{value!r} is not a whole number from 0", "Set it to 0, 1, 2, …")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.05 <= value <= 60:
        raise Wrong(f"{value!r} is not a number of seconds", "Set it to between 0.05 and 60.")
    return float(value)


def _length(zero: str) -> Callable[[Any], float]:
    """Reads a length of time in seconds; *zero* says what none of it means."""

    def parse(value: Any) -> float:
        seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise Wrong(f"{value!r} is no length of time", "Give seconds, or a timedelta.")
        # NaN is not between them, either.
        if seconds != 0 and not 1 <= seconds <= LONGEST_CLOSURE.total_seconds():
            raise Wrong(
                f"{value!r} is out of range",
                f"Set it to between a second and {LONGEST_CLOSURE.days} days, or to 0 for {zero}.",
            )
        return float(seconds)

    return parse


def _redis_url(value: Any) -> str:
    if not isinstance(value, str) or (value and not value.startswith(REDIS_SCHEMES)):
        schemes = ", ".join(f"{scheme}…" for scheme in REDIS_SCHEMES)
        raise Wrong(f"{value!r} is not the address of a Redis", f"It begins with {schemes}.")
    if value and find_spec("redis") is None:
        raise Wrong(
            "the package redis is not installed",
            "Type: pip install 'django-backsoon[redis]', or leave REDIS_URL out.",
        )
    return value


def _directory(value: Any) -> str:
    if not isinstance(value, (str, Path)):
        raise Wrong(f"{value!r} is not a path", "Give the path of a directory on this host.")
    if str(value) and not Path(value).is_absolute():
        raise Wrong(
            f"{str(value)!r} is not absolute",
            "Commands and servers start in different directories: write BASE_DIR / 'var'.",
        )
    return str(value)


def _alias(value: Any) -> str:
    if not isinstance(value, str) or value not in django_settings.DATABASES:
        known = ", ".join(repr(alias) for alias in django_settings.DATABASES)
        raise Wrong(f"there is no database {value!r}", f"settings.DATABASES has {known}.")
    return value


def _callable(value: Any) -> Callable[[Any], Any] | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = import_string(value)
        except (ImportError, TypeError, ValueError) as error:  # the latter two for ".name"
            raise Wrong(f"cannot be imported: {error}", "Give 'module.function'.") from error
    if not callable(value):
        raise Wrong(f"{value!r} cannot be called", "Give a function or its dotted path.")
    return value  # type: ignore[no-any-return]


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, str):
        raise Wrong(
            f"{value!r} is a string, not a list",
            f"A comma may be missing: write [{value!r}].",
        )
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise Wrong(f"{value!r} is not a list", "Give a list of strings.")
    return value


def _patterns(value: Any) -> tuple[PathPattern, ...]:
    try:
        return tuple(parse_pattern(item) for item in _items(value))
    except ValueError as error:
        raise Wrong(str(error), "Give paths such as '/health/' or 'POST /hooks/'.") from error


def _paths(value: Any) -> tuple[PathPattern, ...]:
    patterns = _patterns(value)
    for pattern in patterns:
        if pattern.method:
            raise Wrong(f"'{pattern}' names a method", "Give only the path.")
    return patterns


def _exact_paths(value: Any) -> tuple[PathPattern, ...]:
    return tuple(PathPattern(pattern.path, exact=True) for pattern in _paths(value))


def _checks(value: Any) -> tuple[Check, ...]:
    if callable(value):
        raise Wrong(f"{value!r} is no list", "Put it into one, also if it is the only one.")
    try:
        checks = tuple(_check(item) for item in _items(value))
    except ValueError as error:
        raise Wrong(
            str(error),
            "Give 'migrations', 'checks', addresses such as '/orders/', or 'module.function'.",
        ) from error
    for check in checks:
        for alias in check.databases:
            _alias(alias)
    return checks


def _check(item: Any) -> Check:
    # Not imported here: a module that cannot be must not keep anybody from closing the site.
    if callable(item):
        name = f"{getattr(item, '__module__', '')}.{getattr(item, '__qualname__', item)}"
        return Check(name, Kind.CALL, target=item)
    if not isinstance(item, str):
        raise ValueError(f"{item!r} is no check")
    return parse_check(item)


def _minutes(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 24 * 60:
        raise Wrong(f"{value!r} is not a whole number of minutes", "Set it to between 0 and 1440.")
    return value


def _networks(value: Any) -> tuple[Network, ...]:
    try:
        return tuple(parse_network(item) for item in _items(value))
    except ValueError as error:
        raise Wrong(str(error), "Give networks such as '192.0.2.0/24' or '::1/128'.") from error


# -- Who is told -------------------------------------------------------------------------------


def _address(value: Any) -> str:
    try:
        validate_email(value)
    except ValidationError:
        raise Wrong(
            f"{value!r} is no e-mail address", "Give one such as 'ops@example.com'."
        ) from None
    return str(value)


def _addresses(value: Any) -> tuple[str, ...]:
    return tuple(_address(item) for item in _items(value))


def _sender(value: Any) -> str:
    if not isinstance(value, str) or "\n" in value or "\r" in value:
        raise Wrong(f"{value!r} is no sender", "Give 'Name <address@example.com>', or ''.")
    return value


def _is_web_address(value: Any) -> bool:
    try:
        parts = urlsplit(value)
        _port = parts.port
    except (AttributeError, TypeError, ValueError):
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and value.isascii()
        and not any(sign.isspace() or not sign.isprintable() for sign in value)
    )


def _site_url(value: Any) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _is_web_address(value) or "?" in value or "#" in value:
        raise Wrong(f"{value!r} is no address", "Give one such as 'https://www.example.com'.")
    return value.rstrip("/")


def _webhooks(value: Any) -> tuple[Webhook, ...]:
    found = []
    for item in _items(value):
        if not isinstance(item, dict) or not set(item) <= {"url", "secret"} or "url" not in item:
            raise Wrong(
                "an entry is no dict of url and secret",
                "Write {'url': 'https://…', 'secret': '…'}.",
            )
        if not isinstance(item["url"], str) or not _is_web_address(item["url"]):
            raise Wrong(
                "the url of an entry does not begin with http:// or https://, or cannot be read",
                "Write {'url': 'https://…', 'secret': '…'}.",
            )
        secret = item.get("secret", "")
        if not isinstance(secret, str) or (secret and len(secret) < 16):
            raise Wrong(
                "the secret of an entry is no string of at least 16 characters",
                "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'.",
            )
        found.append(Webhook(item["url"], secret))
    return tuple(dict.fromkeys(found))


def _apprise(value: Any) -> tuple[str, ...]:
    urls = tuple(dict.fromkeys(_items(value)))
    if not all(isinstance(url, str) and "://" in url for url in urls):
        raise Wrong("an entry is no address of a service", "Give URLs such as 'slack://…'.")
    if urls and find_spec("apprise") is None:
        raise Wrong(
            "the package apprise is not installed",
            "Type: pip install 'django-backsoon[notify]'.",
        )
    return urls


def _sources(value: Any) -> tuple[str, ...]:
    for item in _items(value):
        if item not in SOURCES:
            raise Wrong(f"{item!r} is nobody to be told", f"Choose from {', '.join(SOURCES)}.")
    return tuple(value)


def _tell(value: Any) -> dict[str, frozenset[Moment]]:
    if not isinstance(value, dict):
        raise Wrong(f"{value!r} is not a dict", "Write {'audience': ['announced', 'ended']}.")
    _sources(tuple(value))
    known = ", ".join(Moment)
    told = {}
    for source, moments in value.items():
        for moment in _items(moments):
            if moment not in tuple(Moment):
                raise Wrong(f"{moment!r} is no moment", f"Choose from {known}.")
        told[source] = frozenset(Moment(moment) for moment in moments)
    return told


def _reminders(value: Any) -> tuple[float, ...]:
    read = _length("")
    found = [read(item) for item in _items(value)]
    if not all(found):
        raise Wrong("a reminder of 0 comes when the closure begins", "Leave it out.")
    return tuple(sorted(set(found), reverse=True))


def _deliver(value: Any) -> str | Callable[[], Any]:
    if value in ("watcher", "command"):
        return str(value)
    called: Any = _callable(value)
    if called is None:
        raise Wrong(f"{value!r} delivers nothing", "Set it to 'watcher' or 'command'.")
    return called  # type: ignore[no-any-return]


PARSERS: dict[str, Callable[[Any], Any]] = {
    "ANSWER": _choice("redirect", "in_place"),
    "EXEMPT": _patterns,
    "EXEMPT_NETWORKS": _networks,
    "TRUSTED_PROXIES": _count,
    "API_PATHS": _paths,
    "LOGIN_URLS": _exact_paths,
    "SHOW_LOGIN_LINK": _flag,
    "BADGE": _flag,
    "BRAND": _text,
    "GET_USER": _callable,
    "DATABASE": _alias,
    "POLL": _seconds,
    "LEASE": _seconds,
    "ON_STORE_LOSS": _choice("keep", "close"),
    "LISTEN": _flag,
    "REDIS_URL": _redis_url,
    "STATE_DIR": _directory,
    "OUTAGE_PAGE": _flag,
    "MAX_CLOSURE": _length("no limit"),
    "OPEN_WHEN_OVERDUE": _flag,
    "NOTICE": _length("no notice"),
    "NOTICE_BANNER": _flag,
    "TELL_ME": _flag,
    "TELL_ME_MOST": _count,
    "COUNT_TRAFFIC": _flag,
    "REOPEN_CHECKS": _checks,
    "REOPEN_TIMEOUT": _seconds,
    "WATCH_MINUTES": _minutes,
    "AUDIENCE": _callable,
    "LANGUAGE_OF": _callable,
    "OPERATORS": _addresses,
    "WEBHOOKS": _webhooks,
    "APPRISE": _apprise,
    "TELL": _tell,
    "TELL_UNPLANNED": _sources,
    "REMINDERS": _reminders,
    "DELIVER": _deliver,
    "FROM_EMAIL": _sender,
    "SITE_URL": _site_url,
}
