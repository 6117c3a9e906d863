"""The one reader of ``settings.BACKSOON``.

Values are read live, checked as a whole and kept until ``setting_changed`` says that they moved,
so ``override_settings`` works. ``manage.py check`` shows every problem with a hint; whoever starts
a server without running the checks gets the same list as ``ImproperlyConfigured``.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from backsoon.core.checkup import Check
from backsoon.core.matching import Network, PathPattern
from backsoon.core.telling import Moment

from .values import LONGEST_CLOSURE, PARSERS, Webhook, Wrong

__all__ = [
    "LONGEST_CLOSURE",
    "PARSERS",
    "SETTING",
    "Problem",
    "Settings",
    "Webhook",
    "current",
    "problems",
]

SETTING = "BACKSOON"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings, and what to do about it."""

    key: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Settings:
    """``settings.BACKSOON`` with defaults filled in and values parsed."""

    answer: str = "redirect"
    exempt: tuple[PathPattern, ...] = ()
    exempt_networks: tuple[Network, ...] = ()
    trusted_proxies: int = 0
    api_paths: tuple[PathPattern, ...] = ()
    login_urls: tuple[PathPattern, ...] = ()
    show_login_link: bool = True
    badge: bool = True
    brand: str = ""
    get_user: Callable[[Any], Any] | None = None
    database: str = "default"
    poll: float = 1.0
    lease: float = 5.0
    on_store_loss: str = "keep"
    listen: bool = True
    redis_url: str = ""
    state_dir: str = ""
    outage_page: bool = False
    max_closure: float = 24 * 3600.0
    """Seconds; 0 for no limit."""
    open_when_overdue: bool = False
    notice: float = 24 * 3600.0
    """Seconds before a planned closure; 0 for no notice."""
    notice_banner: bool = False
    tell_me: bool = False
    tell_me_most: int = 10_000
    """Addresses at a time."""
    count_traffic: bool = True
    reopen_checks: tuple[Check, ...] = ()
    reopen_timeout: float = 10.0
    """Seconds that each of them may take."""
    watch_minutes: int = 10
    """How long the site is watched after it has opened; 0 for not at all."""
    audience: Callable[[], Iterable[Any]] | None = None
    language_of: Callable[[Any], Any] | None = None
    operators: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    apprise: tuple[str, ...] = ()
    tell: Mapping[str, frozenset[Moment]] = field(default_factory=dict)
    """By source; those that are not named are told of every moment."""
    tell_unplanned: tuple[str, ...] = ("operators", "webhooks", "apprise")
    """The sources that are told of closures by hand."""
    reminders: tuple[float, ...] = (24 * 3600.0, 3600.0)
    """Seconds before the start."""
    deliver: str | Callable[[], Any] = "watcher"
    from_email: str = ""
    site_url: str = ""


def current() -> Settings:
    """The settings in force. Raises ``ImproperlyConfigured`` naming every problem there is."""
    parsed, problems = _read()
    if problems:
        lines = "".join(f"\n- {p.message} {p.hint}" for p in problems)
        raise ImproperlyConfigured(f"settings.{SETTING} cannot be used:{lines}")
    return parsed


def problems() -> tuple[Problem, ...]:
    """What is wrong with the settings; empty when nothing is."""
    return _read()[1]


@functools.cache
def _read() -> tuple[Settings, tuple[Problem, ...]]:
    raw = getattr(django_settings, SETTING, {})
    if not isinstance(raw, dict):
        wrong = f"settings.{SETTING} must be a dict, not {type(raw).__name__}."
        return Settings(), (Problem("", wrong, f"Write {SETTING} = {{...}} or leave it out."),)
    values: dict[str, Any] = {}
    found: list[Problem] = []
    for key, value in raw.items():
        parse = PARSERS.get(key)
        if parse is None:
            found.append(_unknown(key))
            continue
        try:
            values[key.lower()] = parse(value)
        except Wrong as wrong_value:
            message, hint = wrong_value.args
            found.append(Problem(key, f"{SETTING}[{key!r}]: {message}.", hint))
    settings = Settings(**values)
    return settings, (*found, *_contradictions(settings))


def _contradictions(settings: Settings) -> Iterator[Problem]:
    if settings.on_store_loss == "close" and settings.lease < 2 * settings.poll:
        yield Problem(
            "LEASE",
            f"{SETTING}['LEASE']: {settings.lease:g} seconds are too short for a POLL of "
            f"{settings.poll:g}.",
            "Make it at least twice POLL: one late reading must not close the site.",
        )


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, "DATABASES"):
        _read.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.conf")


def _unknown(key: object) -> Problem:
    name = key.upper() if isinstance(key, str) else ""
    near = difflib.get_close_matches(name, PARSERS, n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(PARSERS)}."
    return Problem(str(key), f"{SETTING} has the unknown key {key!r}.", hint)


assert {f.name.upper() for f in fields(Settings)} == set(PARSERS)
