"""What is told at a glance is what the rules and the slow judgement say."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse, HttpResponseRedirect
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import clear_script_prefix, path, re_path, set_script_prefix
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backsoon.core.decision import Reason, Refuse, decide
from backsoon.core.vocabulary import Mode
from backsoon.gate import gate
from backsoon.http import asking, facts, passes, responses, strangers
from backsoon.testing import override_maintenance
from tests import views

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("closed")]

PROPERTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "exempt": {"BACKSOON": {"EXEMPT": ["/hooks/in/", "POST /orders", "/a/b/c/"]}},
    "prefixed": {"ROOT_URLCONF": "tests.urls_i18n"},
    "catch-all": {"ROOT_URLCONF": "tests.urls_edges"},
    "own door": {"BACKSOON": {"LOGIN_URLS": ["/enter/here/"]}, "MEDIA_URL": "/files/media/"},
}

SEGMENTS = st.sampled_from(
    ["", ".", "..", "a", "b", "c", "en", "fr", "de", "login", "logout", "admin", "static", "files",
     "media", "hooks", "in", "orders", "healthy", "async", "maintenance", "status.json", "enter",
     "here", "app", "health", "healthyy", "Login", "%2e", "é", "x y", "\n", "login\n", "jsi18n"]
)  # fmt: skip
PLACES = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end,
    st.lists(SEGMENTS, max_size=4),
    st.sampled_from(["", "/", "//"]),
)
COOKIES = st.sampled_from(
    ["", "a=b", f"{passes.COOKIE}=x", f"a=b;{passes.COOKIE}", "sessionid=made-up; backsoon=1"]
)


@pytest.mark.parametrize("name", SETTINGS)
@PROPERTY
@given(place=PLACES, cookies=COOKIES, method=st.sampled_from(["GET", "POST", "HEAD"]))
def test_whoever_is_surely_a_stranger_is_one_by_the_rules(
    name: str, place: str, cookies: str, method: str
) -> None:
    with override_settings(**SETTINGS[name]):
        if not strangers.is_stranger(place, cookies):
            return
        request = RequestFactory().generic(method, "/")
        request.path_info = place
        request.META["HTTP_COOKIE"] = cookies
        decision = decide(gate.view().state, facts.collect(request))
        assert decision == Refuse(Reason.STRANGER)
        assert not facts.leads_to_open_view(request)


@pytest.mark.parametrize(
    ("name", "sure"),
    [
        ("plain", ["/", "/account/", "/admin/", "/nope/a/b", "/loginn/", "/admin/auth/user/"]),
        ("exempt", ["/hooks/", "/a/b2/", "/a/", "/"]),
        ("prefixed", ["/en/orders/", "/fr/", "/en", "/orders/"]),
    ],
)
def test_most_strangers_are_told_at_a_glance(name: str, sure: list[str]) -> None:
    with override_settings(**SETTINGS[name]):
        for place in sure:
            assert strangers.is_stranger(place, "sessionid=abc"), place


@pytest.mark.parametrize("unusual", ["", "account/", "*"])
def test_a_path_without_a_slash_is_told_by_the_rules(unusual: str) -> None:
    assert not strangers.is_stranger(unusual, "")


class Urls:
    """A URL configuration of its own."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = [*patterns, path("login/", views.login, name="login")]


@pytest.mark.parametrize(
    ("pattern", "unsure", "sure"),
    [
        (path("up/", views.healthy), ["/up/"], ["/down/"]),
        (path("", views.healthy), ["/"], ["/down/"]),
        (path("up/db/<int:number>/", views.healthy), ["/up/db/1/"], ["/up/cache/"]),
        (path("up/db<int:number>/", views.healthy), ["/up/db1/"], ["/down/"]),
        (path("<slug:name>/up/", views.healthy), ["/a/up/", "/down/"], []),
        (re_path(r"^up/$", views.healthy), ["/up/", "/down/"], []),
        (path(gettext_lazy("up/"), views.healthy), ["/up/", "/down/"], []),
    ],
)
def test_paths_of_views_that_stay_open_are_told_by_the_rules(
    pattern: Any, unsure: list[str], sure: list[str]
) -> None:
    with override_settings(ROOT_URLCONF=Urls(pattern)):
        assert not any(strangers.is_stranger(place, "") for place in unsure)
        assert all(strangers.is_stranger(place, "") for place in sure)


def test_a_request_that_somebody_has_changed_is_told_by_the_rules() -> None:
    view = gate.view()
    request = RequestFactory().get("/account/")
    assert strangers.sent(request, view)
    request.COOKIES = {passes.COOKIE: "x"}
    assert not strangers.sent(request, view)
    request = RequestFactory().get("/account/")
    request.urlconf = "tests.urls_edges"
    assert not strangers.sent(request, view)


def test_only_a_closed_site_has_strangers() -> None:
    request = RequestFactory().post("/account/")
    for mode in (Mode.OPEN, Mode.READ_ONLY):
        with override_maintenance(mode.value):
            assert not strangers.sent(request, gate.view())


# -- What a client wants -----------------------------------------------------------------------

