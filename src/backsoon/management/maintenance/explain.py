"""``maintenance explain``: which rule decides about a request, and what its sender gets."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.http import HttpRequest
from django.urls import Resolver404, get_script_prefix, resolve
from django.utils.translation import get_language_from_path, override

from backsoon import conf, store
from backsoon.core.decision import Admit, Refuse, Rule, deciding_rule
from backsoon.core.matching import METHODS
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Facts, Mode, State, UserKind, Why
from backsoon.gate import View
from backsoon.http import answers, facts
from backsoon.http.users import kind_of
from backsoon.snapshots import Snapshot

from . import words
from .console import ExitCode, plain_text, usage_error

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django.urls import ResolverMatch

    from .console import Console

HELP = "Say which rule decides about a request, and what its sender gets."
FAILURE = "Not explained"

_NEVER = float("inf")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", metavar="PATH", type=plain_text, help="Such as /orders/.")
    parser.add_argument("--user", metavar="NAME", help="Who asks; without it a visitor.")
    parser.add_argument("--method", type=_method, default="GET", help="GET is the default.")
    parser.add_argument("--ip", metavar="ADDR", type=_address, help="Where from.")
    parser.add_argument("--closed", action="store_true", help="As if the site were closed now.")


def _method(text: str) -> str:
    if text.upper() not in METHODS:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(sorted(METHODS))}")
    return text.upper()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an IP address") from None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is said about one request."""

    path: str
    view: View
    supposed: bool
    match: ResolverMatch | None
    user: str
    known: Facts
    rule: Rule
    answer: Admit | Refuse
    gets: str
    notes: tuple[str, ...]


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Explain."""
    path = _path(options["path"])
    view, supposed = _view(closed=options["closed"])
    explanation = _explain(path, view, supposed, options)
    console.answer(_data(explanation), _lines(explanation))


def _path(typed: str) -> str:
    """What the rules compare: the decoded path without host, query and the site's own prefix."""
    path = urlsplit(typed).path if "://" in typed else typed.partition("#")[0].partition("?")[0]
    if not path.startswith("/"):
        raise usage_error(f"{FAILURE}: the path {typed!r} does not begin with a slash.")
    prefix = get_script_prefix()
    return unquote("/" + path[len(prefix) :] if path.startswith(prefix) else path)


def _view(*, closed: bool) -> tuple[View, bool]:
    """What is true, or would be. What would be if closed is explained without a database."""
    now = store.utc_now()
    if closed:
        state = State(Mode.CLOSED, Why.SWITCH, since=now)
        return View(Snapshot(), state, _NEVER), True
    snapshot = store.load()
    return View(snapshot, resolve_state(snapshot.policy, snapshot.windows, now), _NEVER), False


def _explain(path: str, view: View, supposed: bool, options: Mapping[str, Any]) -> Explanation:
    notes: list[str] = []
    match = _match(path)
    if match is None:
        notes.append(_about_missing_view(path))
    user, kind = _user(options["user"], notes)
    request = _request(path, options["method"], options["ip"] or "")
    known = facts.collect(request, view=match.func if match else None, user=kind)
    if kind is UserKind.ADMINISTRATOR:
        known = dataclasses.replace(known, holds_pass=True)
        notes.append(
            "An administrator is taken to hold a pass: a cookie that each login gives them."
        )
    if facts.is_door(options["method"], path) and view.state.mode is Mode.CLOSED:
        notes.append("Here only administrators can log in while the site is closed.")
    rule, answer = deciding_rule(view.state, known)
    assert isinstance(answer, (Admit, Refuse))  # the user was looked up, so nothing more is needed
    gets = _gets(request, view, match, answer)
    return Explanation(path, view, supposed, match, user, known, rule, answer, gets, tuple(notes))


def _match(path: str) -> ResolverMatch | None:
    with override(get_language_from_path(path) or django_settings.LANGUAGE_CODE):
        try:
            return resolve(path)
        except Resolver404:
            return None


def _about_missing_view(path: str) -> str:
    if not path.endswith("/") and _match(f"{path}/") is not None:
        return f"No view answers {path}, but one answers {path}/."
    return f"No view answers {path}: open, the site says 404."


