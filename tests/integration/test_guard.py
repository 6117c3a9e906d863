"""The guard says what the middleware would have said, or leaves it to the middleware."""

from __future__ import annotations

import asyncio
import io
import itertools
import subprocess
import sys
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import clear_script_prefix
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backsoon import gate as gate_module
from backsoon import guard
from backsoon.gate import gate
from backsoon.http import answers, outside, passes, routes
from backsoon.testing import give_pass, override_maintenance
from tests.visitors import PASSWORD

pytestmark = pytest.mark.django_db

Sent = tuple[int, tuple[tuple[str, str], ...], bytes]
"""Status, headers in their order, body."""

FIREFOX = {
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-encoding": "gzip, deflate, br, zstd",
    "sec-fetch-mode": "navigate",
}


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is told to wait equally long, so that answers can be compared."""
    monkeypatch.setattr("backsoon.http.answers.random.uniform", lambda low, high: 1.0)


class Site:
    """The tests' site under one kind of server, with and without the guard."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.reached = False
        self._handler: Any = None

    def bare(self, scope: dict[str, Any]) -> Sent:
        """What Django sends."""
        if self._handler is None:
            self._handler = WSGIHandler() if self.kind == "wsgi" else ASGIHandler()
        return self._ask(self._handler, scope)

    def guarded(self, scope: dict[str, Any]) -> Sent | None:
        """What the guard sends; None when it lets the request by."""
        self.reached = False
        if self.kind == "wsgi":
            sent = self._ask(guard.wsgi(self._wsgi_spy), scope)
        else:
            sent = self._ask(guard.asgi(self._asgi_spy), scope)
        return None if self.reached else sent

    def scope(
        self,
        method: str = "GET",
        path: str = "/",
        headers: dict[str, str] | None = None,
        *,
        prefix: str = "",
        secure: bool = False,
        cookie: str = "",
    ) -> dict[str, Any]:
        """A WSGI environment or an ASGI scope, as servers make them."""
        sent = {**(headers or {}), **({"cookie": cookie} if cookie else {})}
        if self.kind == "wsgi":
            more: dict[str, Any] = {"SCRIPT_NAME": prefix} if prefix else {}
            request: Any = RequestFactory(headers=sent).generic(method, path, secure=secure, **more)
            del request.environ["HTTP_COOKIE"]  # the factory's own, which is empty
            if cookie:
                request.environ["HTTP_COOKIE"] = cookie
            return dict(request.environ)
        request = AsyncRequestFactory().generic(method, prefix + path, secure=secure)
        named = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in sent.items()]
        return {**request.scope, "root_path": prefix, "headers": [(b"host", b"testserver"), *named]}

    def _ask(self, application: Any, scope: dict[str, Any]) -> Sent:
        scope = dict(scope)
        return (
            self._ask_wsgi(application, scope)
            if self.kind == "wsgi"
            else self._run(application, scope)
        )

    @staticmethod
    def _ask_wsgi(application: Any, environ: dict[str, Any]) -> Sent:
        told: list[Any] = []
        body = application(
            {**environ, "wsgi.input": io.BytesIO()}, lambda *arguments: told.extend(arguments)
        )
        sent = int(told[0].split()[0]), tuple(told[1]), b"".join(body)
        if hasattr(body, "close"):
            body.close()
        return sent

    @staticmethod
    def _run(application: Any, scope: dict[str, Any]) -> Sent:
        messages = talk(application, scope, {"type": "http.request", "body": b""})
        start = messages[0]
        headers = tuple((n.decode(), v.decode("latin-1")) for n, v in start["headers"])
        return start["status"], headers, b"".join(m.get("body", b"") for m in messages[1:])

    def _wsgi_spy(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.reached = True
        start_response("200 OK", [])
        return []

    async def _asgi_spy(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


def talk(application: Any, scope: dict[str, Any], *says: dict[str, Any]) -> list[dict[str, Any]]:
    """What *application* sends to somebody who *says* this and then waits."""
    messages: list[dict[str, Any]] = []
    waiting = list(says)

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets it")

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    asyncio.run(application(scope, receive, send))
    return messages


@pytest.fixture(params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest) -> Site:
    return Site(request.param)


# -- The same answer ---------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
ACCEPTS = [None, FIREFOX["accept"], "application/json", "image/*", "", "text/html; q*=bogus''x"]
BROWSERS = [(None, None), ("gzip, br", "navigate"), ("gzip;q=0.5", "no-cors")]
PATHS = [
    "/", "/account/", "/nope", "/api/", "/maintenance/", "/maintenance/status.json",
    "/maintenance/status.json?lang=fr",
    "/account/?a=1&b=%C3%A9", "/caf%C3%A9/", "/%2e%2e/static/", "//evil/", "/a b/%25",
    "/maintenance/?language=fr&next=/account/", "/account/?l%61nguage=fr",
]  # fmt: skip


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("path", PATHS)
def test_the_guard_sends_what_the_middleware_sends(site: Site, path: str) -> None:
    methods = itertools.cycle(METHODS[len(path) % len(METHODS) :] + METHODS)
    for accept, (gzip, mode) in itertools.product(ACCEPTS, BROWSERS):
        method = next(methods)
        given = {"accept": accept, "accept-encoding": gzip, "sec-fetch-mode": mode}
        headers = {name: value for name, value in given.items() if value is not None}
        scope = site.scope(method, path, headers)
        assert site.guarded(scope) == site.bare(scope), (method, headers)


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("path", ["/maintenance/calendar.ics", "/maintenance/feed.atom?lang=fr"])
def test_what_is_made_of_rows_is_sent_by_the_guard_once_they_were_read(
    site: Site, path: str
) -> None:
    assert site.guarded(site.scope("GET", path)) is None
    assert site.bare(site.scope("GET", path))[0] == 200
    for method, coding in itertools.product(METHODS, ["gzip", "identity"]):
        headers = {"accept-encoding": coding}
        scope = site.scope(method, path, headers)
        sent = site.guarded(scope)
        assert sent is not None
        assert sent == site.bare(scope), (method, coding)
        tag = dict(sent[1]).get("ETag")
        if tag:
            scope = site.scope(method, path, {**headers, "if-none-match": f'"other", W/{tag}'})
            unchanged = site.guarded(scope)
            assert unchanged is not None
            assert (unchanged[0], unchanged[2]) == (304, b"")
            assert unchanged == site.bare(scope)


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"API_PATHS": ["/api/"], "ANSWER": "in_place"})
@pytest.mark.parametrize(
    ("headers", "cookie"),
    [
        ({"accept-language": "fr-CA,fr;q=0.9"}, ""),
        ({"accept-language": "x" * 3_000}, ""),
        ({"accept-language": "fr"}, "django_language=en; sessionid=abc"),
        ({}, "django_language=fr"),
        ({}, "django_language=\xe9"),
        ({}, 'django_language="fr"; x'),
        ({"x-requested-with": "XMLHttpRequest"}, ""),
        ({"content-type": "application/json"}, "a=b;;=;c"),
        ({"content-type": "text/plain; charset=latin-1"}, ""),
        ({"accept-encoding": "gzip;q=0"}, "sessionid=made-up"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/1/", "/maintenance/", "/account/?language=fr"])
def test_language_cookies_and_programs_are_understood_alike(
    site: Site, headers: dict[str, str], cookie: str, path: str
) -> None:
    for method in ("GET", "POST"):
        scope = site.scope(method, path, headers, cookie=cookie)
        sent = site.guarded(scope)
        if sent is None:  # unusual: asked of Django, then
            assert site.bare(scope)[0] == 503
            assert len(str(headers)) > 1_000 or not cookie.isascii() or "charset" in str(headers)
        else:
            assert sent == site.bare(scope)


@pytest.mark.usefixtures("closed")
@override_settings(ROOT_URLCONF="tests.urls_i18n")
@pytest.mark.parametrize(
    "path",
    ["/", "/en/orders/", "/fr/orders/", "/fr", "/de/orders/", "/maintenance/?next=/fr/x/",
     "/fr/maintenance/", "/en/maintenance/?next=/fr/orders/", "/fr/maintenance/status.json"],
)  # fmt: skip
def test_language_prefixes_are_understood_alike(site: Site, path: str) -> None:
    for language in ("en", "fr"):
        scope = site.scope("GET", path, {**FIREFOX, "accept-language": language})
        sent = site.guarded(scope)
        assert sent is not None
        assert sent == site.bare(scope)


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("forced", [None, "/forced"])
@pytest.mark.parametrize("path", ["/", "/account/", "/maintenance/", "/shop/account/"])
def test_below_a_script_prefix_addresses_are_alike(
    site: Site, path: str, forced: str | None
) -> None:
    with override_settings(FORCE_SCRIPT_NAME=forced):
        scope = site.scope("GET", path, FIREFOX, prefix="/shop")
        try:
            sent = site.guarded(scope)
            assert sent is not None
            assert sent == site.bare(scope)
        finally:
            clear_script_prefix()
            routes.site_routes.cache_clear()


SECURE = {
    "SECURE_HSTS_SECONDS": 3600,
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "SECURE_REFERRER_POLICY": "no-referrer",
}


@pytest.mark.usefixtures("closed")
@override_settings(**SECURE)
@pytest.mark.parametrize("path", ["/account/", "/maintenance/", "/maintenance/status.json"])
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("proxy", [None, "https", "http", "https, http"])
def test_the_headers_of_security_middleware_are_alike(
    site: Site, path: str, secure: bool, proxy: str | None
) -> None:
    headers = {**FIREFOX, **({"x-forwarded-proto": proxy} if proxy else {})}
    scope = site.scope("GET", path, headers, secure=secure)
    sent = site.guarded(scope)
    assert sent is not None
    assert sent == site.bare(scope)
    encrypted = proxy.startswith("https") if proxy else secure
    assert ("Strict-Transport-Security" in dict(sent[1])) == encrypted
    assert dict(sent[1])["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.usefixtures("closed")
@override_settings(SECURE_SSL_REDIRECT=True)
def test_who_is_sent_to_https_first_is_left_to_django(site: Site) -> None:
    assert site.guarded(site.scope()) is None
    assert site.guarded(site.scope(secure=True)) is not None


@pytest.mark.usefixtures("closed")
def test_without_security_middleware_above_its_headers_are_missing(site: Site) -> None:
    own = [name for name in django_settings.MIDDLEWARE if name != outside.SECURITY]
    with override_settings(MIDDLEWARE=[*own, outside.SECURITY]):
        sent = site.guarded(site.scope(headers=FIREFOX))
        assert sent is not None
        assert "Cross-Origin-Opener-Policy" not in dict(sent[1])
        assert sent == site.bare(site.scope(headers=FIREFOX))


HEADER_NAMES = st.sampled_from(
    ["accept", "accept-language", "accept-encoding", "sec-fetch-mode", "cookie", "content-type",
     "x-requested-with", "host"]
)  # fmt: skip
HEADER_VALUES = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
    st.sampled_from(["text/html", "application/json", "gzip", "fr", "navigate", "*/*;q=0.1"]),
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    headers=st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=5),
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    method=st.sampled_from(METHODS),
)
@pytest.mark.usefixtures("closed")
def test_whatever_is_sent_the_guard_says_the_same_or_nothing(
    site: Site, headers: dict[str, str], path: str, method: str
) -> None:
    cookie = headers.pop("cookie", "")
    scope = site.scope(method, "/" + path.replace("#", ""), headers, cookie=cookie)
    sent = site.guarded(scope)
    assert sent is None or sent == site.bare(scope)


@pytest.mark.usefixtures("closed")
def test_waiting_times_are_spread(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits = set()
    for _ in range(30):
        sent = site.guarded(site.scope(headers=FIREFOX))
        assert sent is not None
        waits.add(int(dict(sent[1])["Retry-After"]))
    assert len(waits) > 1
    assert all(108 <= wait <= 132 for wait in waits)


def test_a_changed_message_changes_the_answer_at_once(site: Site) -> None:
    for message in ("Moving house", "Still moving"):
        with override_maintenance(message=message):
            sent = site.guarded(site.scope(path="/maintenance/"))
            assert sent is not None
            assert message.encode() in sent[2]


# -- Who is let by -----------------------------------------------------------------------------


def test_while_open_the_application_gets_what_the_server_gave() -> None:
    environ, heard = {"REQUEST_METHOD": "GET"}, []

    def application(environ: Any, start_response: Any) -> Any:
        heard.append((environ, start_response))
        return iter([b"one", b"two"])

    def start_response(*arguments: Any) -> Any:
        raise AssertionError("the application did not call it")

    application_behind: Any = guard.wsgi(application)
    body = application_behind(environ, start_response)
    assert list(body) == [b"one", b"two"]
    body.close()
    assert heard[0][0] is environ
    assert heard[0][1] is start_response


def test_while_open_nothing_changes_under_asgi(site: Site) -> None:
    assert site.guarded(site.scope()) is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_while_read_only_everything_is_left_to_the_middleware(site: Site, method: str) -> None:
    with override_maintenance("read_only"):
        assert site.guarded(site.scope(method)) is None


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["/hooks/"]})
@pytest.mark.parametrize(
    "path",
    ["/login/", "/logout/", "/admin/login/", "/static/x.css", "/hooks/a", "/healthy/", "/hooks"],
)
def test_what_may_be_exempt_is_left_to_the_middleware(site: Site, path: str) -> None:
    assert site.guarded(site.scope(path=path)) is None


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "cookie", [f"{passes.COOKIE}=x", f"a=b; {passes.COOKIE}=1:2:3", f"x{passes.COOKIE}"]
)
def test_who_may_hold_a_pass_is_left_to_the_middleware(site: Site, cookie: str) -> None:
    assert site.guarded(site.scope(path="/account/", cookie=cookie)) is None


