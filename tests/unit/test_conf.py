"""``settings.BACKSOON``: what each key takes, what it refuses, and what the hint says."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from backsoon import conf
from backsoon.conf import Webhook
from backsoon.core.checkup import Check, Kind, parse_check
from backsoon.core.matching import PathPattern
from backsoon.core.telling import Moment
from tests.integration.outbox import people


def found(value: Any) -> conf.Problem:
    """The one problem of a value of ``settings.BACKSOON``."""
    with override_settings(BACKSOON=value):
        (problem,) = conf.problems()
    return problem


def read(**values: Any) -> conf.Settings:
    with override_settings(BACKSOON=values):
        assert conf.problems() == ()
        return conf.current()


def test_without_settings_the_defaults_are_in_force(settings: Any) -> None:
    del settings.BACKSOON
    assert conf.current() == conf.Settings()
    assert conf.problems() == ()


def test_an_empty_dict_means_the_defaults() -> None:
    assert read() == conf.Settings()


def test_the_default_is_to_redirect_and_to_exempt_nothing() -> None:
    defaults = conf.Settings()
    assert defaults.answer == "redirect"
    assert defaults.exempt == ()
    assert defaults.exempt_networks == ()
    assert defaults.trusted_proxies == 0
    assert defaults.get_user is None
    assert defaults.database == "default"


GOOD: list[tuple[str, Any, Any]] = [
    ("ANSWER", "redirect", "redirect"),
    ("ANSWER", "in_place", "in_place"),
    ("EXEMPT", [], ()),
    ("EXEMPT", ["/health/"], (PathPattern("/health/"),)),
    ("EXEMPT", ("/a/", "POST /b/"), (PathPattern("/a/"), PathPattern("/b/", "POST"))),
    ("EXEMPT", {"/a/"}, (PathPattern("/a/"),)),
    (
        "EXEMPT_NETWORKS",
        ["192.0.2.0/24", "::1/128"],
        (ipaddress.IPv4Network("192.0.2.0/24"), ipaddress.IPv6Network("::1/128")),
    ),
    ("TRUSTED_PROXIES", 0, 0),
    ("TRUSTED_PROXIES", 2, 2),
    ("API_PATHS", ["/api/"], (PathPattern("/api/"),)),
    ("LOGIN_URLS", ["/sso/"], (PathPattern("/sso/", exact=True),)),
    ("SHOW_LOGIN_LINK", False, False),
    ("BADGE", False, False),
    ("BRAND", "Muster & Söhne", "Muster & Söhne"),
    ("GET_USER", None, None),
    ("GET_USER", get_user, get_user),
    ("GET_USER", "django.contrib.auth.get_user", get_user),
    ("DATABASE", "default", "default"),
    ("POLL", 1, 1.0),
    ("POLL", 0.05, 0.05),
    ("POLL", 60, 60.0),
    ("LEASE", 10, 10.0),
    ("ON_STORE_LOSS", "keep", "keep"),
    ("ON_STORE_LOSS", "close", "close"),
    ("LISTEN", False, False),
    ("REDIS_URL", "", ""),
    ("REDIS_URL", "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    ("REDIS_URL", "unix:///run/redis.sock", "unix:///run/redis.sock"),
    ("STATE_DIR", "/var/lib/site", "/var/lib/site"),
    ("STATE_DIR", Path("/var/lib/site"), "/var/lib/site"),
    ("STATE_DIR", "", ""),
    ("OUTAGE_PAGE", True, True),
    ("MAX_CLOSURE", 0, 0.0),
    ("MAX_CLOSURE", 3600, 3600.0),
    ("MAX_CLOSURE", dt.timedelta(days=365), 365 * 86400.0),
    ("MAX_CLOSURE", dt.timedelta(), 0.0),
    ("OPEN_WHEN_OVERDUE", True, True),
    ("COUNT_TRAFFIC", False, False),
    ("NOTICE", dt.timedelta(days=3), 3 * 86400.0),
    ("NOTICE", 0, 0.0),
    ("NOTICE_BANNER", True, True),
    ("TELL_ME", True, True),
    ("TELL_ME_MOST", 500, 500),
    (
        "REOPEN_CHECKS",
        ["migrations:default", "/orders/", "shop.stock"],
        tuple(map(parse_check, ["migrations:default", "/orders/", "shop.stock"])),
    ),
    ("REOPEN_CHECKS", [print], (Check("builtins.print", Kind.CALL, print),)),
    ("REOPEN_TIMEOUT", 5, 5.0),
    ("WATCH_MINUTES", 0, 0),
    ("AUDIENCE", "tests.integration.outbox.people", people),
    ("LANGUAGE_OF", None, None),
    ("OPERATORS", ["ops@example.com"], ("ops@example.com",)),
    (
        "WEBHOOKS",
        [{"url": "https://example.com/hook?a=1", "secret": "s" * 16}, {"url": "http://[::1]:80/"}],
        (Webhook("https://example.com/hook?a=1", "s" * 16), Webhook("http://[::1]:80/")),
    ),
    ("APPRISE", [], ()),
    (
        "TELL",
        {"audience": ["ended"], "webhooks": []},
        {"audience": frozenset({Moment.ENDED}), "webhooks": frozenset()},
    ),
    ("TELL_UNPLANNED", [], ()),
    ("REMINDERS", [3600, dt.timedelta(days=2)], (2 * 86400.0, 3600.0)),
    ("DELIVER", "command", "command"),
    ("DELIVER", "tests.integration.outbox.people", people),
    ("FROM_EMAIL", "Shop <shop@example.com>", "Shop <shop@example.com>"),
    ("SITE_URL", "https://www.example.com/", "https://www.example.com"),
]

BAD: list[tuple[str, Any, str, str]] = [
    ("ANSWER", "page", "'page' is not one of its values", "'redirect' or 'in_place'"),
    ("ANSWER", None, "None is not one of its values", "'redirect' or 'in_place'"),
    ("ANSWER", ["redirect"], "is not one of its values", "'redirect' or 'in_place'"),
    ("EXEMPT", "/health/", "is a string, not a list", "A comma may be missing: write ['/health/']"),
    ("EXEMPT", ["/a//b/"], "is a comma missing?", "paths such as"),
    ("EXEMPT", None, "None is not a list", "list of strings"),
    ("EXEMPT", {"/a/": True}, "is not a list", "list of strings"),
    ("EXEMPT", [5], "5 is not a string", "paths such as"),
    ("EXEMPT", ["/"], "would exempt the whole site", "paths such as"),
    ("EXEMPT", ["^/a/$"], "does not begin with '/'", "paths such as"),
    ("EXEMPT", ["/a/", "b/"], "does not begin with '/'", "paths such as"),
    ("EXEMPT_NETWORKS", "192.0.2.0/24", "is a string", "A comma may be missing"),
    ("EXEMPT_NETWORKS", ["192.0.2.1"], "CIDR", "networks such as"),
    ("EXEMPT_NETWORKS", ["0.0.0.0/0"], "every address", "networks such as"),
    ("EXEMPT_NETWORKS", [3232235520], "CIDR", "networks such as"),
    ("TRUSTED_PROXIES", -1, "-1 is not a whole number", "0, 1, 2"),
    ("TRUSTED_PROXIES", True, "True is not a whole number", "0, 1, 2"),
    ("TRUSTED_PROXIES", "1", "'1' is not a whole number", "0, 1, 2"),
    ("TRUSTED_PROXIES", 1.0, "1.0 is not a whole number", "0, 1, 2"),
    ("API_PATHS", ["GET /api/"], "names a method", "only the path"),
    ("API_PATHS", "/api/", "is a string", "A comma may be missing"),
    ("LOGIN_URLS", ["POST /sso/"], "names a method", "only the path"),
    ("LOGIN_URLS", ["/"], "whole site", "paths such as"),
    ("SHOW_LOGIN_LINK", "no", "neither True nor False", "True or False"),
    ("SHOW_LOGIN_LINK", 0, "neither True nor False", "True or False"),
    ("BADGE", None, "neither True nor False", "True or False"),
    ("BRAND", None, "not a string", "name of the site"),
    ("BRAND", b"Muster", "not a string", "name of the site"),
    ("GET_USER", "no.such.function", "cannot be imported", "module.function"),
    ("GET_USER", "get_user", "cannot be imported", "module.function"),
    ("GET_USER", "", "cannot be imported", "module.function"),
    ("GET_USER", ".get_user", "cannot be imported", "module.function"),
    ("GET_USER", "..get_user", "cannot be imported", "module.function"),
    ("GET_USER", "django.VERSION", "cannot be called", "dotted path"),
    ("GET_USER", 5, "cannot be called", "dotted path"),
    ("DATABASE", "other", "no database 'other'", "has 'default'"),
    ("DATABASE", None, "no database None", "has 'default'"),
    ("DATABASE", ["default"], "no database ['default']", "has 'default'"),
    ("POLL", 0, "not a number of seconds", "between 0.05 and 60"),
    ("POLL", 61, "not a number of seconds", "between 0.05 and 60"),
    ("POLL", "1", "not a number of seconds", "between 0.05 and 60"),
    ("POLL", True, "not a number of seconds", "between 0.05 and 60"),
    ("POLL", float("nan"), "not a number of seconds", "between 0.05 and 60"),
    ("POLL", float("inf"), "not a number of seconds", "between 0.05 and 60"),
    ("LEASE", 0, "not a number of seconds", "between 0.05 and 60"),
    ("ON_STORE_LOSS", "open", "'open' is not one of its values", "'keep' or 'close'"),
    ("LISTEN", 1, "neither True nor False", "True or False"),
    ("REDIS_URL", "127.0.0.1:6379", "not the address of a Redis", "redis://"),
    ("REDIS_URL", None, "not the address of a Redis", "redis://"),
    ("STATE_DIR", "var/state", "not absolute", "BASE_DIR / 'var'"),
    ("STATE_DIR", Path(), "not absolute", "BASE_DIR / 'var'"),
    ("STATE_DIR", None, "not a path", "directory on this host"),
    ("OUTAGE_PAGE", "yes", "neither True nor False", "True or False"),
    ("MAX_CLOSURE", "24h", "no length of time", "seconds, or a timedelta"),
    ("MAX_CLOSURE", None, "no length of time", "seconds, or a timedelta"),
    ("MAX_CLOSURE", True, "no length of time", "seconds, or a timedelta"),
    ("MAX_CLOSURE", -1, "out of range", "0 for no limit"),
    ("MAX_CLOSURE", 0.5, "out of range", "0 for no limit"),
    ("MAX_CLOSURE", float("nan"), "out of range", "0 for no limit"),
    ("MAX_CLOSURE", dt.timedelta(days=366), "out of range", "365 days"),
    ("OPEN_WHEN_OVERDUE", 1, "neither True nor False", "True or False"),
    ("COUNT_TRAFFIC", "no", "neither True nor False", "True or False"),
    ("NOTICE", "1 day", "no length of time", "seconds, or a timedelta"),
    ("NOTICE_BANNER", "yes", "neither True nor False", "True or False"),
    ("REOPEN_CHECKS", "/orders/", "a string, not a list", "comma"),
    ("REOPEN_CHECKS", ["/orders/", "nonsense"], "'nonsense' is no check", "migrations"),
    ("REOPEN_CHECKS", [3], "3 is no check", "addresses"),
    ("REOPEN_CHECKS", print, "no list", "into one"),
    ("REOPEN_CHECKS", ["migrations:nowhere"], "no database 'nowhere'", "default"),
    ("WATCH_MINUTES", 1.5, "whole number of minutes", "1440"),
    ("REOPEN_TIMEOUT", 0, "number of seconds", "0.05"),
    ("NOTICE", -5, "out of range", "0 for no notice"),
    ("TELL_ME", "yes", "neither True nor False", "True or False"),
    ("TELL_ME_MOST", -1, "not a whole number from 0", "0, 1, 2"),
    ("AUDIENCE", "shop.nowhere.people", "cannot be imported", "'module.function'"),
    ("LANGUAGE_OF", 1, "cannot be called", "dotted path"),
    ("OPERATORS", ["ops"], "'ops' is no e-mail address", "ops@example.com"),
    ("OPERATORS", "ops@example.com", "is a string", "comma"),
    ("OPERATORS", ["a@example.com\nBcc: b@example.com"], "no e-mail address", "ops@example.com"),
    ("WEBHOOKS", ["https://example.com"], "no dict of url and secret", "secret"),
    ("WEBHOOKS", [{"url": "file:///etc/passwd"}], "http:// or https://", "secret"),
    ("WEBHOOKS", [{"url": "https://a b/"}], "http:// or https://", "secret"),
    ("WEBHOOKS", [{"url": "https://example.com", "secret": "short"}], "16 characters", "Make one"),
    ("APPRISE", ["slack"], "no address of a service", "slack://"),
    ("TELL", ["audience"], "is not a dict", "audience"),
    ("TELL", {"customers": []}, "'customers' is nobody", "audience"),
    ("TELL", {"audience": ["begun"]}, "'begun' is no moment", "started"),
    ("TELL_UNPLANNED", ["all"], "'all' is nobody", "operators"),
    ("REMINDERS", [0], "when the closure begins", "Leave it out"),
    ("DELIVER", None, "delivers nothing", "'watcher' or 'command'"),
    ("DELIVER", "watch.me", "cannot be imported", "'module.function'"),
    ("FROM_EMAIL", "a@example.com\nBcc: b@example.com", "is no sender", "Name <"),
    ("SITE_URL", "www.example.com", "is no address", "https://"),
    ("SITE_URL", "https://example.com/?a", "is no address", "https://"),
]


@pytest.mark.parametrize(("key", "value", "expected"), GOOD)
def test_a_right_value_is_taken(key: str, value: Any, expected: Any) -> None:
    assert getattr(read(**{key: value}), key.lower()) == expected


@pytest.mark.parametrize(("key", "value", "complaint", "hint"), BAD)
def test_a_wrong_value_is_named_with_a_hint(
    key: str, value: Any, complaint: str, hint: str
) -> None:
    problem = found({key: value})
    assert problem.key == key
    assert complaint in problem.message
    assert problem.message.startswith(f"BACKSOON['{key}']: ")
    assert hint in problem.hint


def test_every_key_is_tried_here_with_right_and_wrong_values() -> None:
    assert {key for key, _value, _expected in GOOD} == set(conf.PARSERS)
    assert {key for key, *_rest in BAD} == set(conf.PARSERS)


def test_a_lease_that_one_late_reading_would_end_is_refused_where_it_counts() -> None:
    assert read(POLL=5, LEASE=6).lease == 6
    problem = found({"ON_STORE_LOSS": "close", "POLL": 5, "LEASE": 6})
    assert problem.key == "LEASE"
    assert "6 seconds are too short for a POLL of 5" in problem.message
    assert "twice POLL" in problem.hint


def test_a_redis_without_its_package_is_refused_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conf.values, "find_spec", lambda name: None)
    problem = found({"REDIS_URL": "redis://127.0.0.1/"})
    assert "redis is not installed" in problem.message
    assert "pip install 'django-backsoon[redis]'" in problem.hint


def test_a_tuple_whose_comma_was_forgotten_is_recognised() -> None:
    problem = found({"EXEMPT": ("/health/")})
    assert "is a string, not a list" in problem.message
    assert "comma" in problem.hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("EXEMTP", "Did you mean 'EXEMPT'?"),
        ("exempt", "Did you mean 'EXEMPT'?"),
        ("EXEMPT_NETWORK", "Did you mean 'EXEMPT_NETWORKS'?"),
        ("DATABASES", "Did you mean 'DATABASE'?"),
    ],
)
def test_a_misspelt_key_is_answered_with_the_one_that_was_meant(key: str, hint: str) -> None:
    problem = found({key: ["/a/"]})
    assert (problem.key, problem.hint) == (key, hint)
    assert f"unknown key {key!r}" in problem.message


@pytest.mark.parametrize("key", ["QQQ", "", 5, None, ("EXEMPT", "BADGE")])
def test_a_key_like_none_of_ours_is_answered_with_all_that_there_are(key: Any) -> None:
    problem = found({key: 1})
    assert all(known in problem.hint for known in conf.PARSERS)


@pytest.mark.parametrize("value", [None, [], "in_place", ("ANSWER",), 1])
def test_settings_that_are_no_dict_are_refused(value: Any) -> None:
    problem = found(value)
    assert problem.message == f"settings.BACKSOON must be a dict, not {type(value).__name__}."


def test_whoever_reads_wrong_settings_is_told_every_problem_at_once() -> None:
    wrong = {"ANSWER": "page", "BADGE": "yes", "EXEMTP": []}
    with override_settings(BACKSOON=wrong), pytest.raises(ImproperlyConfigured) as caught:
        conf.current()
    text = str(caught.value)
    assert all(key in text for key in wrong)
    assert "Did you mean 'EXEMPT'?" in text


def test_right_values_next_to_a_wrong_one_do_not_make_it_right() -> None:
    with override_settings(BACKSOON={"BADGE": False, "POLL": "soon"}):
        assert [problem.key for problem in conf.problems()] == ["POLL"]
        with pytest.raises(ImproperlyConfigured):
            conf.current()


def test_overridden_settings_hold_at_once_and_are_forgotten_at_once() -> None:
    assert conf.current().brand == ""
    with override_settings(BACKSOON={"BRAND": "Outer"}):
        assert conf.current().brand == "Outer"
        with override_settings(BACKSOON={"BRAND": "Inner"}):
            assert conf.current().brand == "Inner"
        assert conf.current().brand == "Outer"
    assert conf.current().brand == ""


def test_settings_are_parsed_once_and_then_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def counting(value: Any) -> str:
        calls.append(value)
        return str(value)

    parser: Callable[[Any], Any] = counting
    monkeypatch.setitem(conf.PARSERS, "BRAND", parser)
    with override_settings(BACKSOON={"BRAND": "Once"}):
        assert [conf.current().brand for _ in range(3)] == ["Once"] * 3
    assert calls == ["Once"]


def test_parsed_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        conf.current().brand = "Other"  # type: ignore[misc]