HEADERS: dict[str, st.SearchStrategy[str]] = {
    "accept": st.sampled_from(
        ["", "*/*", "text/html", "application/json", "application/problem+json;q=0.4, text/*",
         "text/html; q*=bogus''x", "image/png", ", ,", "text/html;q=0, application/json"]
    ),
    "accept-language": st.sampled_from(["", "fr", "fr-CA;q=0.3,en", "*", "de", "x" * 600, "é"]),
    "accept-encoding": st.sampled_from(["", "gzip", "br, GZIP ; q=0", "identity", "gzip;q=0.000"]),
    "sec-fetch-mode": st.sampled_from(["", "navigate", "cors"]),
    "x-requested-with": st.sampled_from(["", "XMLHttpRequest", "app"]),
    "content-type": st.sampled_from(
        ["", "application/json", "text/plain; charset=utf-16", "a" * 200, "application/x+json; a"]
    ),
    "cookie": st.sampled_from(
        ["", "django_language=fr", "x_django_language=fr", 'a=b; django_language="fr"',
         "django_language=fr; django_language=en", "django_language=é", "django_language"]
    ),
}  # fmt: skip
QUERIES = st.sampled_from(
    ["", "a=b", "language=fr", "l%61nguage=fr", "language=en&language=fr", "language=xx",
     "next=/fr/orders/", "next=%2Ffr%2Forders/&language=", "n%65xt=/fr/", "language=%ff",
     "q=%E9&language=fr", "language=fr" + "&a=" * 1_200, "next=//fr/", "next=/language/"]
)  # fmt: skip


@pytest.mark.parametrize("urls", ["tests.urls", "tests.urls_i18n"])
@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory])
@PROPERTY
@given(
    headers=st.fixed_dictionaries({}, optional=HEADERS),
    query=QUERIES,
    place=st.sampled_from(["/", "/orders/", "/fr/orders/", "/fr", "/fr\n", "/en-gb/x", "/é/", ""]),
)
@example(headers={"cookie": "django_language=fr"}, query="", place="/en/")
def test_what_is_remembered_is_what_would_be_judged(
    urls: str, factory: Any, headers: dict[str, str], query: str, place: str
) -> None:
    with override_settings(ROOT_URLCONF=urls):
        request = factory().get("/", headers=headers, query_params=None)
        request.META["QUERY_STRING"] = query
        request.path_info = place
        if "cookie" in headers:
            request.META["HTTP_COOKIE"] = headers["cookie"].encode().decode("latin-1")
        wish = asking.wish_of(request)
        assert wish == asking.judge(request)
        assert wish == asking.wish_of(request)  # and again, from memory


def test_usual_requests_are_remembered_and_very_long_ones_are_not() -> None:
    request = RequestFactory(headers={"accept": "text/html", "accept-language": "fr"}).get("/a?b=c")
    assert asking.asked_by(request.META, "/a") is not None
    long = {"HTTP_ACCEPT": "text/html," * 200}
    assert asking.asked_by(long, "/a") is None


def test_changed_settings_are_judged_by_at_once() -> None:
    request = RequestFactory(headers={"accept-language": "fr"}).get("/")
    assert asking.wish_of(request).language == "fr"
    with override_settings(LANGUAGES=[("en", "English")]):
        assert asking.wish_of(request).language == "en"
    assert asking.wish_of(request).language == "fr"


# -- Copies of an answer -----------------------------------------------------------------------


def model() -> HttpResponse:
    response = HttpResponseRedirect("/somewhere/")
    response["Retry-After"] = "0"
    response["Vary"] = "Accept"
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@pytest.mark.parametrize("quick", [True, False])
def test_copies_are_what_they_were_copied_from_but_for_what_is_changed(
    quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not quick:
        monkeypatch.setattr(
            responses, "ResponseHeaders", dict
        )  # a Django that keeps them elsewhere
    original = model()
    copy = responses.copier(original)
    changed = copy({"Location": "/elsewhere/", "Retry-After": "7"}, False)
    changed.set_cookie("a", "b")
    changed["X-More"] = "yes"
    changed.content = b"more"
    same = copy({}, False)
    assert type(same) is HttpResponseRedirect
    assert same.status_code == 302
    assert list(same.items()) == list(original.items())
    assert same.content == original.content
    assert not same.cookies
    assert isinstance(changed, HttpResponseRedirect)
    assert changed.url == "/elsewhere/"
    assert [name for name, _value in changed.items()] == [
        *(name for name, _value in original.items()),
        "X-More",
    ]
    assert changed["Retry-After"] == "7"
    same.close()
    assert not changed.closed


def test_a_response_whose_parts_must_not_be_shared_is_copied_the_usual_way() -> None:
    original = model()
    original.notes = []  # type: ignore[attr-defined]
    copy = responses.copier(original)({}, True)
    assert not hasattr(copy, "notes")
    assert copy.content == b""


def test_the_page_below_one_script_prefix_does_not_lead_below_another() -> None:
    from backsoon.http import answers

    for prefix in ("/shop", "/blog"):
        try:
            set_script_prefix(f"{prefix}/")
            request = RequestFactory(SCRIPT_NAME=prefix).get("/maintenance/")
            body = answers.page(request, gate.view()).content
            assert f"{prefix}/maintenance/status.json".encode() in body
        finally:
            clear_script_prefix()