@pytest.mark.usefixtures("closed")
def test_the_page_itself_is_the_same_for_holders_of_a_pass(site: Site) -> None:
    scope = site.scope(path="/maintenance/", cookie=f"{passes.COOKIE}=x")
    sent = site.guarded(scope)
    assert sent is not None
    assert sent == site.bare(scope)


def nobody(request: HttpRequest) -> None:
    """A `GET_USER` that knows nobody."""


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "backsoon",
    [{"EXEMPT_NETWORKS": ["192.0.2.0/24"]}, {"GET_USER": f"{__name__}.nobody"}],
    ids=["networks", "tokens"],
)
def test_with_networks_or_tokens_everybody_is_left_to_the_middleware(
    site: Site, backsoon: dict[str, Any]
) -> None:
    with override_settings(BACKSOON={**backsoon}):
        assert site.guarded(site.scope(path="/account/")) is None


@pytest.mark.usefixtures("closed")
def test_files_that_whitenoise_serves_at_the_root_are_left_to_it(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "robots.txt").write_text("User-agent: *")
    whitenoise = "whitenoise.middleware.WhiteNoiseMiddleware"
    with override_settings(
        MIDDLEWARE=[whitenoise, *django_settings.MIDDLEWARE], WHITENOISE_ROOT=tmp_path
    ):
        assert site.guarded(site.scope(path="/robots.txt")) is None
        assert site.guarded(site.scope(path="/account/")) is not None


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("named", "served"),
    [
        ({"STATIC_URL": "https://cdn.example/assets/v1/"}, "/assets/v1/site.css"),
        ({"STATIC_URL": "//cdn.example/assets"}, "/assets/site.css"),
        ({"STATIC_URL": "https://cdn.example/"}, "/css/site.css"),
        ({"STATIC_URL": "//cdn.example/shop/", "FORCE_SCRIPT_NAME": "/shop"}, "/css/site.css"),
        ({"WHITENOISE_STATIC_PREFIX": "/assets/"}, "/assets/site.css"),
        ({"WHITENOISE_STATIC_PREFIX": ""}, "/css/site.css"),
    ],
)
def test_static_files_that_whitenoise_serves_to_a_cdn_are_left_to_it(
    site: Site, tmp_path: Path, named: dict[str, str], served: str
) -> None:
    (tmp_path / "css").mkdir()
    middleware = ["whitenoise.middleware.WhiteNoiseMiddleware", *django_settings.MIDDLEWARE]
    with override_settings(
        MIDDLEWARE=middleware, STATIC_ROOT=tmp_path, WHITENOISE_USE_FINDERS=False, **named
    ):
        assert site.guarded(site.scope(path=served)) is None
        assert site.guarded(site.scope(path="/account/")) is not None