def _user(name: str | None, notes: list[str]) -> tuple[str, UserKind]:
    """The user of that name, in words and as the rules see them."""
    if name is None:
        return "a visitor who is not logged in", UserKind.ANONYMOUS
    model = get_user_model()
    with store.translated_errors():
        try:
            user = model._default_manager.get_by_natural_key(name)
        except model.DoesNotExist:
            raise CommandError(
                f"{FAILURE}: there is no user {name!r}. Names are compared exactly.",
                returncode=ExitCode.ERROR,
            ) from None
        if not getattr(user, "is_active", True):
            notes.append(f"{name} is not active and cannot log in: a visitor like any other.")
            return f"{name}, not active", UserKind.ANONYMOUS
        kind = kind_of(user)
    return f"{name}, {_KINDS[kind]}", kind


_KINDS = {
    UserKind.ADMINISTRATOR: "an administrator",
    UserKind.ORDINARY: "an ordinary user",
    UserKind.ANONYMOUS: "not logged in",
    UserKind.UNKNOWN: "unknown",
}


def _request(path: str, method: str, address: str) -> HttpRequest:
    """What a browser would send from *address*, through as many proxies as the settings declare."""
    request = HttpRequest()
    request.method = method
    request.path_info = path
    request.path = get_script_prefix().rstrip("/") + path
    request.META |= {
        "REQUEST_METHOD": method,
        "REMOTE_ADDR": address,
        "HTTP_X_FORWARDED_FOR": ", ".join([address] * conf.current().trusted_proxies),
        "HTTP_ACCEPT": "text/html",
    }
    return request


def _gets(
    request: HttpRequest, view: View, match: ResolverMatch | None, answer: Admit | Refuse
) -> str:
    refused = not answer.admitted
    own_page = facts.is_own_page(request) and not view.state.is_open
    if not refused and not own_page:
        return "what the site answers" if match else "what the site answers: 404"
    response = answers.refusal(request, view)
    status = HTTPStatus(response.status_code)
    if "Location" in response:
        return f"{status.value} to {response['Location']}, where the page comes with 503"
    kind = response["Content-Type"].partition(";")[0]
    what = "the page" if kind == "text/html" else kind
    return f"{status.value} {status.phrase} with {what}, at this address"


# -- Saying it ---------------------------------------------------------------------------------


def _data(explanation: Explanation) -> dict[str, Any]:
    known, match = explanation.known, explanation.match
    return {
        "path": explanation.path,
        "method": known.method,
        "admitted": explanation.answer.admitted,
        "rule": explanation.rule.reason.value,
        "summary": explanation.rule.summary,
        "detail": explanation.answer.detail,
        "gets": explanation.gets,
        "mode": explanation.view.state.mode.value,
        "supposed": explanation.supposed,
        "view": _view_name(match) if match else None,
        "route": match.route if match else None,
        "facts": {
            "exempt_by": known.exempt_by,
            "network": known.network,
            "always_open": known.always_open,
            "holds_pass": known.holds_pass,
            "user": known.user.value,
        },
        "notes": list(explanation.notes),
    }


def _lines(explanation: Explanation) -> Iterator[str]:
    known, match = explanation.known, explanation.match
    verdict = "gets through" if explanation.answer.admitted else "is refused"
    yield f"{known.method} {explanation.path} {verdict}: {explanation.rule.summary}"
    detail = f" ({explanation.answer.detail})" if explanation.answer.detail else ""
    details = {
        "rule": f"{explanation.rule.reason.value}{detail}",
        "gets": explanation.gets,
        "state": _state(explanation, store.utc_now()),
        "view": f"{_view_name(match)} (route {match.route!r})" if match else "none",
        "who": explanation.user,
        "exempt": known.exempt_by or "no",
        "network": known.network or "not exempt",
        "always open": "yes" if known.always_open else "no",
    }
    for name, text in details.items():
        yield f"  {name}: {text}"
    if not explanation.answer.admitted and "json" not in explanation.gets:
        yield "  A program that asks for JSON gets 503 with application/problem+json instead."
    for note in explanation.notes:
        yield f"  {note}"


def _state(explanation: Explanation, now: dt.datetime) -> str:
    if explanation.supposed:
        return "supposed to be closed now"
    snapshot = explanation.view.snapshot
    return words.state_line(explanation.view.state, snapshot.mark, snapshot.policy.switch, now)


def _view_name(match: ResolverMatch) -> str:
    target = getattr(match.func, "view_class", match.func)
    code = f"{target.__module__}.{getattr(target, '__qualname__', type(target).__qualname__)}"
    return f"{code} ({match.view_name})" if match.view_name not in (None, "", code) else code