@pytest.mark.usefixtures("closed")
def test_where_whitenoise_may_serve_anything_everything_is_left_to_it(site: Site) -> None:
    with override_settings(
        MIDDLEWARE=["whitenoise.middleware.WhiteNoiseMiddleware", *django_settings.MIDDLEWARE],
        STATIC_URL="https://cdn.example/", WHITENOISE_USE_FINDERS=True,
    ):  # fmt: skip
        assert site.guarded(site.scope(path="/found-by-a-finder.css")) is None


def test_an_administrator_works_through_the_guard(root: User) -> None:
    client = Client()
    client.force_login(root)
    give_pass(client, root)
    environ = Site("wsgi").scope(path="/account/", cookie=_cookies(client.cookies))
    with override_maintenance():
        status, _headers, body = Site._ask_wsgi(guard.wsgi(WSGIHandler()), environ)
        assert status == 200
        assert b"root" in body


def _cookies(cookies: SimpleCookie) -> str:
    return "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())


# -- Faults ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
@override_settings(ROOT_URLCONF="tests.urls_that_do_not_exist")
def test_a_url_configuration_that_cannot_be_imported_is_left_to_the_middleware(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert site.guarded(site.scope(path="/account/")) is None
    assert site.bare(site.scope(path="/account/"))[0] == 503
    said = [r for r in caplog.records if "the guard met an error" in r.getMessage()]
    assert len(said) == 1  # not one for each visitor


@pytest.mark.usefixtures("closed")
def test_a_fault_in_the_guard_is_nobody_elses(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(answers, "answer_to", fail)
    assert site.guarded(site.scope(path="/account/")) is None


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "broken",
    [{"REQUEST_METHOD": None}, {"SCRIPT_NAME": b"/x"}, {"SCRIPT_NAME": "/\xff"}, {"PATH_INFO": 7}],
)
def test_an_environment_that_cannot_be_is_left_to_django(broken: dict[str, Any]) -> None:
    site = Site("wsgi")
    assert site.guarded(site.scope() | broken) is None


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "broken",
    [
        {"query_string": b"\xff"},
        {"headers": [(b"cookie", b"a=b"), (b"cookie", b"c=d")]},
        {"headers": [(b"accept", None)]},
        {"path": None},
    ],
)
def test_a_scope_that_cannot_be_is_left_to_django(broken: dict[str, Any]) -> None:
    site = Site("asgi")
    assert site.guarded(site.scope() | broken) is None


@override_settings(BACKSOON={"ANSWR": "redirect"})
def test_a_wrong_setting_shows_as_the_server_starts() -> None:
    nothing: Any = object()
    for wrap in (guard.wsgi, guard.asgi):
        with pytest.raises(ImproperlyConfigured, match="ANSWR"):
            wrap(nothing)


def test_the_guard_can_be_imported_before_django_is_set_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from backsoon import guard; print(*sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert not [name for name in done.stdout.split() if name.startswith("django.")]


# -- ASGI --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
def test_a_protocol_that_the_guard_does_not_know_goes_by_untouched() -> None:
    heard: list[Any] = []

    async def application(*arguments: Any) -> None:
        heard.append(arguments)

    scope: dict[str, Any] = {"type": "something-new"}
    arguments = (scope, object(), object())
    asyncio.run(guard.asgi(application)(*arguments))  # type: ignore[arg-type]
    assert heard == [arguments]


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was given to another thread."""
    called: list[object] = []
    call = SyncToAsync.__call__

    async def count(self: Any, *arguments: Any, **named: Any) -> Any:
        called.append(self.func)
        return await call(self, *arguments, **named)

    monkeypatch.setattr(SyncToAsync, "__call__", count)
    return called


@pytest.mark.usefixtures("closed")
def test_a_refusal_under_asgi_changes_no_thread(hops: list[object]) -> None:
    assert Site("asgi").guarded(Site("asgi").scope(path="/account/")) is not None
    assert not hops


def test_the_first_reading_of_a_process_does_not_hold_up_the_event_loop(
    hops: list[object],
) -> None:
    assert not gate.knows
    assert Site("asgi").guarded(Site("asgi").scope()) is None  # open: nothing says otherwise
    assert hops == [gate.view]


def test_a_process_that_knows_nothing_is_closed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_view", gate_module._UNKNOWN)
    sent = site.guarded(site.scope(path="/account/"))
    assert sent is not None
    assert sent[0] == 302


# -- WebSockets --------------------------------------------------------------------------------

CONNECT = {"type": "websocket.connect"}


def handshake(path: str = "/ws/", cookie: str = "", *, tells: bool = True) -> list[dict[str, Any]]:
    """What the server is told; nothing when the application is reached."""
    scope: dict[str, Any] = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "ws", "subprotocols": [], "http_version": "1.1",
        "client": ("127.0.0.1", 1), "server": ("testserver", 80),
        "headers": [(b"host", b"testserver"), (b"cookie", cookie.encode())],
        "extensions": {"websocket.http.response": {}} if tells else {},
    }  # fmt: skip

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive()) == CONNECT

    return talk(guard.asgi(application), scope, CONNECT)


def test_while_open_websockets_reach_the_application() -> None:
    assert handshake() == []


@pytest.mark.usefixtures("closed")
def test_a_websocket_is_refused_with_503_where_the_server_can_tell_it() -> None:
    start, body = handshake()
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 503
    assert dict(start["headers"])[b"Retry-After"] == b"120"
    assert dict(start["headers"])[b"X-Maintenance"] == b"closed"
    assert b"Moving house" in body["body"]


@pytest.mark.usefixtures("closed")
def test_a_websocket_is_closed_where_the_server_cannot() -> None:
    assert handshake(tells=False) == [{"type": "websocket.close", "code": 1013}]


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["/ws/status/"]})
def test_a_websocket_on_an_exempt_path_reaches_the_application() -> None:
    assert handshake("/ws/status/") == []
    assert handshake("/ws/other/") != []


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"LOGIN_URLS": ["/enter/"]}, MEDIA_URL="/media/")
@pytest.mark.parametrize(
    "path",
    ["/login/", "/logout/", "/admin/login/", "/enter/", "/static/x", "/static", "/media/x",
     "/maintenance/", "/maintenance/status.json", "/healthy/"],
)  # fmt: skip
def test_what_is_exempt_for_requests_by_itself_is_not_for_websockets(path: str) -> None:
    assert handshake(path) != []


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["/login/"]})
def test_a_login_page_that_the_settings_name_is_exempt_for_websockets_too() -> None:
    assert handshake("/login/") == []


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("network", ["127.0.0.0/8", "192.0.2.0/24"])
def test_a_websocket_from_an_exempt_network_reaches_the_application(network: str) -> None:
    with override_settings(BACKSOON={"EXEMPT_NETWORKS": [network]}):
        assert (handshake() == []) is (network == "127.0.0.0/8")


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("cookie", [f"{passes.COOKIE}=1:forged:signature", f"{passes.COOKIE}="])
def test_a_forged_pass_opens_no_websocket(cookie: str) -> None:
    assert handshake(cookie=cookie) != []


@pytest.mark.django_db(transaction=True)
def test_an_administrator_opens_a_websocket_and_others_with_a_stolen_pass_do_not() -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    bob = User.objects.create_user("bob", password=PASSWORD)
    for user, reaches in ((root, True), (bob, False)):
        client = Client()
        client.force_login(user)
        give_pass(client, root)
        with override_maintenance():
            assert (handshake(cookie=_cookies(client.cookies)) == []) is reaches


@pytest.mark.usefixtures("closed")
def test_a_websocket_that_cannot_be_judged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("backsoon.http.handshakes.facts.collect", fail)
    monkeypatch.setattr("backsoon.http.handshakes.answers.problem", fail)
    start, _body = handshake()
    assert start["status"] == 503


def test_while_read_only_websockets_reach_the_application() -> None:
    with override_maintenance("read_only"):
        assert handshake() == []
